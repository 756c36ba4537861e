"""A small network that tells ten textures apart: random features, and a last layer that is solved for, not trained."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

CLASSES, SIDE = 10, 32
_WIDE, _RIDGE = 256, 1e-3


class TextureCnn(nn.Module):
    """A light front that ends in few numbers, and a back that takes most of the time."""

    def __init__(self) -> None:
        super().__init__()
        narrow = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
        shrink = nn.Sequential(nn.ReLU(), nn.Conv2d(16, 8, 3, stride=2, padding=1), nn.ReLU())
        self.front = nn.Sequential(narrow, shrink)
        wide = [nn.Conv2d(8, _WIDE, 3, padding=1), nn.ReLU()]
        for _ in range(2):
            wide += [nn.Conv2d(_WIDE, _WIDE, 3, padding=1), nn.ReLU()]
        self.back = nn.Sequential(*wide)
        self.head = nn.Linear(_WIDE, CLASSES)

    def features(self, image: torch.Tensor) -> torch.Tensor:
        """What the last layer reads."""
        return self.back(self.front(image)).mean(dim=(2, 3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of the classes."""
        return self.head(self.features(image))


def texture_cnn() -> nn.Module:
    """The network, its last layer the ridge regression from features to classes; made in seconds, always the same."""
    torch.manual_seed(7)
    network = TextureCnn().eval()
    x, classes = textures(1000, 1)
    with torch.no_grad():
        found = network.features(torch.from_numpy(x)).double()
        mean, spread = found.mean(0), found.std(0) + 1e-6
        scaled = torch.cat([(found - mean) / spread, torch.ones(len(x), 1).double()], 1)
        square = scaled.T @ scaled + _RIDGE * len(x) * torch.eye(scaled.shape[1]).double()
        wanted = nn.functional.one_hot(torch.from_numpy(classes), CLASSES).double()
        solved = torch.linalg.solve(square, scaled.T @ wanted)
        weight = solved[:-1] / spread[:, None]
        network.head.weight.copy_(weight.T)
        network.head.bias.copy_(solved[-1] - mean @ weight)
    return network


def textures(count: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Noisy stripes, shape (count, 3, 32, 32), and their classes: a class is a direction."""
    draw = np.random.default_rng(seed)
    classes = draw.integers(0, CLASSES, count)
    angles = np.pi * (classes + draw.uniform(-0.2, 0.2, count)) / CLASSES
    phases, colours = draw.uniform(0, 2 * np.pi, count), draw.uniform(0.5, 1.0, (count, 3))
    across, down = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    along = np.cos(angles)[:, None, None] * across + np.sin(angles)[:, None, None] * down
    stripes = np.sin(along * 0.9 + phases[:, None, None])
    noise = draw.normal(0, 0.2, (count, 3, SIDE, SIDE))
    return (stripes[:, None] * colours[:, :, None, None] + noise).astype(np.float32), classes


def write_data(folder: Path, count: int) -> None:
    """`calibration.npz`, and `validation.npz` with `count` samples."""
    np.savez(folder / "calibration.npz", x=textures(64, 2)[0])
    x, y = textures(count, 3)
    np.savez(folder / "validation.npz", x=x, y=y)

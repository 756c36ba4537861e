"""A tiny residual network for tests that start real processes: made in milliseconds, always with the same weights."""

import torch
from torch import nn


class TinyCnn(nn.Module):
    """Two convolutions, a residual block and a classifier, over 3×32×32 images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.left = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.right = nn.Conv2d(16, 16, 1)
        self.shrink = nn.Sequential(nn.Conv2d(16, 8, 3, stride=2, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores of ten classes."""
        x = self.stem(image)
        x = self.shrink(torch.relu(self.left(x) + self.right(x)))
        return self.head(self.deep(x).mean(dim=(2, 3)))


def tiny_cnn() -> nn.Module:
    """The network with fixed weights, in evaluation mode."""
    torch.manual_seed(7)
    return TinyCnn().eval()

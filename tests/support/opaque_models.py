"""Tiny detectors: candidates come from a convolution, and how many of them remain depends on the image."""

import torch
from torch import nn

from tiersplit_import.one_layer import OneLayer, Opaque
from tiersplit_import.suppression import suppress

IMAGE = "image:FP32:-1x3x8x8"


def _boxes(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    corner, extent, score = value.flatten(2).transpose(1, 2).split([2, 2, 1], dim=-1)
    return torch.cat([corner, corner + extent.abs()], dim=-1), torch.sigmoid(score.squeeze(-1))


class Remaining(Opaque):
    """The scores of the boxes that remain, 0 for others."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Linear(1, 1)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        boxes, scores = _boxes(value)
        kept = scores * suppress(boxes, scores, 0.3)
        return self.scale(kept.unsqueeze(-1)).squeeze(-1)


class Unmarked(nn.Module):
    """The same, in a module that nobody marked."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        boxes, scores = _boxes(value)
        return scores * suppress(boxes, scores, 0.3)


class Counting(Opaque):
    """Hands on as many numbers as there are positive ones."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.nonzero(value > 0)


class Doubling(OneLayer):
    """Several operators, nothing in them that depends on data."""

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.sin(value), torch.cos(value)], dim=1)


def _network(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), kind())


def remaining() -> nn.Module:
    return _network(Remaining)


def unmarked() -> nn.Module:
    return _network(Unmarked)


def counting() -> nn.Module:
    return _network(Counting)


def doubling() -> nn.Module:
    return _network(Doubling)

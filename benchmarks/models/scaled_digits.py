"""The digits network at the size of a real one: the body of a ResNet behind a wide bottleneck.

The example's network squeezes pictures through 3 numbers per place, so that its activations cross a slow link in no
time even as floats. Real networks have no such place; those that squeeze at all, as MobileNetV2 does, keep 16 numbers
or more. Here it is 16, which as floats are more bytes than the picture itself. Behind it stand twenty residual blocks
(ResNet-34 has sixteen) at the widths of a ResNet's first stages:

    picture   3×96×96  uint8     27.0 KiB
    front     16×24×24 float32   36.0 KiB   after a fiftieth of the work
    middle    32×6×6   float32    4.5 KiB   after two thirds of it
    answer    10       float32     40 B

So without fewer bits no split pays off at a few megabits per second: the front's activations take longer than the
picture, and the middle's come after more work than a small edge can do in time.
"""

import torch
from torch import Tensor, nn

from examples.digits.model import CLASSES, ConvNorm, Residual

BOTTLENECK = 16
BLOCKS = (6, 8, 6)
"""Residual blocks at 24×24, 12×12 and 6×6 places."""


class ScaledDigitNet(nn.Module):
    """Reads N×3×96×96 brightnesses from 0 to 1 and answers N×10 logits."""

    def __init__(self) -> None:
        super().__init__()
        near, far, deep = BLOCKS
        self.front = nn.Sequential(
            ConvNorm(3, 32, kernel=5, stride=2), ConvNorm(32, 64, stride=2), ConvNorm(64, BOTTLENECK, kernel=1)
        )
        self.middle = nn.Sequential(
            ConvNorm(BOTTLENECK, 64),
            *(Residual(64) for _ in range(near)),
            ConvNorm(64, 128, stride=2),
            *(Residual(128) for _ in range(far)),
            ConvNorm(128, 32, stride=2),
        )
        self.deep = nn.Sequential(ConvNorm(32, 256), *(Residual(256) for _ in range(deep)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(256, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        value = self.deep(self.middle(self.front(pixels)))
        logits: Tensor = self.classify(torch.flatten(self.pool(value), 1))
        return logits

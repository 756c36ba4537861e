"""The demo's network: a small residual CNN with natural bottlenecks.

A natural bottleneck is a place where the network itself carries little: here a convolution with few outputs in front of
each of the two deep parts. The bytes shrink along the depth while the work grows, so where it is best to divide the
network depends on the bandwidth:

    picture   3×96×96 uint8     27.0 KiB
    front     3×24×24 float32    6.8 KiB   after a tenth of the work
    middle    8×6×6   float32    1.1 KiB   after two fifths of it
    answer    10      float32     40 B
"""

import torch
from torch import Tensor, nn

CLASSES = 10


class ConvNorm(nn.Sequential):
    """A convolution, its batch norm and, where asked for, a rectifier."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        if relu:
            self.relu = nn.ReLU()


class Residual(nn.Module):
    """Two 3×3 convolutions, and a short cut around them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width, relu=False)
        self.relu = nn.ReLU()

    def forward(self, value: Tensor) -> Tensor:
        out: Tensor = self.relu(value + self.second(self.first(value)))
        return out


class DigitNet(nn.Module):
    """Reads N×3×96×96 brightnesses from 0 to 1 and answers N×10 logits."""

    def __init__(self, front: int = 32, middle: int = 64, deep: int = 256) -> None:
        super().__init__()
        self.front = nn.Sequential(
            ConvNorm(3, front, kernel=5, stride=2),
            ConvNorm(front, 2 * front, stride=2),
            ConvNorm(2 * front, 3, kernel=1),
        )
        self.middle = nn.Sequential(
            ConvNorm(3, middle),
            Residual(middle),
            ConvNorm(middle, middle, stride=2),
            ConvNorm(middle, 8, stride=2),
        )
        self.deep = nn.Sequential(ConvNorm(8, deep), Residual(deep), Residual(deep))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classify = nn.Linear(deep, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        value = self.deep(self.middle(self.front(pixels)))
        logits: Tensor = self.classify(self.pool(value).flatten(1))
        return logits


def trained() -> nn.Module:
    """The network with the weights that `train.py` wrote: `tiersplit import examples.digits.model:trained …`.

    Raises:
        FileNotFoundError: it was not trained yet.
    """
    from safetensors.torch import load_model  # noqa: PLC0415

    from examples.digits.store import WEIGHTS, folder  # noqa: PLC0415

    path = folder() / WEIGHTS
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; write it with: python -m examples.digits.train")
    model = DigitNet()
    load_model(model, path)
    return model.eval()


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the model's parameters and buffers, ready to be saved."""
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()
    }

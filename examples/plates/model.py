"""A licence-plate recogniser in one network: from a camera's frame to characters (AUTO-SPLIT, section 5.5).

A YOLO-like detector finds the plate, the features of that place are cut out at a fixed size, and an LSTM reads them
from left to right. Detector and reader share their first layers, and these end in a natural bottleneck:

    frame     3×160×256 uint8   120 KiB
    features  8×40×64 float32    80 KiB   after a quarter of the detector's work; 20 KiB as bytes
    plate     8×8×40  float32    10 KiB   found, turned upright and cut out
    answer    40×35   float32   5.5 KiB

`plate_reader` has the small LSTM, `plate_reader_large` a larger one behind the same detector.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from examples.plates.plate import CHARACTERS
from examples.plates.scene import HEIGHT, WIDTH

BLANK = len(CHARACTERS)
"""The class of a column in which no character's middle is."""
COLUMNS, ROWS = 40, 8
"""Size of what is cut out for the reader."""
STRIDE = 16
"""Pixels from one of the detector's cells to the next."""
MARGIN = (1.1, 1.2)
"""How much wider and higher than the box the reader looks."""
_TYPICAL_WIDTH, _TYPICAL_HEIGHT = 118.0, 28.0
_FEATURES = 8


class ConvNorm(nn.Sequential):
    """A convolution, its batch norm and a rectifier."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int | tuple[int, int] = 1, spread: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2 * spread, spread, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()


class Residual(nn.Module):
    """A 1×1 and a 3×3 convolution with a short cut around them, as YOLO's backbone has them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.narrow = ConvNorm(width, width // 2, kernel=1)
        self.wide = ConvNorm(width // 2, width)

    def forward(self, value: Tensor) -> Tensor:
        out: Tensor = value + self.wide(self.narrow(value))
        return out


class Detector(nn.Module):
    """Answers for each of 10×16 cells whether a plate's middle is there, and where the plate lies: N×6×10×16."""

    def __init__(self, width: int = 96, blocks: int = 2) -> None:
        super().__init__()
        self.down = nn.Sequential(ConvNorm(_FEATURES, width // 2, stride=2), ConvNorm(width // 2, width, stride=2))
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.wider = ConvNorm(width, width, spread=2)
        self.predict = nn.Conv2d(width, 6, 1)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.predict(self.wider(self.blocks(self.down(features))))
        return out


def boxes_of(cells: Tensor) -> tuple[Tensor, Tensor]:
    """What the detector's N×6×10×16 numbers mean.

    Returns:
        N×160 logits that a plate's middle is in the cell, and N×160×5 boxes: middle (x, y), width and height in pixels,
        tilt in radians.
    """
    seen, x, y, width, height, tilt = cells.flatten(2).unbind(1)
    rows, columns = torch.meshgrid(
        torch.arange(HEIGHT // STRIDE, device=cells.device),
        torch.arange(WIDTH // STRIDE, device=cells.device),
        indexing="ij",
    )
    middle_x, middle_y = (columns.flatten() + 0.5 + x) * STRIDE, (rows.flatten() + 0.5 + y) * STRIDE
    size = (_TYPICAL_WIDTH * torch.exp(width.clamp(-1, 1)), _TYPICAL_HEIGHT * torch.exp(height.clamp(-1, 1)))
    return seen, torch.stack([middle_x, middle_y, *size, tilt], dim=-1)


def likeliest(seen: Tensor, boxes: Tensor) -> Tensor:
    """N×5: the boxes' mean, weighted by how sure each cell is: no cell is chosen, so nothing jumps."""
    return (torch.softmax(seen, dim=-1)[..., None] * boxes).sum(1)


def cut_out(features: Tensor, boxes: Tensor) -> Tensor:
    """N×8×8×40: the features in each box, a margin around it, turned upright."""
    along = torch.linspace(-1, 1, COLUMNS, device=features.device) * MARGIN[0]
    across = torch.linspace(-1, 1, ROWS, device=features.device)[:, None] * MARGIN[1]
    x, y, width, height, tilt = (value[:, None, None] for value in boxes.unbind(1))
    right, down = along * width / 2, across * height / 2
    cos, sin = torch.cos(tilt), torch.sin(tilt)
    # grid_sample counts from -1 to 1 from edge to edge.
    places = ((x + right * cos - down * sin) * (2 / WIDTH) - 1, (y + right * sin + down * cos) * (2 / HEIGHT) - 1)
    return functional.grid_sample(features, torch.stack(places, dim=-1), padding_mode="border", align_corners=False)


class Reader(nn.Module):
    """Reads N×8×8×40 features: N×40×35 logits, a class for each column from left to right.

    Args:
        narrow: width of the convolution in front.
        hidden: width of the LSTM in each direction.
        depth: how many convolutions, and layers of the LSTM.
    """

    def __init__(self, narrow: int, hidden: int, depth: int) -> None:
        super().__init__()
        first = ConvNorm(_FEATURES, narrow)
        self.look = nn.Sequential(first, *(ConvNorm(narrow, narrow) for _ in range(depth - 1)))
        self.flatter = ConvNorm(narrow, narrow, stride=(2, 1))
        self.lstm = nn.LSTM(narrow * ROWS // 2, hidden, depth, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(2 * hidden, BLANK + 1)

    def forward(self, plate: Tensor) -> Tensor:
        columns = self.flatter(self.look(plate)).flatten(1, 2).transpose(1, 2)
        logits: Tensor = self.classify(self.lstm(columns)[0])
        return logits


class PlateReader(nn.Module):
    """Reads N×3×160×256 brightnesses from 0 to 1.

    Answers:
        characters: N×40×35 logits, see `Reader`; `reading.texts_of` makes strings of them.
        box: N×5, see `boxes_of`.
        score: N×1 logits: above 0 where there is a plate.
    """

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNorm(3, 12, stride=2), ConvNorm(12, 24, stride=2), ConvNorm(24, _FEATURES, kernel=1)
        )
        self.detector = Detector()
        self.reader = reader

    def forward(self, frame: Tensor) -> dict[str, Tensor]:
        features = self.stem(frame)
        seen, boxes = boxes_of(self.detector(features))
        box = likeliest(seen, boxes)
        return {
            "characters": self.reader(cut_out(features, box)),
            "box": box,
            "score": seen.amax(dim=1, keepdim=True),
        }


def small() -> PlateReader:
    """Untrained, with the reader that an edge could run."""
    return PlateReader(Reader(narrow=24, hidden=48, depth=1))


def large() -> PlateReader:
    """Untrained, with the reader that only a cloud has the room for."""
    return PlateReader(Reader(narrow=48, hidden=96, depth=2))


def plate_reader() -> nn.Module:
    """The small one with the weights that `train.py` wrote: `tiersplit import examples.plates.model:plate_reader …`.

    Raises:
        FileNotFoundError: it was not trained yet.
    """
    return _trained(small(), "small")


def plate_reader_large() -> nn.Module:
    """The large one; raises as `plate_reader`."""
    return _trained(large(), "large")


def _trained(model: PlateReader, name: str) -> nn.Module:
    from safetensors.torch import load_model  # noqa: PLC0415

    from examples.plates.store import weights_file  # noqa: PLC0415

    path = weights_file(name)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; write it with: python -m examples.plates.train")
    load_model(model, path)
    return model.eval()

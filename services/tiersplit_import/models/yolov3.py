"""YOLOv3, YOLOv3-tiny and YOLOv3-SPP, built row by row from their layer tables."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from tiersplit_import.models.layer_table import (
    Conv,
    Detect,
    MaxPool,
    Route,
    Row,
    Shortcut,
    Upsample,
    yolov3_rows,
    yolov3_spp_rows,
    yolov3_tiny_rows,
)
from tiersplit_import.one_layer import OneLayer

_SLOPE = 0.1
_SHORTCUT_GAIN = 0.25
_DETECTION_STD = 0.01
_INPUT_CHANNELS = 3


class Convolution(nn.Module):
    """A convolution; with a batch norm and a leaky rectifier where the table says so."""

    def __init__(self, channels: int, row: Conv) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, row.filters, row.size, row.stride, row.size // 2, bias=not row.has_norm)
        if row.has_norm:
            nn.init.kaiming_normal_(self.conv.weight, a=_SLOPE)
        else:
            nn.init.normal_(self.conv.weight, std=_DETECTION_STD)
        self.norm = nn.BatchNorm2d(row.filters) if row.has_norm else nn.Identity()
        self.activation = nn.LeakyReLU(_SLOPE) if row.has_norm else nn.Identity()

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """(n, channels, h, w) to (n, filters, h / stride, w / stride)."""
        found: torch.Tensor = self.activation(self.norm(self.conv(value)))
        return found


class SamePool(OneLayer):
    """A max pool of stride 1 that keeps the size."""

    def __init__(self, size: int) -> None:
        super().__init__()
        before = (size - 1) // 2
        self.margins = (before, size - 1 - before) * 2
        self.pool = nn.MaxPool2d(size, 1)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) to the same shape."""
        # Copies of the border lie in windows that hold the border itself, so that they never change a maximum.
        found: torch.Tensor = self.pool(functional.pad(value, self.margins, mode="replicate"))
        return found


class Sum(nn.Module):
    """A shortcut."""

    def forward(self, value: torch.Tensor, earlier: torch.Tensor) -> torch.Tensor:
        """The sum of two tensors of one shape."""
        return value + earlier


class Join(nn.Module):
    """A route of one or more rows."""

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        """Their channels, one after another."""
        return values[0] if len(values) == 1 else torch.cat(values, dim=1)


class Boxes(OneLayer):
    """Reads boxes from a scale's numbers: equations of section 2.1 of the paper, sizes in pixels of the input.

    Args:
        anchors: widths and heights that the boxes are multiples of, in pixels.
        stride: pixels of the input per place.
    """

    anchors: torch.Tensor

    def __init__(self, anchors: Sequence[tuple[int, int]], stride: int) -> None:
        super().__init__()
        self.stride = stride
        shape = (1, len(anchors), 1, 1, 2)
        self.register_buffer("anchors", torch.tensor(anchors, dtype=torch.float32).reshape(shape), persistent=False)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """(n, anchors · (5 + classes), h, w) to (n, anchors · h · w, 5 + classes).

        Each row of the result: the centre's x and y, width and height in pixels, the probability that there is an
        object, and that of each class.
        """
        numbers, height, width = value.shape[1:]
        count = self.anchors.shape[1]
        value = value.reshape(-1, count, numbers // count, height, width).permute(0, 1, 3, 4, 2)
        centre = (torch.sigmoid(value[..., :2]) + _grid(height, width)) * self.stride
        size = torch.exp(value[..., 2:4]) * self.anchors
        return torch.cat([centre, size, torch.sigmoid(value[..., 4:])], dim=-1).flatten(1, 3)


def _grid(height: int, width: int) -> torch.Tensor:
    """Column and row of each place: (h, w, 2)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], dim=-1).to(torch.float32)


class Yolo(nn.Module):
    """A network of the family; the module `layers.N` is row N of its table.

    Args:
        rows: the table.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        super().__init__()
        self.rows = tuple(rows)
        self.layers = nn.ModuleList(_modules(self.rows))
        _damp_shortcuts(self)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(n, 3, h, w), h and w multiples of 32, to one tensor of boxes per scale (see `Boxes`)."""
        values: list[torch.Tensor] = []
        for i, (row, layer) in enumerate(zip(self.rows, self.layers, strict=True)):
            values.append(layer(*(values[j] if j >= 0 else image for j in _reads(row, i))))
        return tuple(value for row, value in zip(self.rows, values, strict=True) if isinstance(row, Detect))


def _reads(row: Row, i: int) -> tuple[int, ...]:
    """The rows that row `i` reads; -1 is the image."""
    if isinstance(row, Route):
        return row.rows
    return (i - 1, row.row) if isinstance(row, Shortcut) else (i - 1,)


def _modules(rows: Sequence[Row]) -> list[nn.Module]:
    channels: list[int] = []
    strides: list[int] = []
    made: list[nn.Module] = []
    for i, row in enumerate(rows):
        read = _reads(row, i)
        before, stride = (channels[read[0]], strides[read[0]]) if i else (_INPUT_CHANNELS, 1)
        made.append(_module(row, before, stride))
        channels.append(_channels(row, [channels[j] for j in read] if i else [before]))
        strides.append(_stride(row, stride))
    return made


def _module(row: Row, channels: int, stride: int) -> nn.Module:
    match row:
        case Conv():
            return Convolution(channels, row)
        case MaxPool(size, step):
            return SamePool(size) if step == 1 else nn.MaxPool2d(size, step)
        case Upsample():
            return nn.Upsample(scale_factor=2)
        case Shortcut():
            return Sum()
        case Route():
            return Join()
        case Detect(anchors):
            return Boxes(anchors, stride)


def _channels(row: Row, read: Sequence[int]) -> int:
    if isinstance(row, Conv):
        return row.filters
    return sum(read) if isinstance(row, Route) else read[0]


def _stride(row: Row, before: int) -> int:
    if isinstance(row, Upsample):
        return before // 2
    return before * (row.stride if isinstance(row, Conv | MaxPool) else 1)


def _damp_shortcuts(model: Yolo) -> None:
    """Untrained, each sum would double the variance, and exp() of the last rows would overflow."""
    for i, row in enumerate(model.rows):
        branch = model.layers[i - 1]
        if isinstance(row, Shortcut) and isinstance(branch, Convolution) and isinstance(branch.norm, nn.BatchNorm2d):
            nn.init.constant_(branch.norm.weight, _SHORTCUT_GAIN)


def yolov3(classes: int = 80) -> Yolo:
    """YOLOv3: 107 rows, detection at rows 82, 94 and 106; untrained."""
    return Yolo(yolov3_rows(classes))


def yolov3_tiny(classes: int = 80) -> Yolo:
    """YOLOv3-tiny: 24 rows, detection at rows 16 and 23; untrained."""
    return Yolo(yolov3_tiny_rows(classes))


def yolov3_spp(classes: int = 80) -> Yolo:
    """YOLOv3-SPP: 114 rows, detection at rows 89, 101 and 113; untrained."""
    return Yolo(yolov3_spp_rows(classes))

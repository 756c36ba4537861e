"""The layers of the YOLOv3 family as the published tables list them, numbered from 0 (Darknet's numbering).

Redmon and Farhadi, "YOLOv3: an incremental improvement", arXiv:1804.02767, 2018; the spatial pyramid after He et al.,
"Spatial pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014. Every row counts: routes,
shortcuts and detection layers too. A row reads the row before it unless it says otherwise.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution that keeps the size, or divides it by its stride.

    Attributes:
        filters: channels that it computes.
        size: of its square kernel.
        stride: along both axes.
        has_norm: whether a batch norm and a leaky rectifier follow; else it has a bias and nothing follows.
    """

    filters: int
    size: int
    stride: int = 1
    has_norm: bool = True


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value of a square window; at stride 1 the size stays."""

    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class Upsample:
    """Every value twice along both axes."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """The sum of the row before and of `row`."""

    row: int


@dataclass(frozen=True, slots=True)
class Route:
    """The channels of `rows`, one after another."""

    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Detect:
    """Boxes from the row before, at each place one for each of `anchors` (widths and heights in pixels)."""

    anchors: tuple[tuple[int, int], ...]


Row = Conv | MaxPool | Upsample | Shortcut | Route | Detect

_ANCHORS = (
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)
_TINY_ANCHORS = (((81, 82), (135, 169), (344, 319)), ((23, 27), (37, 58), (81, 82)))
_BOX_NUMBERS = 5
_DARKNET_BLOCKS = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
_FINE_ROW, _MIDDLE_ROW = 36, 61


def yolov3_rows(classes: int) -> tuple[Row, ...]:
    """YOLOv3: Darknet-53's 75 rows and three scales."""
    rows = _darknet53()
    rows += [*_narrow_wide(512, 2), Conv(512, 1)]
    return tuple(_three_scales(rows, classes))


def yolov3_spp_rows(classes: int) -> tuple[Row, ...]:
    """YOLOv3-SPP: YOLOv3 with a pyramid of three pools before its first scale."""
    rows = [*_darknet53(), *_narrow_wide(512, 1), Conv(512, 1)]
    source = len(rows) - 1
    pools: list[int] = []
    for size in (5, 9, 13):
        rows += [Route((source,))] if pools else []
        pools.insert(0, len(rows))
        rows.append(MaxPool(size, 1))
    rows += [Route((*pools, source)), Conv(512, 1), Conv(1024, 3), Conv(512, 1)]
    return tuple(_three_scales(rows, classes))


def yolov3_tiny_rows(classes: int) -> tuple[Row, ...]:
    """YOLOv3-tiny: seven convolutions with pools between them and two scales."""
    rows: list[Row] = []
    for filters in (16, 32, 64, 128, 256):
        rows += [Conv(filters, 3), MaxPool(2, 2)]
    shallow = len(rows) - 2
    rows += [Conv(512, 3), MaxPool(2, 1), Conv(1024, 3), Conv(256, 1)]
    shared = len(rows) - 1
    rows += [Conv(512, 3), *_scale(_TINY_ANCHORS[0], classes)]
    rows += _join(shared, 128, shallow, len(rows))
    rows += [Conv(256, 3), *_scale(_TINY_ANCHORS[1], classes)]
    return tuple(rows)


def _darknet53() -> list[Row]:
    rows: list[Row] = [Conv(32, 3)]
    for filters, blocks in _DARKNET_BLOCKS:
        rows.append(Conv(filters, 3, 2))
        for _ in range(blocks):
            rows += [Conv(filters // 2, 1), Conv(filters, 3), Shortcut(len(rows) - 1)]
    return rows


def _three_scales(rows: list[Row], classes: int) -> list[Row]:
    """Append the three scales; `rows` end with the 512 channels that the second scale reads too."""
    shared = len(rows) - 1
    rows = [*rows, Conv(1024, 3), *_scale(_ANCHORS[0], classes)]
    for filters, backbone, anchors in ((256, _MIDDLE_ROW, _ANCHORS[1]), (128, _FINE_ROW, _ANCHORS[2])):
        rows += _join(shared, filters, backbone, len(rows))
        rows += [*_narrow_wide(filters, 2), Conv(filters, 1)]
        shared = len(rows) - 1
        rows += [Conv(2 * filters, 3), *_scale(anchors, classes)]
    return rows


def _narrow_wide(filters: int, times: int) -> list[Row]:
    return [Conv(filters, 1), Conv(2 * filters, 3)] * times


def _scale(anchors: tuple[tuple[int, int], ...], classes: int) -> list[Row]:
    return [Conv(len(anchors) * (_BOX_NUMBERS + classes), 1, has_norm=False), Detect(anchors)]


def _join(shared: int, filters: int, backbone: int, start: int) -> list[Row]:
    """Rows from `start` on that bring `shared` to the size of `backbone` and join the two."""
    return [Route((shared,)), Conv(filters, 1), Upsample(), Route((start + 2, backbone))]

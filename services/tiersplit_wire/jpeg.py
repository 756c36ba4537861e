"""Tensors of integers as JPEG pictures (AUTO-SPLIT, appendix B, table 7).

Planes of height × width are taken three at a time as the colours of one picture; the pictures stand below each other,
in several columns where one would be too high for the format. With a quality that is JPEG, with less than 8 bits
stretched over its 256 levels; without loss it is JPEG 2000, whose 5/3 wavelet gives back every integer.
"""

import math
from dataclasses import dataclass
from io import BytesIO
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.codec.frame import EncodedTensor, integers_of, payload_of
from tiersplit_core.errors import FrameError, OperationError

LOSSLESS = None
"""The quality that loses nothing."""

_LONGEST_SIDE = 65_535
_MOST_PIXELS = 1 << 26
_COLOURS = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the planes of a tensor lie in the picture.

    Attributes:
        planes: how many there are.
        height: of a plane.
        width: of a plane.
        columns: how many columns of pictures.
        rows: pictures per column.
    """

    planes: int
    height: int
    width: int
    columns: int
    rows: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole picture."""
        return self.columns * self.width, self.rows * self.height


def layout_of(tensor: EncodedTensor) -> Layout | None:
    """How `tensor` is laid out; None where it is no picture: no integers of at most 8 bits, one axis, or too large."""
    is_bytes = tensor.dtype == "uint8" or tensor.scale is not None
    if not is_bytes or len(tensor.shape) < 2 or not math.prod(tensor.shape):
        return None
    planes, (height, width) = math.prod(tensor.shape[:-2]), tensor.shape[-2:]
    if height > _LONGEST_SIDE:
        return None
    pictures = -(-planes // _COLOURS)
    columns = -(-pictures // (_LONGEST_SIDE // height))
    found = Layout(planes, height, width, columns, -(-pictures // columns))
    fits = found.size[0] <= _LONGEST_SIDE and math.prod(found.size) <= _MOST_PIXELS
    return found if fits else None


def compress(tensor: EncodedTensor, layout: Layout, quality: int | None) -> bytes:
    """The picture of `tensor` as JPEG of a quality between 1 and 95, or as JPEG 2000 (`LOSSLESS`).

    Three planes of bytes that nobody quantised are the colours of a photograph and are compressed as one, with coarser
    differences of colour; features are not, for their planes have nothing to do with each other.

    Raises:
        OperationError: Pillow is not installed.
    """
    photograph = tensor.scale is None
    values = _integers(tensor)
    if quality is not LOSSLESS:
        values = values * np.uint8(_stretch(tensor.bits))
    picture = _pillow().fromarray(_arranged(values, layout))
    stream = BytesIO()
    if quality is LOSSLESS:
        picture.save(stream, format="JPEG2000", irreversible=False, mct=int(photograph), no_jp2=True)
    elif photograph:
        picture.save(stream, format="JPEG", quality=quality)
    else:
        picture.save(stream, format="JPEG", quality=quality, subsampling=0, keep_rgb=True)
    return stream.getvalue()


def decompress(tensor: EncodedTensor) -> bytes:
    """The payload that the picture in `tensor.payload` stands for; its description was checked to be within bounds.

    Raises:
        FrameError: it is no such picture.
        OperationError: Pillow is not installed.
    """
    layout = layout_of(tensor)
    if layout is None:
        raise FrameError(f"{tensor.dtype} of shape {tensor.shape} is no picture", f"{tensor.name}.encoding")
    pixels, stretched = _opened(tensor, layout)
    values = _restored(pixels, layout).reshape(tensor.shape)
    if stretched:
        values = _unstretched(values, tensor.bits)
    elif int(values.max()) >= 2**tensor.bits:
        raise FrameError(f"integers beyond {tensor.bits} bits", f"{tensor.name}.payload")
    return values.tobytes() if tensor.scale is None else payload_of(values, tensor.bits, tensor.packing).tobytes()


def _integers(tensor: EncodedTensor) -> NDArray[np.uint8]:
    if tensor.scale is not None:
        return integers_of(tensor)
    return np.frombuffer(tensor.payload, np.uint8).reshape(tensor.shape)


def _arranged(values: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """Pixels of shape (height, width, colour); planes that are missing to a full picture are black."""
    planes = np.zeros((layout.columns * layout.rows * _COLOURS, layout.height, layout.width), np.uint8)
    planes[: layout.planes] = values.reshape(-1, layout.height, layout.width)
    pictures = planes.reshape(layout.columns, layout.rows, _COLOURS, layout.height, layout.width)
    width, height = layout.size
    return np.ascontiguousarray(pictures.transpose(1, 3, 0, 4, 2)).reshape(height, width, _COLOURS)


def _restored(pixels: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    pictures = pixels.reshape(layout.rows, layout.height, layout.columns, layout.width, _COLOURS)
    planes = np.ascontiguousarray(pictures.transpose(2, 0, 4, 1, 3)).reshape(-1, layout.height, layout.width)
    return planes[: layout.planes]


def _opened(tensor: EncodedTensor, layout: Layout) -> tuple[NDArray[np.uint8], bool]:
    """The picture's pixels, and whether they are stretched over 256 levels."""
    image = _pillow()
    try:
        # Opening reads the header alone: nothing is decoded before size and colours are known to be as described.
        with image.open(BytesIO(tensor.payload), formats=("JPEG", "JPEG2000")) as picture:
            if (picture.size, picture.mode) != (layout.size, "RGB"):
                found = f"{picture.mode} of {picture.size[0]} × {picture.size[1]}"
                raise FrameError(
                    f"RGB of {layout.size[0]} × {layout.size[1]} expected, {found} came", f"{tensor.name}.payload"
                )
            return np.asarray(picture), picture.format == "JPEG"
    except (OSError, ValueError, SyntaxError, image.DecompressionBombError) as error:
        raise FrameError(f"not JPEG: {error}", f"{tensor.name}.payload") from error


def _unstretched(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """The nearest integers of `bits` bits."""
    stretch = _stretch(bits)
    levels = np.minimum((np.arange(256) + stretch // 2) // stretch, 2**bits - 1)
    return np.take(levels.astype(np.uint8), values)


def _stretch(bits: int) -> int:
    return int(255 // (2**bits - 1))


def _pillow() -> ModuleType:
    try:
        from PIL import Image  # noqa: PLC0415 - a stage that sends no pictures goes without
    except ImportError as error:
        raise OperationError("the encoding jpeg needs Pillow; install pillow, or use raw, zstd or lz4") from error
    return Image

"""Affine quantisation of activations: real = scale · (integer − zero_point).

The range always contains zero, so that zero is exact, the zero point lies within the integers, and every value comes
back within half a step (AUTO-SPLIT, §III; Jacob et al. 2018, equation 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.codec.bitpack import WIDTHS
from tiersplit_core.errors import FrameError

QUANTISED_BITS = WIDTHS
"""Bit widths below those of a floating-point type."""

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)

_BLOCK = 30 * 1024
"""Elements that are worked on at a time: their floats stay in the cache, and in an array so small that the C library
never has to map it afresh, page by page, which takes longer than the arithmetic."""

_ROUNDER = np.float32(3 << 22)
"""Added to a small number, it leaves no room for a fraction: the sum is rounded to an integer (ties to even), which
stands in the lowest bits of the floating-point number."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Integers of one tensor.

    Attributes:
        values: uint8, each below 2**bits, in the tensor's shape.
        scale: real numbers per integer step, greater than 0, representable in float32.
        zero_point: the integer that stands for 0.
    """

    values: NDArray[np.uint8]
    scale: float
    zero_point: int


def quantize(array: NDArray[Any], bits: int) -> Quantised | None:
    """Quantise a floating-point tensor; None where it holds what no float32 is, infinities or NaN.

    The smallest number becomes integer 0 by itself, for the zero point is rounded as it is. The largest one passes the
    last integer only where both lie halfway between two, so that most tensors need no pass that limits them.

    Raises:
        FrameError: `bits` is no width of `QUANTISED_BITS`.
    """
    if bits not in QUANTISED_BITS:
        raise FrameError(f"cannot quantise to {bits} bits; use 1, 2, 4, 6 or 8", "bits")
    steps = 2**bits - 1
    low = min(float(array.min()), 0.0) if array.size else 0.0
    high = max(float(array.max()), 0.0) if array.size else 0.0
    with np.errstate(over="ignore"):
        ends = np.array([low, high, max((high - low) / steps, _SMALLEST_SCALE)]).astype(np.float32)
    if not np.isfinite(ends).all():
        return None
    inverse = np.float32(1.0 / float(ends[2]))
    zero_point = min(int(-np.rint(ends[0] * inverse)), steps)
    offset = _ROUNDER + np.float32(zero_point)
    last = _ROUNDER + np.float32(steps)
    values = _integers(array, inverse, offset, last if ends[1] * inverse + offset > last else None)
    return Quantised(values, float(ends[2]), zero_point)


def dequantize(quantised: Quantised, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The real numbers that the integers stand for, as `dtype`."""
    real = np.subtract(quantised.values, np.float32(quantised.zero_point))
    real *= np.float32(quantised.scale)
    return real.astype(dtype, copy=False)


def _integers(
    array: NDArray[Any], inverse: np.float32, offset: np.float32, last: np.float32 | None
) -> NDArray[np.uint8]:
    """The integers of array · inverse + offset, at most `last`; both contain `_ROUNDER`."""
    flat = np.ascontiguousarray(array).reshape(-1)
    values = np.empty(flat.size, np.uint8)
    work = np.empty(min(flat.size, _BLOCK), np.float32)
    for start in range(0, flat.size, _BLOCK):
        part = flat[start : start + _BLOCK]
        block = np.multiply(part, inverse, out=work[: part.size], dtype=np.float32, casting="same_kind")
        block += offset
        if last is not None:
            np.minimum(block, last, out=block)
        np.copyto(values[start : start + _BLOCK], block.view(np.uint32), casting="unsafe")
    return values.reshape(array.shape)

"""Affine quantisation of activations: real = scale · (integer − zero_point).

The range always contains zero, so that zero is exact, the zero point lies within the integers, and every value comes
back within half a step (AUTO-SPLIT, §III; Jacob et al. 2018, equation 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.errors import FrameError

QUANTISED_BITS = (1, 2, 4, 6, 8)
"""Bit widths below those of a floating-point type."""

_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


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
    """Quantise a floating-point tensor; None where it holds infinities or NaN, which no scale can express.

    Raises:
        FrameError: `bits` is no width of `QUANTISED_BITS`.
    """
    if bits not in QUANTISED_BITS:
        raise FrameError(f"cannot quantise to {bits} bits; use 1, 2, 4, 6 or 8", "bits")
    steps = 2**bits - 1
    low = min(float(array.min()), 0.0) if array.size else 0.0
    high = max(float(array.max()), 0.0) if array.size else 0.0
    scale = float(np.float32(max((high - low) / steps, _SMALLEST_SCALE)))
    if not np.isfinite(scale):
        return None
    zero_point = min(int(np.rint(-low / scale)), steps)
    work = np.empty(array.shape, np.float64 if array.dtype == np.float64 else np.float32)
    np.multiply(array, 1.0 / scale, out=work)
    np.rint(work, out=work)
    work += zero_point
    np.clip(work, 0, steps, out=work)
    return Quantised(work.astype(np.uint8), scale, zero_point)


def dequantize(quantised: Quantised, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The real numbers that the integers stand for, as `dtype`."""
    work = quantised.values.astype(np.float32)
    work -= np.float32(quantised.zero_point)
    work *= np.float32(quantised.scale)
    return work.astype(dtype, copy=False)

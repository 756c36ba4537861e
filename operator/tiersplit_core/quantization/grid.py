"""The numbers that integers of a tensor stand for: real = scale · (integer − zero_point)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.quantization.statistics import Range

Reals = NDArray[Any]  # floating point
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Grid:
    """Equally spaced numbers, 0 among them.

    Attributes:
        scale: the step between neighbours, representable in float32.
        zero_point: the integer that stands for 0.
        steps: the highest integer; the lowest is 0.
    """

    scale: float
    zero_point: int
    steps: int

    @property
    def range(self) -> Range:
        """The lowest and the highest number of the grid."""
        return -self.zero_point * self.scale, (self.steps - self.zero_point) * self.scale

    def rounded(self, values: Reals) -> Reals:
        """Each value's nearest number on the grid; values outside the range become its ends."""
        whole = np.clip(np.rint(values / self.scale) + self.zero_point, 0, self.steps)
        nearest: Reals = (whole - self.zero_point) * self.scale
        return nearest


def grid_of(reach: Range, bits: int) -> Grid:
    """The grid of 2**bits numbers over a range, as `codec.quantize` lays it (Jacob et al. 2018, equation 1)."""
    steps = 2**bits - 1
    low, high = min(reach[0], 0.0), max(reach[1], 0.0)
    scale = float(np.float32(max((high - low) / steps, _SMALLEST_SCALE)))
    inverse = np.float32(1.0 / scale)
    return Grid(scale, min(int(-np.rint(np.float32(low) * inverse)), steps), steps)

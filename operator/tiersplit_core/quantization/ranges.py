"""Which range of an activation its integers cover: all that was seen, or less, so that the steps are finer."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np

from tiersplit_core.quantization.grid import Grid, grid_of
from tiersplit_core.quantization.histogram import Histogram
from tiersplit_core.quantization.statistics import Clip, Range

_FRACTIONS = np.geomspace(0.03, 1.0, 32)
"""Of the largest value seen: the ends of range that `least_error` tries; neighbours differ by 12%."""

_ENDS = (1e-3, 60.0)
"""Between these multiples of the distribution's width lies every optimum of 1 to 16 bits."""


def choose_range(seen: Histogram, bits: int, clip: Clip) -> Range:
    """The range of a tensor for `bits` bits; 0 lies in it."""
    return _CHOICES[clip](seen, bits)


def mean_squared_error(seen: Histogram, grid: Grid) -> float:
    """Mean over the values seen of (value − its number on the grid)²; values count as the middle of their bin."""
    middles, counts = seen.points()
    if not seen.total:
        return 0.0
    return float(np.sum(counts * (grid.rounded(middles) - middles) ** 2)) / seen.total


def everything(seen: Histogram, bits: int) -> Range:  # noqa: ARG001 - as the other choices
    """Nothing is clipped, whatever the bit width."""
    return seen.low, seen.high


def least_error(seen: Histogram, bits: int) -> Range:
    """The range with the least mean squared error among 32 lower and 32 upper ends."""
    if seen.reach == 0:
        return 0.0, 0.0
    middles, counts = seen.points(coarse=True)
    best, error = (seen.low, seen.high), math.inf
    for low in _ends(seen.low):
        for high in _ends(seen.high):
            grid = grid_of((low, high), bits)
            found = float(counts @ (grid.rounded(middles) - middles) ** 2)
            if found < error:
                best, error = (low, high), found
    return best


def analytic(seen: Histogram, bits: int) -> Range:
    """ACIQ: the optimum for a Laplace or Gauss distribution, whichever is likelier (Banner et al. 2018, §3).

    Numbers of one sign, as a rectifier leaves them, are half of a distribution around 0: the whole one has twice as
    many steps, which is the optimum for one bit more.
    """
    middles, counts = seen.points()
    total = counts.sum()
    if not total:
        return 0.0, 0.0
    one_sided = seen.low == 0 or seen.high == 0
    middle = 0.0 if one_sided else float(counts @ middles) / total
    away = np.abs(middles - middle)
    width, deviation = float(counts @ away) / total, math.sqrt(float(counts @ away**2) / total)
    laplace = math.log(2 * width) + 1 < math.log(deviation) + 0.5 * math.log(2 * math.pi * math.e)
    effective = bits + 1 if one_sided else bits
    reach = width * laplace_clip(effective) if laplace else deviation * gauss_clip(effective)
    return max(seen.low, min(middle - reach, 0.0)), min(seen.high, max(middle + reach, 0.0))


@cache
def laplace_clip(bits: int) -> float:
    """The optimal clipping value of a Laplace distribution of scale 1.

    It minimises 2·exp(−α) + α² / (3·4^bits), what is clipped and what is rounded (Banner et al. 2018, equation 9).
    """
    return _root(lambda reach: 2 * reach / (3 * 4.0**bits) - 2 * math.exp(-reach))


@cache
def gauss_clip(bits: int) -> float:
    """The optimal clipping value of a normal distribution of deviation 1.

    It minimises (1 + α²)·erfc(α/√2) − α·√(2/π)·exp(−α²/2) + α² / (3·4^bits) (Banner et al. 2018, appendix A).
    """

    def slope(reach: float) -> float:
        tail = 2 * reach * math.erfc(reach / math.sqrt(2)) - 2 * math.sqrt(2 / math.pi) * math.exp(-reach * reach / 2)
        return tail + 2 * reach / (3 * 4.0**bits)

    return _root(slope)


def _root(slope: Callable[[float], float]) -> float:
    """Where an error that falls and then rises is least, by bisection of its slope."""
    low, high = _ENDS
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2


def _ends(end: float) -> list[float]:
    return [float(end * fraction) for fraction in _FRACTIONS] if end else [0.0]


_CHOICES: Mapping[Clip, Callable[[Histogram, int], Range]] = MappingProxyType(
    {Clip.MIN_MAX: everything, Clip.MSE: least_error, Clip.ACIQ: analytic}
)

"""Symmetric quantisation of weights, a scale per output channel: real = scale · integer.

The integers of b bits lie within ±(2^(b−1) − 1), so that 2 bits are −1, 0 and 1 and no zero point is needed
(AUTO-SPLIT, §5.1; Krishnamoorthi 2018, §2.2).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.errors import StatisticsError
from tiersplit_core.quantization.ranges import gauss_clip, laplace_clip
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip

_FRACTIONS = np.linspace(0.2, 1.0, 33)
"""Of a channel's largest weight: where the search for its scale begins."""

_REFINEMENTS = 2
_SMALLEST_SCALE = np.finfo(np.float32).tiny
_Rows = NDArray[np.float32]  # channel × weight


@dataclass(frozen=True, slots=True)
class QuantisedWeights:
    """Integers of one constant.

    Attributes:
        values: int8, in the constant's shape.
        scales: float32, one per channel.
        axis: the axis of the channels.
        bits: how many bits each integer needs.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int
    bits: int

    def dequantised(self) -> NDArray[np.float32]:
        """The real numbers that the integers stand for."""
        shape = [1] * self.values.ndim
        shape[self.axis] = -1
        real: NDArray[np.float32] = self.values.astype(np.float32) * self.scales.reshape(shape)
        return real


def quantise_weights(weights: NDArray[Any], bits: int, axis: int, clip: Clip = Clip.MSE) -> QuantisedWeights:
    """Quantise a constant.

    Args:
        weights: finite numbers.
        bits: 2, 4, 6 or 8.
        axis: the axis of the output channels, each of which gets its own scale.
        clip: how the scales are chosen.

    Raises:
        StatisticsError: `bits` is another width, or a weight is not finite.
    """
    if bits not in BIT_WIDTHS:
        raise StatisticsError(f"weights cannot have {bits} bits; use 2, 4, 6 or 8", "bits")
    rows = np.moveaxis(np.asarray(weights, np.float32), axis, 0)
    flat = rows.reshape(rows.shape[0], -1)
    if not np.isfinite(flat).all():
        raise StatisticsError("a weight is not finite; check the model", "weights")
    found = _scales(flat, _highest(bits), bits, clip)
    scales = np.where(flat.any(axis=1), found, np.float32(1))  # any scale does for zeros; 1 keeps biases in range
    values = _integers(flat, scales, _highest(bits)).astype(np.int8).reshape(rows.shape)
    return QuantisedWeights(np.ascontiguousarray(np.moveaxis(values, 0, axis)), scales, axis, bits)


def weight_error(weights: NDArray[Any], quantised: QuantisedWeights) -> float:
    """Mean squared error of the constant's elements: D^w of AUTO-SPLIT's §3.1."""
    return float(np.mean((np.asarray(weights, np.float32) - quantised.dequantised()) ** 2, dtype=np.float64))


def _highest(bits: int) -> int:
    return int(2 ** (bits - 1)) - 1


def _scales(rows: _Rows, highest: int, bits: int, clip: Clip) -> NDArray[np.float32]:
    reach = np.abs(rows).max(axis=1, initial=0.0)
    if clip is Clip.MSE:
        return _least_error(rows, reach, highest)
    if clip is Clip.ACIQ:
        reach = np.minimum(reach, _analytic(rows, bits))
    return _as_scale(reach / highest)


def _least_error(rows: _Rows, reach: _Rows, highest: int) -> NDArray[np.float32]:
    """The best of several beginnings, refined."""
    begun = _as_scale(reach / highest)
    best, least = begun, np.full(len(rows), np.inf, np.float32)
    for fraction in _FRACTIONS[::-1]:
        best, least = _better(rows, _as_scale(begun * np.float32(fraction)), highest, best, least)
    for _ in range(_REFINEMENTS):
        best, least = _better(rows, _refined(rows, best, highest), highest, best, least)
    return best


def _refined(rows: _Rows, scales: _Rows, highest: int) -> NDArray[np.float32]:
    """For fixed integers q the best scale is ⟨w, q⟩ / ⟨q, q⟩."""
    whole = _integers(rows, scales, highest)
    squares = np.einsum("ij,ij->i", whole, whole)
    return np.where(squares > 0, _as_scale(np.einsum("ij,ij->i", whole, rows) / np.maximum(squares, 1)), scales)


def _better(
    rows: _Rows, tried: _Rows, highest: int, best: _Rows, least: _Rows
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    away = rows - _integers(rows, tried, highest) * tried[:, None]
    error = np.einsum("ij,ij->i", away, away)
    return np.where(error < least, tried, best), np.minimum(error, least)


def _integers(rows: _Rows, scales: _Rows, highest: int) -> _Rows:
    whole: _Rows = np.clip(np.rint(rows / scales[:, None]), -highest, highest)
    return whole


def _analytic(rows: _Rows, bits: int) -> NDArray[np.float64]:
    """ACIQ's clipping value of each channel around 0, for the likelier of Laplace and Gauss."""
    wide = rows.astype(np.float64)
    width, deviation = np.abs(wide).mean(axis=1), np.sqrt((wide**2).mean(axis=1))
    with np.errstate(divide="ignore"):
        laplace = np.log(2 * width) + 1 < np.log(deviation) + 0.5 * np.log(2 * np.pi * np.e)
    clips: NDArray[np.float64] = np.where(laplace, width * laplace_clip(bits), deviation * gauss_clip(bits))
    return clips


def _as_scale(values: NDArray[Any]) -> NDArray[np.float32]:
    scales: NDArray[np.float32] = np.maximum(values, _SMALLEST_SCALE).astype(np.float32)
    return scales

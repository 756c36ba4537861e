"""Ranges of activations: what they cost is counted rightly, and the chosen ones cost least."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tiersplit_core.codec.quantize import dequantize, quantize
from tiersplit_core.quantization.grid import grid_of
from tiersplit_core.quantization.histogram import Histogram
from tiersplit_core.quantization.ranges import choose_range, gauss_clip, laplace_clip, mean_squared_error
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip

_FLOATS = st.floats(-1e4, 1e4, width=32).map(lambda number: 0.0 if abs(number) < 1e-6 else number)
_VALUES = npst.arrays(np.float32, st.integers(1, 60), elements=_FLOATS)
_BITS = st.sampled_from(BIT_WIDTHS)


def _seen(*parts: np.ndarray) -> Histogram:
    found = Histogram()
    for part in parts:
        found.add(part)
    return found


def _error(values: np.ndarray, low: float, high: float, bits: int) -> float:
    """Number by number, as the definition says."""
    steps = 2**bits - 1
    scale = float(np.float32((high - low) / steps))
    zero = min(round(-low / scale), steps)
    total = 0.0
    for value in values.tolist():
        whole = min(max(round(value / scale) + zero, 0), steps)
        total += ((whole - zero) * scale - value) ** 2
    return total / len(values)


@given(_VALUES, _BITS)
def test_the_grid_over_all_values_rounds_as_the_codec_does(values: np.ndarray, bits: int) -> None:
    sent = quantize(values, bits)
    assert sent is not None
    grid = grid_of((float(values.min()), float(values.max())), bits)
    assert (grid.scale, grid.zero_point) == (sent.scale, sent.zero_point)
    np.testing.assert_allclose(grid.rounded(values), dequantize(sent, np.dtype(np.float32)), atol=1.01 * grid.scale)


@given(_VALUES, st.integers(1, 5), _BITS)
def test_values_seen_in_parts_count_like_values_seen_at_once_when_the_widest_come_first(
    values: np.ndarray, parts: int, bits: int
) -> None:
    ordered = values[np.argsort(-np.abs(values))]
    once, bit_by_bit = _seen(ordered), _seen(*np.array_split(ordered, parts))
    assert (bit_by_bit.low, bit_by_bit.high, bit_by_bit.zeros) == (once.low, once.high, once.zeros)
    np.testing.assert_array_equal(bit_by_bit.counts, once.counts)


@given(_VALUES, st.integers(1, 5))
def test_no_value_is_lost_when_the_bins_widen(values: np.ndarray, parts: int) -> None:
    ordered = values[np.argsort(np.abs(values))]
    seen = _seen(*np.array_split(ordered, parts))
    middles, counts = seen.points()
    assert seen.total == len(values)
    width = 2 * seen.reach / len(seen.counts)
    unfolded = np.sort(np.concatenate([np.repeat(middles, counts.astype(int)), np.zeros(seen.zeros)]))
    assert np.abs(unfolded - np.sort(values)).max() <= 1.01 * width


def test_what_is_not_finite_does_not_count() -> None:
    seen = _seen(np.array([-np.inf, np.nan, 2.0, -1.0, 0.0], np.float32), np.zeros(0, np.float32))
    assert (seen.low, seen.high, seen.total) == (-1.0, 2.0, 3)


@given(_VALUES, _BITS)
def test_the_error_from_the_histogram_is_that_of_the_values(values: np.ndarray, bits: int) -> None:
    seen = _seen(values)
    if seen.reach == 0:
        assert mean_squared_error(seen, grid_of((0.0, 0.0), bits)) == 0
        return
    reach = (min(float(values.min()), 0.0), max(float(values.max()), 0.0))
    wanted = _error(values, *reach, bits)
    bin_width = 2 * seen.reach / len(seen.counts)
    grid = grid_of(reach, bits)
    # A value moves by up to half a bin, and so does its distance to the grid.
    assert math.sqrt(mean_squared_error(seen, grid)) == pytest.approx(math.sqrt(wanted), abs=bin_width)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1), _BITS, st.sampled_from(["normal", "laplace", "rectified"]))
def test_the_least_error_clip_is_as_good_as_an_exhaustive_search(seed: int, bits: int, shape: str) -> None:
    draw = np.random.default_rng(seed)
    values = draw.laplace(size=1500) if shape == "laplace" else draw.standard_normal(1500)
    values = np.maximum(values, 0) if shape == "rectified" else values
    low, high = choose_range(_seen(values), bits, Clip.MSE)
    ends = np.linspace(0.04, 1, 25)
    lows = [0.0] if values.min() == 0 else [values.min() * end for end in ends]
    wanted = min(
        float(np.mean((grid_of((a, b * values.max()), bits).rounded(values) - values) ** 2))
        for a, b in itertools.product(lows, ends)
    )
    found = float(np.mean((grid_of((low, high), bits).rounded(values) - values) ** 2))
    assert found <= 1.1 * wanted


@given(_VALUES, _BITS, st.sampled_from(Clip))
@settings(deadline=None)
def test_every_range_holds_zero_and_nothing_that_was_not_seen(values: np.ndarray, bits: int, clip: Clip) -> None:
    low, high = choose_range(_seen(values), bits, clip)
    assert min(float(values.min()), 0.0) <= low <= 0 <= high <= max(float(values.max()), 0.0)


@pytest.mark.parametrize(("bits", "wanted"), [(2, 2.83), (3, 3.89), (4, 5.03)])
def test_the_analytic_clip_of_a_laplace_distribution_is_the_published_one(bits: int, wanted: float) -> None:
    assert laplace_clip(bits) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize(("bits", "wanted"), [(2, 1.71), (3, 2.15), (4, 2.55)])
def test_the_analytic_clip_of_a_normal_distribution_is_the_published_one(bits: int, wanted: float) -> None:
    assert gauss_clip(bits) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("bits", [2, 4, 6, 8])
@pytest.mark.parametrize("kind", ["laplace", "normal", "rectified"])
def test_the_analytic_clip_of_drawn_values_is_close_to_the_best(bits: int, kind: str) -> None:
    draw = np.random.default_rng(bits)
    values = draw.laplace(size=200_000) if kind == "laplace" else draw.standard_normal(200_000)
    values = np.maximum(values, 0) if kind == "rectified" else values
    seen = _seen(values)
    errors = {clip: mean_squared_error(seen, grid_of(choose_range(seen, bits, clip), bits)) for clip in Clip}
    assert errors[Clip.ACIQ] <= 1.25 * errors[Clip.MSE]
    assert errors[Clip.MSE] <= errors[Clip.MIN_MAX] * (1 + 1e-2)

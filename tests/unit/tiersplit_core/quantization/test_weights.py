"""Weights: nearest integers, scales that cost least, and biases that take back what rounding shifts."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tiersplit_core.errors import StatisticsError
from tiersplit_core.quantization.bias import convolution_shift, product_shift
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip
from tiersplit_core.quantization.weights import quantise_weights, weight_error

_BITS = st.sampled_from(BIT_WIDTHS)
_FLOATS = st.floats(-100, 100, width=32).map(lambda number: 0.0 if abs(number) < 1e-4 else number)
_WEIGHTS = npst.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 12)), elements=_FLOATS)


@given(_WEIGHTS, _BITS, st.sampled_from(Clip), st.integers(0, 1))
def test_each_weight_becomes_the_nearest_of_the_integers(weights: np.ndarray, bits: int, clip: Clip, axis: int) -> None:
    found = quantise_weights(weights, bits, axis, clip)
    highest = 2 ** (bits - 1) - 1
    for place, value in np.ndenumerate(weights):
        scale = float(found.scales[place[axis]])
        away = [abs(float(value) - whole * scale) for whole in range(-highest, highest + 1)]
        got = abs(float(value) - int(found.values[place]) * scale)
        assert got <= min(away) + 1e-5 * max(scale, abs(float(value)))


def _exact(row: np.ndarray, highest: int) -> float:
    """The least squared error over all scales: between the points where an integer changes it is a parabola."""
    turns = {abs(value) / (whole + 0.5) for value in row.tolist() for whole in range(highest) if value}
    edges = [0.0, *sorted(turns), 2 * max(turns, default=1.0)]
    least = float(np.sum(row**2))
    for low, high in itertools.pairwise(edges):
        whole = np.clip(np.rint(row / ((low + high) / 2)), -highest, highest)
        scale = float(whole @ row / max(whole @ whole, 1))
        least = min(least, float(np.sum((row - whole * scale) ** 2)))
    return least


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 4]), st.sampled_from(["normal", "laplace"]))
def test_the_least_error_scales_are_nearly_the_exact_optimum(seed: int, bits: int, shape: str) -> None:
    draw = np.random.default_rng(seed)
    drawn = draw.laplace(size=(10, 150)) if shape == "laplace" else draw.standard_normal((10, 150))
    weights = drawn.astype(np.float32)
    found = quantise_weights(weights, bits, 0, Clip.MSE)
    wanted = sum(_exact(row.astype(np.float64), 2 ** (bits - 1) - 1) for row in weights)
    assert weight_error(weights, found) * weights.size <= 1.05 * wanted


@given(_WEIGHTS, _BITS)
def test_searching_the_scale_is_never_worse_than_covering_everything(weights: np.ndarray, bits: int) -> None:
    least = weight_error(weights, quantise_weights(weights, bits, 0, Clip.MSE))
    assert least <= weight_error(weights, quantise_weights(weights, bits, 0, Clip.MIN_MAX)) * (1 + 1e-4) + 1e-12


def test_more_bits_cost_less() -> None:
    weights = np.random.default_rng(3).standard_normal((8, 4, 3, 3))
    errors = [weight_error(weights, quantise_weights(weights, bits, 0)) for bits in BIT_WIDTHS]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 100 * errors[-1] > 0


def test_other_widths_and_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(StatisticsError, match="3 bits"):
        quantise_weights(np.ones((2, 2)), 3, 0)
    with pytest.raises(StatisticsError, match="not finite"):
        quantise_weights(np.array([[1.0, np.nan]]), 8, 0)


@given(st.integers(0, 1000), st.sampled_from([1, 2, 4]))
def test_the_shift_of_a_convolution_is_what_constant_channels_show(seed: int, groups: int) -> None:
    draw = np.random.default_rng(seed)
    difference, means = draw.standard_normal((8, 2, 3, 3)), draw.standard_normal(2 * groups)
    shift = convolution_shift(difference, means, groups)
    for output in range(8):
        first = (output // (8 // groups)) * 2
        wanted = sum(
            difference[output, i, y, x] * means[first + i] for i in range(2) for y in range(3) for x in range(3)
        )
        assert shift[output] == pytest.approx(wanted)


def test_a_corrected_product_has_the_mean_of_the_real_one() -> None:
    draw = np.random.default_rng(0)
    weights, seen = draw.standard_normal((16, 5)), draw.standard_normal((300, 16)) + 2
    rounded = quantise_weights(weights, 2, 1).dequantised()
    shift = product_shift(rounded - weights, seen.mean(axis=0))
    np.testing.assert_allclose((seen @ rounded - shift).mean(axis=0), (seen @ weights).mean(axis=0), atol=1e-5)
    assert np.abs((seen @ rounded).mean(axis=0) - (seen @ weights).mean(axis=0)).max() > 0.1

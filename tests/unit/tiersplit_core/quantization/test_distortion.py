"""Metrics over a model's outputs, against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tiersplit_core.quantization.distortion import cross_entropy_rise, divergence, mean_trace, output_error

_SCORES = npst.arrays(np.float64, (3, 4), elements=st.floats(-20, 20))


def _softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


@given(_SCORES, _SCORES)
def test_divergence_and_cross_entropy_are_their_definitions(model: np.ndarray, quantised: np.ndarray) -> None:
    apart, rise = 0.0, 0.0
    for before, after in zip(model.tolist(), quantised.tolist(), strict=True):
        p, q = _softmax(before), _softmax(after)
        apart += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 3
        best = p.index(max(p))
        rise += (math.log(p[best]) - math.log(q[best])) / 3
    assert divergence(model, quantised) == pytest.approx(max(apart, 0), abs=1e-9)
    assert cross_entropy_rise(model, quantised) == pytest.approx(max(rise, 0), abs=1e-9)


@given(_SCORES)
def test_a_model_is_not_apart_from_itself(model: np.ndarray) -> None:
    assert output_error(model, model) == divergence(model, model) == cross_entropy_rise(model, model) == 0


def test_scores_of_an_image_count_place_by_place() -> None:
    draw = np.random.default_rng(0)
    model, quantised = draw.standard_normal((2, 3, 4, 5)), draw.standard_normal((2, 3, 4, 5))
    flat = [np.moveaxis(value, 1, -1).reshape(-1, 3) for value in (model, quantised)]
    assert divergence(model, quantised) == pytest.approx(divergence(*flat))


def test_the_mean_trace_of_a_known_loss_is_found_from_its_values() -> None:
    draw = np.random.default_rng(1)
    factor = draw.standard_normal((12, 30)) * np.linspace(0.1, 2, 30)
    hessian = factor.T @ factor
    found = mean_trace(lambda shift: 0.5 * float(shift @ hessian @ shift), 30, probes=400, step=1e-2)
    assert found == pytest.approx(np.trace(hessian) / 30, rel=0.1)

"""What is known of a link, against a general solver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.adaptation.fit import Belief, Fit, Noise
from tiersplit_core.adaptation.observation import LinkSample

SAMPLES = st.builds(LinkSample, st.integers(64, 10**6), st.floats(1e-3, 2.0), st.booleans())


@given(st.floats(1e-4, 0.1), st.floats(0.05, 10.0), st.lists(SAMPLES, min_size=1, max_size=30))
def test_latency_and_bandwidth_solve_the_normal_equations_wherever_a_link_can_be_so(latency_s, per_megabyte_s, samples):
    fit = Fit.begun(latency_s, per_megabyte_s, Belief(0.1, 5e-4, 2.5))
    for sample in samples:
        fit = fit.after(sample, Noise())
    expected = np.linalg.solve(fit.information, fit.evidence)
    if (expected > 1e-6).all():
        assert fit.solution == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)
    assert min(fit.solution) >= 0


def test_a_transmission_is_expected_to_take_the_latency_there_and_back_and_its_bytes():
    fit = Fit.begun(0.01, 2.0, Belief(0.1, 5e-4, 2.5))
    assert fit.expected_s(LinkSample(500_000, 1.0)) == pytest.approx(0.02 + 1.0)
    assert fit.expected_s(LinkSample(500_000, 1.0, idle_before=False)) == pytest.approx(1.0)

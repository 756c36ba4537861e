from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.serving import Overhead, fit_overhead


def test_an_overhead_is_paid_once_and_per_byte():
    assert Overhead(0.003, 1e-6).seconds(1000) == pytest.approx(0.004)


@given(st.floats(0, 1e-2), st.floats(0, 1e-6), st.sets(st.integers(1, 10**7), min_size=2, max_size=9))
def test_overhead_of_exact_observations_is_found(fixed, per_byte, sizes):
    ordered = sorted(sizes)
    seconds = [fixed + per_byte * size for size in ordered]
    found = fit_overhead(ordered, seconds)
    for size, actual in zip(ordered, seconds, strict=True):
        assert isclose(found.seconds(size), actual, rel_tol=1e-3, abs_tol=1e-9)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-6, 1)), min_size=2))
def test_overhead_is_never_negative_whatever_was_observed(samples):
    sizes = [size for size, _ in samples]
    if len(set(sizes)) > 1:
        found = fit_overhead(sizes, [seconds for _, seconds in samples])
        assert min(found.fixed_s, found.s_per_byte) >= 0


@pytest.mark.parametrize(("sizes", "seconds"), [([1, 1], [1, 1]), ([1, 2], [1]), ([], [])])
def test_too_few_sizes_are_refused(sizes, seconds):
    with pytest.raises(ProfileError):
        fit_overhead(sizes, seconds)

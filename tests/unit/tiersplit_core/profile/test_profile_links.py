from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.links import LinkProfile, fit_overhead


def test_seconds_are_latency_overhead_copies_and_the_medium():
    link = LinkProfile("edge", "cloud", 8e6, 0.02, overhead_s=0.003, seconds_per_byte=1e-6)
    assert link.seconds(1000) == pytest.approx(0.02 + 0.003 + 1000 * 1e-6 + 8 * 1000 / 8e6)


@given(st.floats(1e3, 1e12), st.floats(0, 1), st.floats(0, 1e-3), st.floats(0, 1e-6), st.integers(0, 10**8))
def test_effective_bandwidth_and_latency_say_the_same_as_the_parts(bandwidth, latency, overhead, per_byte, size):
    link = LinkProfile("a", "b", bandwidth, latency, overhead, per_byte)
    parts = latency + overhead + size * (per_byte + 8 / bandwidth)
    assert isclose(link.seconds(size), parts, rel_tol=1e-9)
    assert isclose(link.effective_latency_s + 8 * size / link.effective_bandwidth_bps, parts, rel_tol=1e-9)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0])
def test_a_link_that_is_down_never_delivers(bandwidth):
    link = LinkProfile("a", "b", bandwidth, 0.0)
    assert (link.seconds(1), link.effective_bandwidth_bps) == (inf, 0.0)


def test_an_unlimited_link_costs_its_ends_only():
    assert LinkProfile("a", "b", inf, 0.0, 0.001).seconds(10**9) == 0.001


def test_another_medium_keeps_the_ends():
    link = LinkProfile("a", "b", 1e6, 0.1, 0.001, 1e-9)
    assert link.under(2e6) == LinkProfile("a", "b", 2e6, 0.1, 0.001, 1e-9)
    assert link.under(2e6, 0.2).latency_s == 0.2


@given(st.floats(0, 1e-2), st.floats(0, 1e-6), st.sets(st.integers(1, 10**7), min_size=2, max_size=9))
def test_overhead_of_exact_observations_is_found(fixed, per_byte, sizes):
    ordered = sorted(sizes)
    seconds = [fixed + per_byte * size for size in ordered]
    found = fit_overhead(ordered, seconds)
    assert all(part >= 0 for part in found)
    for size, actual in zip(ordered, seconds, strict=True):
        assert isclose(found[0] + found[1] * size, actual, rel_tol=1e-3, abs_tol=1e-9)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.floats(1e-6, 1)), min_size=2))
def test_overhead_is_never_negative_whatever_was_observed(samples):
    sizes = [size for size, _ in samples]
    if len(set(sizes)) > 1:
        assert all(part >= 0 for part in fit_overhead(sizes, [seconds for _, seconds in samples]))


@pytest.mark.parametrize(("sizes", "seconds"), [([1, 1], [1, 1]), ([1, 2], [1]), ([], [])])
def test_too_few_sizes_are_refused(sizes, seconds):
    with pytest.raises(ProfileError):
        fit_overhead(sizes, seconds)

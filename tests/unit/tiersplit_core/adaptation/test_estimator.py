"""Links and loads are learnt from what was seen, through noise, outliers and changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_core.adaptation.estimator import LinkEstimator, LoadEstimate
from tiersplit_core.adaptation.observation import LinkSample, SegmentSample


def sample(
    payload_bytes: int, bandwidth_bps: float, latency_s: float, idle: bool = True, noise: float = 1.0
) -> LinkSample:
    seconds = (2 * idle * latency_s + 8 * payload_bytes / bandwidth_bps) * noise
    return LinkSample(payload_bytes, seconds, idle_before=idle)


def test_before_anything_is_seen_the_declared_values_hold() -> None:
    estimate = LinkEstimator(1e7, 0.04).estimate
    assert estimate.bandwidth_bps == pytest.approx(1e7)
    assert estimate.latency_s == pytest.approx(0.04)
    assert not estimate.down


@settings(max_examples=150, deadline=None)
@given(
    bandwidth=st.floats(5.5, 9), declared=st.floats(5.5, 9), latency_s=st.floats(0, 0.1), seed=st.integers(0, 2**32 - 1)
)
def test_constant_links_are_learnt_within_ten_percent_of_a_transmission(
    bandwidth: float, declared: float, latency_s: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    estimator = LinkEstimator(10**declared, latency_s)
    for _ in range(30):
        size = int(rng.integers(20_000, 400_000))
        idle = bool(rng.integers(2))
        estimator.observe(sample(size, 10**bandwidth, latency_s, idle, float(rng.normal(1, 0.03))))
    estimate = estimator.estimate
    predicted_s = 2 * estimate.latency_s + 8 * 200_000 / estimate.bandwidth_bps
    true_s = 2 * latency_s + 8 * 200_000 / 10**bandwidth
    assert predicted_s == pytest.approx(true_s, rel=0.1, abs=1e-3)


def test_different_sizes_tell_latency_from_bandwidth() -> None:
    estimator = LinkEstimator(1e8, 0.0)
    rng = np.random.default_rng(0)
    for _ in range(60):
        estimator.observe(sample(int(rng.integers(1_000, 300_000)), 2e7, 0.05))
    assert estimator.estimate.bandwidth_bps == pytest.approx(2e7, rel=0.05)
    assert estimator.estimate.latency_s == pytest.approx(0.05, rel=0.1)


@pytest.mark.parametrize("factor", [0.1, 0.3, 3.0, 10.0])
@pytest.mark.parametrize("size", [50_000, 300_000])
def test_a_step_of_the_bandwidth_is_followed_within_three_transmissions(factor: float, size: int) -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for _ in range(50):
        estimator.observe(sample(size, 1e7, 0.01))
    for _ in range(3):
        estimator.observe(sample(size, 1e7 * factor, 0.01))
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7 * factor, rel=0.2)


def test_one_outlier_moves_nothing() -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for _ in range(20):
        estimator.observe(sample(100_000, 1e7, 0.01))
    before = estimator.estimate
    estimator.observe(sample(100_000, 1e7, 0.01, noise=30))
    assert estimator.estimate.bandwidth_bps == pytest.approx(before.bandwidth_bps)
    estimator.observe(sample(100_000, 1e7, 0.01))
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.01)


@pytest.mark.parametrize("slower", [0.1, 10.0])
def test_a_small_transmission_that_could_not_have_told_refutes_no_surprise(slower: float) -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for _ in range(20):
        estimator.observe(sample(100_000, 1e7, 0.01))
    surprise = sample(100_000, 1e7 * slower, 0.01)
    estimator.observe(surprise)
    estimator.observe(sample(64, 1e7, 0.01))
    assert estimator.held == surprise
    estimator.observe(surprise)
    assert estimator.held is None
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7 * slower, rel=0.2)


def test_a_transmission_that_would_have_shown_the_change_refutes_a_surprise() -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for _ in range(20):
        estimator.observe(sample(100_000, 1e7, 0.01))
    estimator.observe(sample(100_000, 1e6, 0.01))
    estimator.observe(sample(50_000, 1e7, 0.01))
    assert estimator.held is None
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.05)


def test_jitter_after_an_outlier_confirms_nothing() -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for _ in range(20):
        estimator.observe(sample(100_000, 1e7, 0.01))
    estimator.observe(sample(100_000, 1e7, 0.01, noise=5))
    estimator.observe(sample(100_000, 1e7, 0.01, noise=1.4))
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.05)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_payloads_of_nearly_one_size_do_not_tell_latency_from_bandwidth_by_their_jitter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimator = LinkEstimator(1.6e6, 0.005)
    for _ in range(100):
        estimator.observe(sample(int(rng.integers(6_700, 6_801)), 1.6e6, 0.005, noise=float(rng.uniform(0.75, 1.25))))
    assert 1e6 < estimator.estimate.bandwidth_bps < 2.6e6


def test_scattered_outliers_are_ridden_out() -> None:
    rng = np.random.default_rng(7)
    estimator = LinkEstimator(1e7, 0.01)
    for i in range(200):
        estimator.observe(sample(100_000, 1e7, 0.01, noise=8 if i % 7 == 0 else float(rng.normal(1, 0.03))))
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.1)


class Hesitant:
    """A link of 10 Mbps whose ends are busy: small payloads, to each of which waiting adds 10 ms in the mean."""

    def __init__(self, seed: int) -> None:
        self.rng, self.estimator, self.bandwidth_bps = np.random.default_rng(seed), LinkEstimator(1e7, 0.01), 1e7

    def send(self, count: int) -> list[float]:
        """Bandwidths that are believed after each of `count` transmissions."""
        believed = []
        for _ in range(count):
            sent = sample(int(self.rng.integers(256, 16_000)), self.bandwidth_bps, 0.01)
            waited_s = float(self.rng.exponential(0.01))
            self.estimator.observe(LinkSample(sent.payload_bytes, sent.seconds + waited_s, idle_before=True))
            believed.append(self.estimator.estimate.bandwidth_bps)
        return believed


@pytest.mark.parametrize("seed", range(5))
def test_what_busy_ends_add_is_no_other_bandwidth(seed: int) -> None:
    believed = Hesitant(seed).send(400)[20:]
    assert 7e6 < np.median(believed) < 1.6e7
    assert np.mean([2.5e6 < bandwidth < 6e7 for bandwidth in believed]) > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_busy_ends_hide_no_change_for_long(seed: int) -> None:
    link = Hesitant(seed)
    link.send(100)
    link.bandwidth_bps = 1e6
    assert link.send(40)[-1] < 2e6


@pytest.mark.parametrize("bursts", [1, 3])
def test_a_burst_of_slow_transmissions_is_forgotten_once_two_are_as_they_were_before(bursts: int) -> None:
    estimator, sizes = LinkEstimator(1e7, 0.01), (9_000, 3_000, 14_000, 5_000)
    for i in range(60):
        estimator.observe(sample(sizes[i % 4], 1e7, 0.01))
    for _ in range(bursts):
        for size in sizes[:2]:
            estimator.observe(sample(size, 1e7, 0.01, noise=2.5))
        for size in sizes[:3]:
            estimator.observe(sample(size, 1e7, 0.01))
        assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.1)


def test_an_outage_that_leaves_a_slow_transmission_behind_leaves_the_link_as_it_was() -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for size in (9_000, 3_000, 14_000) * 10:
        estimator.observe(sample(size, 1e7, 0.01))
    estimator.observe(LinkSample(9_000, 0.5, lost=True))
    estimator.observe(LinkSample(9_000, 0.5, idle_before=True))
    for size in (3_000, 14_000, 9_000):
        estimator.observe(sample(size, 1e7, 0.01))
    assert estimator.estimate.bandwidth_bps == pytest.approx(1e7, rel=0.1)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            LinkSample,
            st.integers(0, 10**9),
            st.floats(0, 1e4, allow_subnormal=False),
            idle_before=st.booleans(),
            lost=st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_is_seen_the_estimate_stays_finite_and_admissible(samples: list[LinkSample]) -> None:
    estimator = LinkEstimator(1e7, 0.01)
    for seen in samples:
        estimator.observe(seen)
        estimate = estimator.estimate
        assert np.isfinite(estimate.bandwidth_bps)
        assert 0 < estimate.bandwidth_bps <= 1e12
        assert np.isfinite(estimate.latency_s)
        assert estimate.latency_s >= 0


def test_lost_transmissions_bring_a_link_down_and_one_that_arrives_brings_it_back() -> None:
    estimator = LinkEstimator(1e7, 0.01, lost_threshold=2)
    lost = LinkSample(1000, 5.0, lost=True)
    estimator.observe(lost)
    assert not estimator.estimate.down
    estimator.observe(lost)
    assert estimator.estimate.down
    estimator.observe(sample(100_000, 2e6, 0.01))
    assert not estimator.estimate.down
    estimator.observe(sample(100_000, 2e6, 0.01))
    assert estimator.estimate.bandwidth_bps == pytest.approx(2e6, rel=0.2)


def test_a_doubled_load_is_followed_within_22_runs() -> None:
    load = LoadEstimate()
    for _ in range(11):
        load = load.observe((SegmentSample(0.2, 0.1, runs=2), SegmentSample(0.02, 0.01)))
    assert load.load == pytest.approx(2.0, rel=0.06)


def test_one_cold_run_says_little_about_the_load() -> None:
    assert LoadEstimate().observe((SegmentSample(0.3, 0.1),)).load == pytest.approx(1.2, rel=0.01)


def test_jitter_of_tiny_segments_is_no_load() -> None:
    load = LoadEstimate()
    for _ in range(100):
        load = load.observe((SegmentSample(0.0003, 0.0001),))
    assert load.load < 1.4


def test_segments_without_a_profile_say_nothing_about_the_load() -> None:
    assert LoadEstimate().observe((SegmentSample(0.5, 0.0),)) == LoadEstimate()

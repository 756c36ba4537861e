"""What a sender learns from receipts, with the time given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_stage.meter import Meter, ProbeBudget


def test_a_transmission_over_an_idle_link_is_measured_from_its_start():
    meter = Meter()
    meter.sent(b"a", 1000, 10.0)
    seen = meter.received(b"a", 10.3)
    assert (seen.size_bytes, seen.idle_before) == (1000, True)
    assert seen.seconds == pytest.approx(0.3)


def test_transmissions_back_to_back_are_measured_between_receipts():
    meter = Meter()
    for name, at in ((b"a", 0.0), (b"b", 0.01), (b"c", 0.02)):
        meter.sent(name, 10_000, at)
    assert meter.received(b"a", 1.0).idle_before
    later = [meter.received(b"b", 1.5), meter.received(b"c", 2.25)]
    assert [seen.seconds for seen in later] == [pytest.approx(0.5), pytest.approx(0.75)]
    assert not any(seen.idle_before for seen in later)


@given(st.floats(1e5, 1e9), st.floats(0, 0.99))
def test_bandwidth_and_latency_are_recovered_from_probes_of_two_sizes(bandwidth, share):
    # The large probe takes a tenth of the latency at least: otherwise it shows the latency alone.
    latency = share * min(0.2, 10 * 8 * 20_000 / bandwidth)
    meter = Meter()
    now = 0.0
    for size in (100, 20_000) * 20:
        meter.sent(b"p", size, now)
        now += 2 * latency + 8 * size / bandwidth
        meter.received(b"p", now)
        now += 1.0
    assert meter.bandwidth_bps == pytest.approx(bandwidth, rel=0.25)


def test_patience_is_half_a_second_or_four_times_what_is_expected():
    meter = Meter()
    assert meter.patience_s(10**9) == 5.0
    meter.sent(b"a", 100_000, 0.0)
    meter.received(b"a", 0.8)
    assert meter.patience_s(10) == 0.5
    assert meter.patience_s(1_000_000) == pytest.approx(4 * 8.0, rel=0.01)


def test_the_oldest_transmission_counts_as_lost_when_nothing_moves():
    meter = Meter()
    assert meter.overdue_at() is None
    meter.sent(b"a", 10, 3.0)
    assert meter.overdue_at() == 8.0
    meter.lost(8.0)
    (seen,) = meter.take()
    assert seen.lost
    assert seen.seconds == 5.0
    assert meter.received(b"a", 9.0) is not None, "a late receipt still teaches"


def measured(meter, sizes, bandwidth_bps, now=0.0):
    """Transmissions over an idle link with 5 ms latency; the second after them."""
    for size in sizes:
        meter.sent(b"m", size, now)
        now += 0.01 + 8 * size / bandwidth_bps
        meter.received(b"m", now)
        now += 1.0
    return now


def test_a_surprise_asks_once_for_a_witness_of_its_size():
    meter = Meter()
    now = measured(meter, (100, 27_000) * 5, 5e7)
    assert meter.witness_bytes() is None
    now = measured(meter, [27_000], 5e6, now)
    assert meter.in_doubt
    assert meter.witness_bytes() == 27_000
    assert meter.witness_bytes() is None, "one witness is enough"
    measured(meter, [27_000], 5e6, now)
    assert not meter.in_doubt
    assert meter.bandwidth_bps == pytest.approx(5e6, rel=0.2)


def test_a_witness_of_a_large_transmission_over_a_slow_link_takes_half_a_second():
    meter = Meter()
    now = measured(meter, (100, 60_000) * 5, 5e7)
    measured(meter, [60_000], 2e5, now)
    assert meter.witness_bytes() == pytest.approx(0.5 * 2e5 / 8, rel=0.05)


def test_an_outlier_is_refuted_by_its_witness():
    meter = Meter()
    now = measured(meter, (100, 27_000) * 5, 5e7)
    before = meter.bandwidth_bps
    now = measured(meter, [27_000], 5e6, now)
    measured(meter, [27_000], 5e7, now)
    assert not meter.in_doubt
    assert meter.bandwidth_bps == pytest.approx(before, rel=0.05)


def test_after_an_outage_a_receipt_shows_no_more_seconds_than_were_waited():
    meter = Meter()
    now = measured(meter, (100, 27_000) * 5, 5e6)
    meter.take()
    for name, size in ((b"bulk", 2_000), (b"tiny", 90)):
        meter.sent(name, size, now)
        meter.lost(now + 0.5)
        meter.lost(now + 1.5)
        now += 12.0
        meter.received(name, now)
    bulk, tiny = (seen for seen in meter.take() if not seen.lost)
    assert (bulk.size_bytes, bulk.seconds) == (2_000, pytest.approx(0.5))
    assert tiny.size_bytes == 0, "the link moves, but how fast is not known"


def test_a_receipt_that_nothing_waits_for_is_ignored():
    assert Meter().received(b"x", 1.0) is None


@given(st.floats(1e4, 1e9), st.lists(st.floats(0.05, 2.0), min_size=50, max_size=200))
def test_probing_stays_within_its_share_of_the_bandwidth(bandwidth, steps):
    budget, now, used, largest = ProbeBudget(), 0.0, 0, 0
    budget.padding(now, bandwidth, 0)
    for step in steps:
        now += step
        padding = budget.padding(now, bandwidth, 0)
        used += 0 if padding is None else padding + 96
        largest = max(largest, padding or 0)
    assert used <= 0.01 * bandwidth / 8 * now + 1


@given(
    st.floats(1e4, 1e9),
    st.lists(st.tuples(st.floats(0, 2.0), st.one_of(st.none(), st.integers(64, 65536))), min_size=10, max_size=100),
)
def test_what_is_lent_for_a_question_is_one_probe_at_most_and_is_paid_back(bandwidth, asked):
    budget, now, used = ProbeBudget(), 0.0, 0
    budget.padding(now, bandwidth, 0)
    for step, size in asked:
        now += step
        if size is None:
            padding = budget.padding(now, bandwidth, 0)
            used += 0 if padding is None else padding + 96
        elif budget.lends(size, now, bandwidth, 0):
            used += size + 96
        assert used <= 0.01 * bandwidth / 8 * now + 65536 + 96 + 1


def test_a_budget_of_the_route_counts_where_the_bandwidth_is_not_known():
    budget = ProbeBudget()
    budget.padding(0.0, None, 80_000)
    assert budget.padding(1.0, None, 80_000) == 2500


@pytest.mark.parametrize(("bandwidth", "allowed_bps"), [(1e6, 1e4), (1e5, 2000), (1e9, 80_000)])
def test_a_budget_that_is_older_than_the_bandwidth_does_not_exceed_its_share(bandwidth, allowed_bps):
    budget, used = ProbeBudget(), 0
    for second in range(301):
        padding = budget.padding(float(second), bandwidth, 80_000)
        used += 0 if padding is None else padding + 96
    assert 0 < used * 8 / 300 <= allowed_bps

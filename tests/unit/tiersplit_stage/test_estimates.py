"""What a stage makes of what it observed, with the time given."""

from collections import deque
from types import SimpleNamespace

import pytest

from tiersplit_core.profile.serving import Overhead
from tiersplit_stage.estimates import Estimates, without_receipt
from tiersplit_stage.meter import Observed
from tiersplit_stage.processors import Quota
from tiersplit_wire.v1 import route_pb2 as pb


class FakeLink:
    def __init__(self, source="mdc", target="cloud"):
        self.source, self.target, self.seen = source, target, []

    def take_observations(self):
        seen, self.seen = self.seen, []
        return seen


class Scene:
    def __init__(self, route=None, granted=None):
        self.now = 0.0
        self.pipeline = SimpleNamespace(tier="mdc", link=FakeLink(), segment_seconds={})
        self.estimates = Estimates(self.pipeline, lambda: self.now, granted)
        self.estimates.follow(route or pb.Route())

    def sends(self, *sizes, bandwidth_bps=1e6, latency_s=0.02, lost=False):
        link = self.pipeline.link
        link.seen += [Observed(n, 2 * latency_s + 8 * n / bandwidth_bps, idle_before=True, lost=lost) for n in sizes]
        self.estimates.gather()
        return self.estimates.onward

    def runs(self, segment, batch, *seconds):
        self.pipeline.segment_seconds[segment, batch] = deque(seconds)
        self.estimates.gather()
        return self.estimates.load


def profiled(*known):
    route = pb.Route()
    for segment, tier, batch, seconds in known:
        route.profiles.add(segment=segment, tier=tier, batch=batch, seconds=seconds)
    return route


def test_a_link_is_unknown_until_a_transmission_shows_its_bandwidth():
    scene = Scene()
    assert scene.sends() is None
    assert scene.sends(64, 64, 64) is None
    seen = scene.sends(64, 20_000, 64, 20_000)
    assert (seen.source, seen.target, seen.fresh, seen.up) == ("mdc", "cloud", True, True)
    assert seen.estimate.bandwidth_bps == pytest.approx(1e6, rel=0.1)
    assert seen.estimate.latency_s == pytest.approx(0.02, rel=0.1)


def test_what_the_route_says_of_a_link_is_where_its_estimate_begins():
    route = pb.Route()
    route.guidance.links.add(source="mdc", target="cloud", bandwidth_bps=5e4, latency_s=0.3)
    scene = Scene(route)
    assert scene.sends(20_000, bandwidth_bps=5e4, latency_s=0.3).estimate.latency_s == pytest.approx(0.3, rel=0.1)


def test_a_link_goes_stale_when_nothing_is_carried_and_is_down_when_what_is_sent_is_lost():
    scene = Scene()
    scene.sends(64, 20_000)
    scene.now = 9.9
    assert scene.sends().fresh
    scene.now = 10.1
    assert not scene.sends().up
    assert scene.sends(64).up
    assert not scene.sends(64, lost=True).up
    assert scene.sends(64).up


def test_another_link_is_learned_anew():
    scene = Scene()
    scene.sends(64, 20_000)
    scene.pipeline.link = FakeLink(target="elsewhere")
    assert scene.sends() is None
    scene.pipeline.link = None
    scene.estimates.gather()
    assert scene.estimates.onward is None


def test_load_is_measured_against_this_tiers_profile_between_its_batch_sizes():
    scene = Scene(profiled(("s", "mdc", 1, 0.1), ("s", "mdc", 3, 0.3), ("s", "edge", 2, 9.0)))
    assert scene.estimates.profiled_s("s", 2) == pytest.approx(0.2)
    assert scene.runs("s", 2, *[0.6] * 60).load == pytest.approx(3.0, rel=0.02)
    assert scene.runs("unknown", 2, *[60.0] * 60).load == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(
    ("granted", "load"), [(None, 5.8 / 2.5), (Quota(0.15, 0.01), (2 + 2 / 0.3) / (2 + 1 / 0.3)), (Quota(2, 0.01), 2.3)]
)
def test_half_a_millisecond_of_a_processor_is_hardly_a_load_however_long_a_limit_makes_it(granted, load):
    scene = Scene(profiled(("a", "mdc", 1, 0.002)), granted)
    assert scene.runs("a", 1, *[0.002 + 0.0005 / 0.15] * 50).load == pytest.approx(load, rel=0.02)


def test_a_stage_whose_segments_have_no_profile_tells_no_load():
    assert Scene().runs("s", 1, 0.1).runs == 0


def test_a_client_that_sends_every_batch_size_fills_no_report_and_the_latest_are_kept():
    scene = Scene()
    for batch in range(1, 1000):
        scene.runs("s", 1, 0.1)
        scene.runs("s", batch, 0.1)
    kept = [(seen.batch, seen.runs) for seen in scene.estimates.take_runs()]
    assert len(kept) == 256
    assert (1, 256) in kept
    assert {batch for batch, _ in kept} == {1, *range(745, 1000)}


def test_reports_get_each_observation_once_however_often_it_was_looked_at():
    scene = Scene(profiled(("s", "mdc", 1, 0.1)))
    scene.sends(64, 20_000)
    scene.runs("s", 1, 0.1, 0.3)
    scene.runs("s", 1, 0.2)
    sent, ran = list(scene.estimates.take_transmissions()), list(scene.estimates.take_runs())
    assert [(seen.source, seen.target, seen.bytes) for seen in sent] == [("mdc", "cloud", 64), ("mdc", "cloud", 20_000)]
    assert [(seen.segment, seen.runs, seen.seconds) for seen in ran] == [("s", 3, pytest.approx(0.2))]
    assert not [*scene.estimates.take_transmissions(), *scene.estimates.take_runs()]


def test_what_the_ends_of_a_link_spend_on_a_transmission_is_not_taken_for_the_link():
    route = pb.Route()
    route.receipts.add(source="mdc", target="cloud", fixed_s=0.03, s_per_byte=2e-6)
    scene = Scene(route)
    sizes = [64, 20_000] * 20
    scene.pipeline.link.seen += [Observed(n, 2 * 0.02 + 8 * n / 1e6 + 0.03 + 2e-6 * n, idle_before=True) for n in sizes]
    scene.estimates.gather()
    assert scene.estimates.onward.estimate.bandwidth_bps == pytest.approx(1e6, rel=0.05)
    assert scene.estimates.onward.estimate.latency_s == pytest.approx(0.02, rel=0.05)
    told = scene.estimates.take_transmissions()
    assert [seen.seconds for seen in told[:2]] == pytest.approx([0.04 + 8 * n / 1e6 for n in sizes[:2]])


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        (Observed(1000, 0.5, idle_before=False), 0.499),
        (Observed(1000, 0.5, idle_before=True), 0.399),
        (Observed(1000, 0.1, idle_before=True), 0.005),
        (Observed(1000, 0.5, idle_before=True, lost=True), 0.5),
    ],
    ids=["behind another only bytes count", "alone all counts", "something is left for the link", "lost as it was"],
)
def test_of_each_transmission_its_own_part_is_taken_out(seen, seconds):
    assert without_receipt(seen, Overhead(0.1, 1e-6)).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_makes_no_sense_changes_nothing(wrong):
    route = pb.Route()
    route.receipts.add(source="mdc", target="cloud", fixed_s=wrong)
    scene = Scene(route)
    assert scene.sends(64, 20_000, 64, 20_000).estimate.latency_s == pytest.approx(0.02, rel=0.1)

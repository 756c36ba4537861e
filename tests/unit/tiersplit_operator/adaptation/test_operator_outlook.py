"""Which source is believed of links and loads, and what heads are told of them."""

import pytest

from tests.support.adaptation import PLACES, link, resource
from tiersplit_control.intent import intent_of
from tiersplit_control.probing import probe_budget_bps
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_operator.adaptation.guidance import guidance, told
from tiersplit_operator.adaptation.outlook import Outlook, drifted, outlook
from tiersplit_operator.adaptation.queries import Metric
from tiersplit_operator.adaptation.samples import Seen
from tiersplit_wire.v1 import route_pb2 as pb

FIRST, SECOND = PLACES
INTENT = intent_of(resource())
FOLLOW_LINK, FOLLOW_SELECTED = pb.Guidance.MODE_FOLLOW_LINK, pb.Guidance.MODE_FOLLOW_SELECTED


def look(values=(), links=(), loads=()):
    return outlook(INTENT, Seen(dict(values)), dict(links), dict(loads), 1)


def test_the_manifest_is_believed_until_somebody_sees_something():
    seen = look()
    assert [one.bandwidth_bps for one in seen.links] == [1e7, 1e8]
    assert (seen.loads, seen.observed, seen.dead_links) == ((1.0, 1.0, 1.0), False, frozenset())


def test_prometheus_is_believed_before_reports_and_reports_before_the_manifest():
    values = {(Metric.BANDWIDTH, FIRST): 3e6, (Metric.LOAD, ("cloud",)): 4.0}
    links = {FIRST: link(FIRST, 9e6, 0.02), SECOND: link(SECOND, 8e6, 0.03)}
    seen = look(values, links, {"cloud": 2.0, "mdc": 3.0})
    assert seen.links == (LinkEstimate(3e6, 0.02), LinkEstimate(8e6, 0.03))
    assert seen.loads == (1.0, 3.0, 4.0)
    assert seen.observed


def test_a_link_is_dead_by_the_word_of_its_senders_whatever_prometheus_remembers():
    down = pb.LinkView(source="edge", target="mdc", down=True)
    seen = look({(Metric.BANDWIDTH, FIRST): 3e6}, {FIRST: down})
    assert seen.dead_links == {0}
    assert seen.observed


def test_only_the_first_link_counts_as_seen():
    assert not look(links={SECOND: link(SECOND, 1e6)}).observed
    assert look(links={FIRST: link(FIRST, 1e6)}).observed


def made(first=1e6, latency_s=0.01, load=1.0, down=False):
    links = (LinkEstimate(first, latency_s, down), LinkEstimate(1e8, 0.0))
    return Outlook(links, (1.0, 1.0, load), 1, observed=True)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (made(), False),
        (made(1.2e6), False),
        (made(1.3e6), True),
        (made(latency_s=0.02), True),
        (made(load=1.3), True),
        (made(down=True), True),
    ],
)
def test_drift_is_a_change_by_more_than_the_share_or_a_link_that_went(changed, expected):
    assert drifted(made(), changed, 0.25) is expected


def test_a_latency_of_nothing_does_not_drift_by_a_tenth_of_a_millisecond():
    assert not drifted(made(latency_s=0.0), made(latency_s=0.0001), 0.25)


@pytest.mark.parametrize(
    ("adaptation", "held", "mode"),
    [
        ({}, False, FOLLOW_LINK),
        ({}, True, FOLLOW_SELECTED),
        ({"mode": "Recommend"}, False, FOLLOW_SELECTED),
        ({"mode": "Paused"}, False, FOLLOW_SELECTED),
    ],
)
def test_heads_follow_their_link_only_where_moves_are_automatic_and_nothing_holds_the_plan(adaptation, held, mode):
    intent = intent_of(resource(adaptation=adaptation))
    assert guidance(intent, look(), ["b", "a"], held=held).mode == mode


def test_guidance_says_how_eager_to_be_and_what_cannot_be_seen_from_the_edge():
    intent = intent_of(resource(adaptation={"minGain": "10%", "cooldownPeriodSeconds": 7}))
    found = guidance(intent, made(down=True, load=2.0), ["b", "a"], held=False)
    assert (found.min_gain, found.cooldown_s, list(found.allowed)) == (pytest.approx(0.1), 7.0, ["a", "b"])
    assert [(view.source, view.down) for view in found.links] == [("edge", True), ("mdc", False)]
    assert {load.tier: load.load for load in found.loads} == {"edge": 1.0, "mdc": 1.0, "cloud": 2.0}


def test_what_was_told_can_be_read_back_and_nothing_is_read_out_of_what_is_about_other_links():
    seen = made(down=True, load=2.0)
    assert told(INTENT, guidance(INTENT, seen, [], held=False), 1) == seen
    assert told(INTENT, pb.Guidance(), 1) is None


@pytest.mark.parametrize(
    ("links", "bps"),
    [
        ((LinkEstimate(1e7, 0.0), LinkEstimate(1e9, 0.0)), 100_000),
        ((LinkEstimate(1e3, 0.0), LinkEstimate(1e9, 0.0)), 2_000),
        ((LinkEstimate(1e7, 0.0, True), LinkEstimate(1e12, 0.0)), 10_000_000),
        ((LinkEstimate(1e7, 0.0, True), LinkEstimate(1e9, 0.0, True)), 2_000),
    ],
)
def test_probing_takes_a_hundredth_of_the_narrowest_link_that_is_up(links, bps):
    assert probe_budget_bps(links) == bps

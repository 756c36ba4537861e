"""What stages report, and what follows from all of them together."""

import math

import pytest

from tests.support.adaptation import PLACES, WALL, digest, head, link
from tiersplit_operator.adaptation.reports import FRESH_S, KEPT_S, MAX_STAGES, Reports
from tiersplit_wire.v1 import route_pb2 as pb

A, B, C = digest("a"), digest("b"), digest("c")
NOW = 100.0


def taken(*reports, at=NOW):
    found = Reports()
    for report in reports:
        found.take(report, at, WALL)
    return found


def test_plans_are_selectable_that_all_heads_have_verified_or_one_uses():
    found = taken(head([A, B], A, instance="1"), head([A, B, C], C, instance="2"))
    assert found.selectable(NOW, "edge") == {A, B, C}
    found.take(head([A, B, C], A, instance="2"), NOW, WALL)
    assert found.selectable(NOW, "edge") == {A, B}


def test_a_head_that_just_started_holds_nobody_back():
    assert taken(head([A, B], A, instance="1"), head(instance="2")).selectable(NOW, "edge") == {A, B}


def test_a_head_with_an_older_route_means_other_plans():
    found = taken(head([A, B], A, instance="1", epoch=4), head([A], A, instance="2", epoch=5))
    assert found.selectable(NOW, "edge", since=5) == {A}
    assert found.selectable(NOW, "edge", since=6) == frozenset()
    assert found.heads(NOW, "edge", 6) == []


def test_silent_stages_say_nothing_about_now_and_are_forgotten_later():
    found = taken(head([A], A, estimates=[link(PLACES[0], 1e6)]))
    late = NOW + FRESH_S + 0.1
    assert (found.selectable(late, "edge"), found.links(late), found.active(late, "edge")) == (frozenset(), {}, {})
    assert found.remembered("edge") == {A}
    found.forget_stale(NOW + KEPT_S + 1)
    assert found.remembered("edge") == frozenset()


def test_a_link_is_what_half_of_the_stages_see_and_down_only_where_all_say_so():
    place = PLACES[0]
    reports = [head(instance=str(i), estimates=[link(place, rate)]) for i, rate in enumerate((1e6, 2e6, 9e6))]
    found = taken(*reports, head(instance="cut", estimates=[link(place, 0, down=True)]))
    assert (found.links(NOW)[place].bandwidth_bps, found.links(NOW)[place].down) == (2e6, False)
    alone = taken(head(estimates=[link(place, 5e6, down=True)]))
    assert alone.links(NOW)[place].down
    assert alone.links(NOW)[place].bandwidth_bps == 0


@pytest.mark.parametrize("rate", [math.nan, math.inf, -1.0, 0.0, 1e300])
def test_estimates_that_cannot_be_are_no_estimates(rate):
    assert taken(head(estimates=[link(PLACES[0], rate)])).links(NOW) == {}


@pytest.mark.parametrize("load", [math.nan, math.inf, -1.0, 0.0])
def test_loads_that_cannot_be_are_no_loads(load):
    assert taken(head(load=load)).loads(NOW) == {}


def test_loads_are_the_median_of_a_tiers_stages():
    reports = [pb.StageReport(tier="cloud", instance=str(i), load=load) for i, load in enumerate((1.0, 3.0, 2.0))]
    assert taken(*reports).loads(NOW) == {"cloud": 2.0}


def test_batch_and_latency_stand_between_reports_that_saw_no_request_and_not_for_ever():
    busy = head([A], A, served=[pb.PlanCount(plan=A, latency_s=0.2)])
    busy.segments.add(segment="s", batch=8, runs=5)
    found = taken(busy)
    for at in (NOW + 1, NOW + 30, NOW + KEPT_S):
        found.take(head([A], A), at, WALL)
        assert (found.batch(at), found.observed_s(at, "edge")) == (8, 0.2)
    found.take(head([A], A), NOW + KEPT_S + 1, WALL)
    assert (found.batch(NOW + KEPT_S + 1), found.observed_s(NOW + KEPT_S + 1, "edge")) == (None, None)


def test_a_heads_own_move_is_told_once_and_a_move_by_the_operator_is_not_taken_for_one():
    found = taken(head([A, B], A))
    found.take(head([A, B], B, decision="link is slow", node="n1"), NOW + 1, WALL)
    assert [(move.plan, move.reason, move.node) for move in found.moves] == [(B, "link is slow", "n1")]
    found.take(head([A, B], A, decision="link is slow"), NOW + 2, WALL)  # the reason of before: the operator moved it
    assert len(found.moves) == 1


@pytest.mark.parametrize("name", ["x", "sha256:" + "g" * 64, "sha256:" + "0" * 65, "x" * 100_000])
def test_a_plan_that_cannot_be_is_no_move(name):
    found = taken(head([A], A))
    found.take(head([A], name, decision="because"), NOW + 1, WALL)
    assert list(found.moves) == []


def test_news_are_words_and_not_numbers():
    found = taken(head([A], A, estimates=[link(PLACES[0], 1e6)]))
    assert not found.take(head([A], A, estimates=[link(PLACES[0], 9e6)], load=3.0), NOW + 1, WALL)
    for report in (
        head([A, B], A),
        head([A, B], B),
        head([A, B], B, problem="no space"),
        head([A, B], B, estimates=[link(PLACES[0], 0, down=True)]),
        head([A, B], B, epoch=7),
    ):
        assert found.take(report, NOW + 1, WALL)
        assert not found.take(report, NOW + 1, WALL)


def test_the_number_of_stages_is_bounded():
    found = taken(*(head(instance=str(i)) for i in range(MAX_STAGES + 10)))
    assert len(found.fresh(NOW)) == MAX_STAGES
    found.take(head(instance="3", problem="late"), NOW, WALL)
    assert found.problems(NOW) == {"3": "late"}

"""One resource's decisions as tables: what is reported and seen goes in, with the time; plans come out."""

import pytest

from tests.support.adaptation import PLACES, WALL, head, link, member, plans, reference, resource
from tests.support.control_catalogue import catalogue
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.adaptation.policy import Verdict
from tiersplit_operator.adaptation.member import RETELL_S, START_PATIENCE_S, Member
from tiersplit_operator.adaptation.queries import Metric
from tiersplit_operator.adaptation.samples import Seen
from tiersplit_operator.adaptation.succession import own_plans, succeeding
from tiersplit_operator.adaptation.views import view_of
from tiersplit_wire.v1 import route_pb2 as pb

EDGE = plans()[0]
FIRST, SECOND = PLACES
NOW = 1000.0


def best(first_bps, second_bps=1e8, among=None):
    """The plan that `tiersplit plan` would choose."""
    links = [LinkEstimate(first_bps, 0.001), LinkEstimate(second_bps, 0.0)]
    costs = catalogue().costs(links, [1.0] * 3, 1)
    return min(among or costs, key=lambda name: costs[name])


FAST, SLOW = best(1e7), best(2e5)


class Resource:
    """A member with a clock, whose heads answer what it tells them."""

    def __init__(self, **wanted):
        self.member, self.now, self.rate, self.verified, self.down = (
            member(resource(**wanted)),
            NOW,
            1e7,
            plans(),
            False,
        )
        self.reporting = self.seeing = True

    def report(self, active=""):
        views = [link(FIRST, 0.0 if self.down else self.rate, down=self.down)] if self.seeing else []
        report = head(self.verified, active or self.member.selected, estimates=views)
        self.member.reports.take(report, self.now, WALL)

    def look(self, after_s=1.0):
        """One look; the plan that is selected then."""
        self.now += after_s
        if self.reporting:
            self.report()
        found = self.member.look(self.now)
        self.member.settle(found, self.now, WALL)
        return self.member.selected

    def looks(self, count):
        return {self.look() for _ in range(count)}

    @property
    def view(self):
        return view_of(self.member, self.now)


def test_the_first_plan_is_told_at_once_without_waiting_for_anybody():
    made = Resource()
    made.reporting = False
    assert made.look(0.0) == FAST
    assert [move.reason for move in made.member.moves] == ["first plan"]


def test_without_reports_the_plan_stays_whatever_prometheus_says():
    made = Resource()
    made.reporting = False
    made.look()
    made.member.telemetry.take(Seen({(Metric.BANDWIDTH, FIRST): 2e5}), "", made.now)
    assert made.looks(30) == {FAST}


def test_a_first_plan_that_takes_long_to_load_is_waited_for_and_then_one_that_is_ready_is_preferred():
    made = Resource()
    made.verified = [EDGE]
    assert made.looks(int(START_PATIENCE_S)) == {FAST}
    assert made.look(START_PATIENCE_S) == EDGE
    made.verified = plans()
    assert made.looks(9) == {EDGE}
    assert made.look(2.0) == FAST


def test_the_split_moves_with_the_link_and_not_again_within_the_cooldown():
    made = Resource()
    made.look()
    made.rate = 2e5
    assert made.look() == SLOW
    made.rate = 1e7
    assert made.looks(9) == {SLOW}
    assert made.look(2.0) == FAST
    assert [move.plan for move in made.member.moves] == [FAST, SLOW, FAST]


def test_a_gain_that_is_too_small_is_no_move():
    made = Resource(adaptation={"minGain": "99%"})
    made.look()
    made.rate = 2e5
    assert made.looks(20) == {FAST}


def test_recommend_only_says_it():
    made = Resource(adaptation={"mode": "Recommend"})
    made.look()
    assert made.view.recommendation == ""
    made.rate = 2e5
    assert made.looks(20) == {FAST}
    assert made.view.recommendation.startswith(SLOW[:19])
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_SELECTED


def test_paused_does_nothing_even_for_a_pin():
    made = Resource(adaptation={"mode": "Paused"}, annotations={"tiersplit.dev/pinned-plan": EDGE})
    made.look()
    made.member.route.selected = FAST
    made.rate = 2e5
    assert made.looks(20) == {FAST}
    assert made.view.pin_problem.reason == "PinPaused"
    assert "write Auto or Recommend" in made.view.pin_problem.message


def test_a_pinned_plan_serves_whatever_the_link_does():
    made = Resource(annotations={"tiersplit.dev/pinned-plan": EDGE[7:17]})
    assert made.look() == EDGE
    made.rate = 1e9
    assert made.looks(20) == {EDGE}
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_SELECTED
    assert made.view.pin_problem is None


def test_a_pin_that_nobody_knows_is_said_and_changes_nothing():
    made = Resource(annotations={"tiersplit.dev/pinned-plan": "abcdef123456"})
    assert made.look() == FAST
    assert made.view.pin_problem.reason == "PinUnknown"
    assert "names 0 plans" in made.view.pin_problem.message
    assert "tiersplit.dev/pinned-plan" in made.view.pin_problem.message


def test_a_pin_that_heads_have_not_verified_waits():
    made = Resource(annotations={"tiersplit.dev/pinned-plan": EDGE})
    made.verified = [FAST]
    made.member.route.selected = FAST
    assert made.looks(3) == {FAST}
    assert made.view.pin_problem.reason == "PinUnverified"
    assert EDGE[:19] in made.view.pin_problem.message


def test_a_link_that_goes_down_is_left_at_once_and_taken_again_after_the_cooldown():
    made = Resource()
    made.look()
    made.down = True
    assert made.look(0.1) == EDGE
    assert "edge:mdc is down" in made.member.moves[0].reason
    assert made.view.links[0].bandwidth_bps == 0
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_LINK
    made.down = False
    assert made.looks(9) == {EDGE}
    assert made.look(2.0) == FAST


def test_where_nothing_is_left_heads_are_told_nothing_and_it_returns_by_itself():
    made = Resource()
    made.look()
    made.verified = [FAST]
    made.down = True
    assert made.look() == ""
    assert made.view.selected is None
    assert "no plan can be served" in made.member.moves[0].reason
    made.down = False
    assert made.look() == FAST


def test_without_observations_the_last_plan_stays_and_says_so_until_they_come_back():
    made = Resource(adaptation={"fallback": {"failureThreshold": 3}})
    made.look()
    made.seeing = False
    made.rate = 2e5
    made.looks(2)
    assert made.view.fallback == ""
    assert made.looks(5) == {FAST}
    assert made.view.fallback == "no head reports its link; the plan stays"
    made.seeing = True
    made.looks(12)
    assert (made.view.fallback, made.member.selected) == ("", SLOW)


def test_without_observations_the_first_tier_serves_where_that_is_asked_for_and_heads_do_not_leave_it():
    made = Resource(adaptation={"fallback": {"behavior": "FirstTier"}})
    made.look()
    made.seeing = False
    made.looks(4)
    assert made.member.selected == EDGE
    made.look()
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_SELECTED
    assert "the first tier alone serves" in made.view.fallback
    made.seeing = True
    made.looks(12)
    assert made.member.selected == FAST
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_LINK


@pytest.mark.parametrize("problem", ["Prometheus does not answer in time", "Prometheus answers 500: oops"])
def test_a_prometheus_that_fails_often_enough_holds_the_plan_though_heads_report(problem):
    made = Resource()
    made.look()
    made.rate = 2e5
    made.member.telemetry.take(Seen(), problem, made.now)
    assert not made.member.blind(made.now + 1.9)
    made.now += 1.0
    assert made.looks(12) == {FAST}
    assert made.view.fallback == f"{problem}; the plan stays"
    made.member.telemetry.take(Seen({(Metric.BANDWIDTH, FIRST): 2e5}), "", made.now)
    assert made.look() == SLOW
    assert made.view.fallback == ""


def test_pods_that_take_long_to_start_are_no_observations_that_failed():
    made = Resource()
    made.reporting = made.seeing = False
    made.looks(60)
    assert made.view.fallback == ""
    made.reporting = True
    made.look()
    assert made.view.fallback == ""
    made.looks(4)
    assert made.view.fallback == "no head reports its link; the plan stays"


def test_what_prometheus_sees_is_observed_however_long_ago_the_newest_look_was():
    made = member(now=0.0)
    made.reports.take(head(plans(), FAST), 0.0, WALL)
    made.telemetry.take(Seen({(Metric.BANDWIDTH, PLACES[0]): 1e6}), "", 0.0)
    made.look(0.0)
    assert not made.blind(600.0)
    made.telemetry.take(Seen(), "", 600.0)
    assert made.blind(600.0)


def test_looks_that_come_early_are_no_observations_that_failed():
    made = Resource()
    made.seeing = False
    for _ in range(50):
        made.look(0.01)
    assert made.view.fallback == ""


def test_what_is_not_written_is_decided_again_and_is_no_move():
    made = Resource()
    made.look()
    made.rate = 2e5
    made.now += 1
    made.report()
    before = len(made.member.moves)
    assert made.member.look(made.now).route.selected == SLOW
    assert (made.member.selected, len(made.member.moves)) == (FAST, before)
    assert made.look() == SLOW
    assert len(made.member.moves) == before + 1


def test_a_look_that_changes_nothing_writes_nothing():
    made = Resource()
    made.look()
    made.look()
    made.now += 1
    made.report()
    assert made.member.look(made.now).route is None


def test_heads_are_told_a_link_again_when_it_changed_by_much_and_not_too_often():
    made = Resource(adaptation={"mode": "Recommend"})
    made.look()

    def told():
        return made.member.route.guidance.links[0].bandwidth_bps

    made.rate = 1.2e7
    made.looks(30)
    assert told() == 1e7
    made.rate = 4e7
    made.look()
    assert told() == 4e7
    assert made.member.route.probe_budget_bps == 400_000
    made.rate = 1e7
    made.look()
    assert told() == 4e7
    made.look(RETELL_S)
    assert told() == 1e7


def test_a_restarted_operator_tells_heads_nothing_that_they_know_already():
    made = Resource()
    made.look()
    route = pb.Route.FromString(made.member.route.SerializeToString())
    again = Member(made.member.owner, made.member.served, route, made.now)
    assert again.look(made.now).route is None


def switching(verified, active=FAST):
    """A resource whose next bundle is in the route, beside what serves."""
    made = Resource()
    made.look()
    following = member(weights="b").route
    route = succeeding(following, made.member.route)
    route.epoch = 7
    made.member, before = Member(made.member.owner, made.member.served, route, made.now, since=7), made.member
    made.member.follow(before)
    made.verified, made.active = verified(own_plans(route)), active
    return made, own_plans(route)


def test_another_bundle_is_switched_to_once_its_best_plan_is_verified_and_the_old_one_goes_when_nobody_uses_it():
    made, names = switching(lambda names: [FAST, EDGE])
    assert made.looks(30) == {FAST}
    assert made.member.route.guidance.mode == pb.Guidance.MODE_FOLLOW_LINK
    assert set(made.member.route.guidance.allowed) == {FAST, EDGE}
    made.verified = [FAST, EDGE, names[EDGE]]
    assert made.looks(30) == {FAST}
    assert made.view.switching
    made.verified = [FAST, EDGE, *names.values()]
    made.now += 1
    made.report(FAST)
    found = made.member.look(made.now)
    made.member.settle(found, made.now, WALL)
    assert (made.member.selected, made.member.switching) == (names[FAST], True)
    assert set(made.member.route.guidance.allowed) == set(names.values())
    assert made.look() == names[FAST]
    assert not made.member.switching
    assert made.view.selected == FAST
    assert made.view.bundle == reference("b").partition("@")[2]


def test_a_head_that_is_silent_for_a_moment_keeps_its_old_plan_alive():
    made, names = switching(lambda names: [FAST, EDGE, *names.values()])
    made.member.reports.take(head([FAST], FAST, instance="far"), made.now, WALL)
    made.looks(8)
    assert made.member.selected == names[FAST]
    assert made.member.switching
    made.now += 60
    made.member.reports.forget_stale(made.now)
    made.look()
    assert not made.member.switching


def test_reports_of_before_the_next_bundle_say_nothing_about_its_plans():
    made, names = switching(lambda names: plans())
    made.reporting = False
    made.member.reports.take(head(names.values(), FAST, epoch=6), made.now, WALL)
    assert made.look(0.5) == FAST


def test_a_fallback_that_is_in_force_does_not_end_the_wait_for_the_next_bundle():
    made, _ = switching(lambda names: [FAST, EDGE])
    made.member.fell_back = True
    assert made.looks(5) == {FAST}


def test_the_view_says_what_each_tier_does():
    made = Resource()
    made.looks(2)
    view = made.view
    assert view.split == ",".join(f"{tier}:{count}" for tier, count in catalogue().split(FAST).items())
    assert [stage.tier for stage in view.stages] == ["edge", "mdc", "cloud"]
    assert view.stages[0].sends_bytes > 0
    assert view.stages[-1].sends_bytes == 0
    assert (view.plans, view.nodes, view.selectable) == (len(plans()), {FAST: 1}, frozenset(plans()))
    assert view.expected_s > 0
    assert view.gap == catalogue().surface.epsilon


def test_a_decision_without_reports_is_kept_apart_from_a_recommendation():
    made = Resource(adaptation={"mode": "Recommend"})
    made.look()
    made.rate = 2e5
    made.look()
    made.reporting = False
    made.look(20.0)
    assert made.member.decision.verdict is Verdict.KEEP
    assert made.view.recommendation == ""

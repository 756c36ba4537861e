"""Planning in rounds, without any process or file: facts go in, what is to be done next comes out."""

from dataclasses import replace

import pytest

from tests.support.control_catalogue import TIERS, graph, intent, profiles
from tiersplit_control.intent import DeclaredLink, Intent
from tiersplit_control.surfaces import (
    MAX_ROUNDS,
    Profiles,
    Settled,
    Waiting,
    first_round,
    open_work,
    plan_surface,
    problem_of,
    replay,
)
from tiersplit_core.planning.problem import Objective, Tier
from tiersplit_core.planning.segments import plan_segments, segments_of
from tiersplit_core.profile.layers import Timing
from tiersplit_core.profile.refine import merge_segments


def two_tiers(**changes: object) -> Intent:
    """Edge and cloud: fewer parameters, so that planning takes little."""
    return intent(tiers=(Tier("edge"), Tier("cloud")), links=(DeclaredLink("edge", "cloud", 1e7, 0.0),), **changes)


class Work:
    """Cuts and measures whatever is asked for; `factor` is how much longer segments take than their layers say."""

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor
        self.profiles: Profiles = profiles()
        self.blobs: dict[str, str] = {}
        self.asked: list[dict[str, tuple[str, ...]]] = []

    def do(self, waiting: Waiting) -> None:
        if waiting.work.uncut:
            self.blobs |= {spec.id: f"sha256:{spec.id}" for spec in waiting.work.uncut}
            return
        self.asked.append(dict(waiting.work.unmeasured))
        specs = {spec.id: spec for spec in waiting.round.specs}
        for tier, ids in waiting.work.unmeasured.items():
            per_layer = self.profiles[tier].batches[1].layers["l0"].median_s
            timings = {self.blobs[name]: Timing(self.factor * per_layer * len(specs[name].layers)) for name in ids}
            self.profiles = {**self.profiles, tier: merge_segments(self.profiles[tier], {1: timings})}

    def until_settled(self) -> Settled:
        for _ in range(3 * MAX_ROUNDS):
            found = replay(graph(), self.profiles, self.blobs, two_tiers())
            if isinstance(found, Settled):
                return found
            self.do(found)
        raise AssertionError("it does not settle")


def test_segments_are_cut_before_they_are_measured_and_measured_where_plans_place_them() -> None:
    work = Work()
    found = replay(graph(), work.profiles, {}, two_tiers())
    assert isinstance(found, Waiting)
    assert found.work.uncut == found.round.specs
    work.do(found)
    found = replay(graph(), work.profiles, work.blobs, two_tiers())
    assert isinstance(found, Waiting)
    assert not found.work.uncut
    placed = {pair for plan in found.round.surface.plans for pair in plan_segments(plan, found.round.specs)}
    assert {(name, tier) for tier, ids in found.work.unmeasured.items() for name in ids} == placed


def test_estimates_that_come_true_settle_in_one_round() -> None:
    work = Work()
    settled = work.until_settled()
    assert (settled.rounds, len(work.asked)) == (1, 1)
    assert settled.off < 1e-9
    assert settled.surface.plans == first_round(graph(), profiles(), two_tiers()).surface.plans


def test_estimates_that_do_not_come_true_are_planned_again_with_what_was_measured() -> None:
    work = Work(factor=3.0)
    settled = work.until_settled()
    assert settled.rounds == 2
    assert settled.off < 1e-9
    before = problem_of(graph(), profiles(), two_tiers(), 1)
    after = problem_of(graph(), settled.profiles, two_tiers(), 1)
    for tier in ("edge", "cloud"):
        taken = [sum(layer.seconds[tier] for layer in problem.layers) for problem in (before, after)]
        assert taken[1] == pytest.approx(3 * taken[0])
    assert {spec.id for spec in segments_of(graph(), settled.surface.plans)} <= set(work.blobs), "all are cut"
    assert settled == replay(graph(), work.profiles, work.blobs, two_tiers()), "it is the same after a restart"


def test_each_tier_is_planned_with_its_own_profile() -> None:
    own = profiles()
    slow = {**own, "cloud": replace(own["edge"], tier="cloud")}
    seconds = problem_of(graph(), slow, intent(), 1).layers[0].seconds
    assert seconds["cloud"] == seconds["edge"] > seconds["mdc"]


def test_a_batch_size_that_a_tier_could_not_be_measured_at_is_not_waited_for() -> None:
    work = Work()
    both = two_tiers(batches=(1, 4))
    current = first_round(graph(), work.profiles, both)
    blobs = {spec.id: f"sha256:{spec.id}" for spec in current.specs}
    everywhere = {1: {digest: Timing(0.01) for digest in blobs.values()}}
    measured = {tier: merge_segments(profile, everywhere) for tier, profile in work.profiles.items()}
    assert not open_work(current, measured, blobs, both)
    measured["edge"] = merge_segments(measured["edge"], {4: {}})
    assert set(open_work(current, measured, blobs, both).unmeasured) <= {"edge"}


def test_the_intent_s_rules_reach_the_problem() -> None:
    limited = (Tier("edge", 10**6), *map(Tier, TIERS[1:]))
    strict = intent(raw_input_stays=True, result_returns=True, tiers=limited, batches=(1, 2))
    problem = problem_of(graph(), profiles(), strict, 2)
    assert (problem.raw_input_tier, problem.result_tier, problem.batch) == ("edge", "edge", 2)
    assert problem.tiers[0].memory_bytes == 10**6
    assert all(plan.placement["l0"] == "edge" for plan in plan_surface(graph(), profiles(), strict).plans)


def test_throughput_keeps_the_last_tier_alone_to_compare_with() -> None:
    plans = plan_surface(graph(), profiles(), intent(objective=Objective.THROUGHPUT)).plans
    assert any(set(plan.placement.values()) == {"cloud"} for plan in plans)

from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.support.problems import problems
from tiersplit_core.cost.latency import evaluate
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Objective, Problem, Tier
from tiersplit_core.planning.surface import Conditions, Surface, SurfaceBox, build_surface

LATENCY = (Objective.LATENCY,)


def last_alone(problem: Problem) -> Plan:
    return Plan({layer.name: problem.tiers[-1].name for layer in problem.layers})


def surface_of(problem: Problem, **options: object) -> Surface:
    box = SurfaceBox(tuple((link.bandwidth_bps / 2, link.bandwidth_bps * 2) for link in problem.links))
    return build_surface({1: problem}, box, **options)


@settings(max_examples=40, deadline=None)
@given(problems(objectives=LATENCY, limited=False))
def test_a_kept_plan_costs_what_its_evaluation_says(problem: Problem) -> None:
    problem = replace(problem, raw_input_tier=None)
    plan = last_alone(problem)
    surface = surface_of(problem, keep=[plan])
    now = Conditions(bandwidth_bps=tuple(link.bandwidth_bps for link in problem.links))
    assert surface.latency_s(plan.digest, now) == pytest.approx(evaluate(problem, plan.placement)[0], rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(problems(objectives=LATENCY, limited=False))
def test_kept_plans_make_a_surface_no_worse_and_stand_in_it_once(problem: Problem) -> None:
    problem = replace(problem, raw_input_tier=None)
    without = surface_of(problem)
    surface = surface_of(problem, keep=[*without.plans, last_alone(problem), last_alone(problem)])
    digests = [plan.digest for plan in surface.plans]
    assert {plan.digest for plan in without.plans} | {last_alone(problem).digest} <= set(digests)
    assert len(digests) == len(set(digests))
    assert surface.epsilon <= without.epsilon + 1e-9


@settings(max_examples=40, deadline=None)
@given(problems(objectives=LATENCY))
def test_a_plan_that_breaks_a_rule_is_not_kept(problem: Problem) -> None:
    private = replace(problem, raw_input_tier=problem.tiers[0].name)
    tight = replace(private, tiers=(*problem.tiers[:-1], Tier(problem.tiers[-1].name, 0)))
    for case in (private, tight):
        try:
            surface = surface_of(case, keep=[last_alone(case)])
        except InfeasibleError:
            continue
        assert last_alone(case).digest not in {plan.digest for plan in surface.plans}

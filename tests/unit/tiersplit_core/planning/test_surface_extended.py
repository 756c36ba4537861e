from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.support.problems import problems
from tiersplit_core.cost.latency import evaluate
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.extend import single_tier, with_plans
from tiersplit_core.planning.problem import Objective, Problem, Tier
from tiersplit_core.planning.surface import Conditions, Surface, SurfaceBox, build_surface


def surface_of(problem: Problem) -> Surface:
    box = SurfaceBox(tuple((link.bandwidth_bps / 2, link.bandwidth_bps * 2) for link in problem.links))
    return build_surface({1: problem}, box)


@settings(max_examples=40, deadline=None)
@given(problems(objectives=(Objective.LATENCY,), limited=False))
def test_an_added_plan_costs_what_its_evaluation_says(problem: Problem) -> None:
    problem = replace(problem, raw_input_tier=None)
    plan = single_tier(problem, problem.tiers[-1].name)
    surface = with_plans(surface_of(problem), {1: problem}, [plan])
    now = Conditions(bandwidth_bps=tuple(link.bandwidth_bps for link in problem.links))
    assert surface.latency_s(plan.digest, now) == pytest.approx(evaluate(problem, plan.placement)[0], rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(problems(objectives=(Objective.LATENCY,), limited=False))
def test_a_plan_that_is_there_is_not_added_twice(problem: Problem) -> None:
    surface = surface_of(problem)
    assert with_plans(surface, {1: problem}, surface.plans) == surface


@settings(max_examples=40, deadline=None)
@given(problems(objectives=(Objective.LATENCY,)))
def test_a_plan_that_breaks_a_rule_is_left_out(problem: Problem) -> None:
    try:
        surface = surface_of(replace(problem, raw_input_tier=problem.tiers[0].name))
    except InfeasibleError:
        return
    private = replace(problem, raw_input_tier=problem.tiers[0].name)
    tight = replace(problem, tiers=(*problem.tiers[:-1], Tier(problem.tiers[-1].name, 0)))
    plan = single_tier(problem, problem.tiers[-1].name)
    assert with_plans(surface, {1: private}, [plan]) == surface
    if any(layer.weight_bytes for layer in problem.layers):
        assert with_plans(surface, {1: tight}, [plan]) == surface

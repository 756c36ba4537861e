"""Every solver against the enumeration of all placements, evaluated by an independent reference."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support import reference_cost
from tests.support.problems import problems
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.latency import evaluate
from tiersplit_core.cost.memory import exceeded_tiers, stage_memory_bytes
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.planner import SOLVERS, solve
from tiersplit_core.planning.problem import Link, Objective, Problem, ProblemLayer, Serving, Tier
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def best_of_all(problem):
    """The least objective over all allowed placements by the reference, None where there is none."""
    tiers = [tier.name for tier in problem.tiers]
    names = [layer.name for layer in problem.layers]
    placements = (dict(zip(names, places, strict=True)) for places in product(tiers, repeat=len(names)))
    costs = [reference_cost.objective(problem, p) for p in placements if reference_cost.allowed(problem, p)]
    return min(costs, default=None)


def assert_equal_to(problem, solution, best):
    if best is None:
        assert solution.status is Status.INFEASIBLE
        assert solution.constraint
        return
    assert solution.status is Status.OPTIMAL, solution
    assert reference_cost.allowed(problem, solution.plan.placement)
    assert solution.objective_s == pytest.approx(best, rel=1e-9, abs=1e-15)
    assert solution.objective_s == pytest.approx(reference_cost.objective(problem, solution.plan.placement), rel=1e-12)


@RELAXED
@given(problems(max_layers=6, objectives=(Objective.LATENCY,), limited=False))
def test_the_minimum_cut_is_the_best_of_all_placements(problem):
    assert_equal_to(problem, solve(problem, "min-cut"), best_of_all(problem))


@RELAXED
@given(problems(max_layers=6, objectives=(Objective.THROUGHPUT,), limited=False))
def test_the_minimum_cut_is_of_latency_whatever_the_problem_minimises(problem):
    arrays = arrays_of(problem)
    answer = CutModel(arrays).solve(arrays)
    assert reference_cost.allowed(problem, arrays.placement_of(answer.tiers))
    assert answer.objective_s == pytest.approx(best_of_all(replace(problem, objective=Objective.LATENCY)), rel=1e-9)


@RELAXED
@given(problems(max_layers=5))
def test_auto_is_the_best_of_all_placements_for_both_objectives_and_memory_limits(problem):
    assert_equal_to(problem, solve(problem), best_of_all(problem))


@RELAXED
@given(problems(max_layers=5))
def test_the_mixed_integer_program_is_the_best_of_all_placements(problem):
    assert_equal_to(problem, solve(problem, "milp"), best_of_all(problem))


@RELAXED
@given(problems(max_layers=6, chain=True))
def test_dynamic_programming_is_the_best_of_all_placements_on_chains(problem):
    assert_equal_to(problem, solve(problem, "dp"), best_of_all(problem))


@RELAXED
@given(problems(max_layers=5))
def test_the_exhaustive_solver_is_the_best_of_all_placements(problem):
    assert_equal_to(problem, solve(problem, "exhaustive"), best_of_all(problem))


@RELAXED
@given(problems(), st.sampled_from([info.name for info in SOLVERS]), st.integers(0, 3))
def test_what_any_solver_returns_is_allowed_and_costs_what_it_says(problem, name, seed):
    try:
        solution = solve(problem, name, seed=seed)
    except ProblemError:
        assume(name != "min-cut")
        raise
    if solution.status is Status.INFEASIBLE:
        assert solution.constraint
        return
    placement = solution.plan.placement
    assert reference_cost.allowed(problem, placement)
    assert solution.objective_s == pytest.approx(reference_cost.objective(problem, placement), rel=1e-12, abs=1e-15)
    for stage in solution.stages:
        place = [tier.name for tier in problem.tiers].index(stage.tier)
        assert stage.memory_bytes == reference_cost.memory(problem, placement, place)
    for sent in solution.transmissions:
        if not sent.way_back:
            link = [link.source for link in problem.links].index(sent.source)
            assert set(sent.tensors) == reference_cost.crossing(problem, placement, link)
            assert sent.payload_bytes == sum(reference_cost.size_of(problem, v) for v in sent.tensors)


@RELAXED
@given(problems(max_layers=8), st.integers(0, 2**31))
def test_memory_and_objective_agree_with_the_reference_on_any_placement(problem, seed):
    arrays = arrays_of(problem)
    generator = np.random.default_rng(seed)
    tiers = np.zeros(arrays.layers, dtype=np.int64)
    for i, layer in enumerate(problem.layers):
        least = max((tiers[[o.name for o in problem.layers].index(v)] for v in layer.inputs if v != "input"), default=0)
        tiers[i] = generator.integers(least, arrays.tiers)
    placement = arrays.placement_of(tiers)
    found, _, _ = evaluate(problem, placement)
    assert found == pytest.approx(reference_cost.objective(problem, placement), rel=1e-12, abs=1e-15)
    for tier in range(arrays.tiers):
        assert stage_memory_bytes(arrays, tiers, tier) == reference_cost.memory(problem, placement, tier)
    fits = not exceeded_tiers(arrays, tiers)
    private = problem.raw_input_tier is None or not (tiers[arrays.forced_first] > 0).any()
    assert (fits and private) == reference_cost.allowed(problem, placement)


def test_a_layer_a_million_times_slower_than_the_optimum_does_not_spoil_the_proof():
    quick = {"t0": 0.0, "t1": 0.0}
    layers = (
        ProblemLayer("l0", ("input",), 1, 0, quick),
        ProblemLayer("l1", ("input",), 0, 0, quick),
        ProblemLayer("l2", ("input",), 0, 0, quick),
        ProblemLayer("l3", ("l0",), 0, 0, {"t0": 1.716796875, "t1": 0.0}),
    )
    tiers, links = (Tier("t0"), Tier("t1")), (Link("t0", "t1", 1e7, 0.0),)
    problem = Problem(layers, ("l0",), 0, tiers, links, Objective.THROUGHPUT, result_tier="t0")
    assert_equal_to(problem, solve(problem), 8e-7)


def test_for_throughput_a_link_and_what_its_ends_spend_on_it_are_not_added_up():
    layers = (
        ProblemLayer("a", ("input",), 0, 0, {"t0": 1.0, "t1": 0.1}),
        ProblemLayer("b", ("input",), 0, 0, {"t0": 0.1, "t1": 1.0}),
    )
    sends, receives = Serving(send_s_per_byte=3e-7), Serving(receive_s_per_byte=3e-7)
    tiers, links = (Tier("t0", serving=sends), Tier("t1", serving=receives)), (Link("t0", "t1", 8e6 / 0.6, 0.0),)
    problem = Problem(layers, ("a", "b"), 10**6, tiers, links, Objective.THROUGHPUT)
    assert_equal_to(problem, solve(problem, "milp"), 0.6)

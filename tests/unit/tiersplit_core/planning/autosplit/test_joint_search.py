"""The joint search and its exact counterpart against the enumeration of all splits and bit widths."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import quantised_reference as reference
from tests.support.problems import problems
from tests.support.quantised_problems import chain_of_four, like_resnet50, quantised
from tiersplit_core.cost.problem import CANNOT_RUN_S
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Objective
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
UNIFORM = ("u2", "u4", "u6", "u8")


def assert_is_what_it_says(problem, solution):
    """The answer keeps every constraint and costs what it says, by the reference."""
    plan = solution.plan
    assert reference.allowed(problem, plan.placement, plan.widths)
    assert solution.objective_s == pytest.approx(reference.objective(problem, plan.placement, plan.widths), rel=1e-9)
    assert solution.distortion == pytest.approx(reference.distortion(problem, plan.widths), rel=1e-9, abs=1e-12)
    if solution.stages[0].tier == problem.tiers[0].name:
        assert solution.stages[0].memory_bytes == reference.memory(problem, plan.placement, plan.widths)


@RELAXED
@given(quantised(max_layers=3))
def test_the_exact_solver_is_the_best_of_all_splits_and_bit_widths(problem):
    best, solution = reference.best(problem), solve(problem, "autosplit-exact")
    if best is None:
        assert solution.status is Status.INFEASIBLE
        assert solution.constraint
        return
    assert solution.status is Status.OPTIMAL, solution
    assert_is_what_it_says(problem, solution)
    assert solution.objective_s == pytest.approx(best, rel=1e-8, abs=1e-12)


@RELAXED
@given(quantised(max_layers=4, limited=False, widths=(2, 4, 8)))
def test_the_lagrangian_search_is_the_best_of_all_where_nothing_limits_widths(problem):
    free = replace(problem, max_distortion=None)
    assert solve(free, "autosplit").objective_s == pytest.approx(solve(free, "autosplit-exact").objective_s, rel=1e-9)


@RELAXED
@given(quantised(max_layers=5, widths=(2, 4, 6, 8), objectives=tuple(Objective)))
def test_the_joint_search_is_never_worse_than_one_tier_alone_or_a_simpler_search(problem):
    joint = solve(problem, "autosplit")
    for name in ("edge-only", "cloud-only", "qdmp", "qdmp-e-u4", "qdmp-mixed", "neurosurgeon", *UNIFORM):
        other = solve(problem, name)
        if other.plan is not None:
            assert joint.plan is not None, name
            assert joint.objective_s <= other.objective_s * (1 + 1e-9) + 1e-12, name
    if joint.plan is not None:
        assert_is_what_it_says(problem, joint)


@RELAXED
@given(quantised(max_layers=4))
def test_the_gap_that_is_reported_holds_the_optimum(problem):
    found, best = solve(problem, "autosplit"), solve(problem, "autosplit-exact")
    if found.plan is None:
        return
    assert found.gap is not None
    assert best.objective_s <= found.objective_s * (1 + 1e-9)
    assert found.objective_s * (1 - found.gap) <= best.objective_s * (1 + 1e-9) + 1e-12


@RELAXED
@given(problems(max_tiers=3, max_layers=5, objectives=(Objective.LATENCY,), limited=False))
def test_a_network_without_variants_is_placed_as_well_as_by_the_minimum_cut(problem):
    joint, cut = solve(problem, "autosplit"), solve(problem, "auto")
    assert joint.objective_s == pytest.approx(cut.objective_s, rel=1e-9, abs=1e-12)
    assert not joint.plan.widths


@RELAXED
@given(quantised(max_layers=4))
def test_auto_gives_layers_bit_widths_where_that_is_faster_and_proves_it(problem):
    found, exact = solve(problem, "auto"), solve(problem, "autosplit-exact")
    assert (found.plan is None) == (exact.plan is None)
    if found.plan is not None:
        assert found.objective_s == pytest.approx(exact.objective_s, rel=1e-9, abs=1e-12)
        assert found.status is exact.status


@RELAXED
@given(quantised(max_layers=4, tiers=3, objectives=tuple(Objective)))
def test_over_three_tiers_auto_is_no_worse_than_the_search_or_layers_as_they_are_and_proves_it(problem):
    found, searched = solve(problem, "auto"), solve(problem, "autosplit")
    plain = solve(replace(problem, layers=tuple(replace(layer, variants=()) for layer in problem.layers)), "auto")
    reached = [answer.objective_s for answer in (searched, plain) if answer.plan is not None]
    if reached:
        assert found.objective_s <= min(reached) * (1 + 1e-9) + 1e-12
        assert found.status is Status.OPTIMAL


@RELAXED
@given(quantised(max_layers=4, tiers=3))
def test_over_three_tiers_the_answer_keeps_memory_and_error_and_beats_every_tier_alone(problem):
    joint = solve(problem, "autosplit")
    for name in ("edge-only", "cloud-only", "qdmp-mixed", *UNIFORM):
        other = solve(problem, name)
        if other.plan is not None:
            assert joint.objective_s <= other.objective_s * (1 + 1e-9) + 1e-12, name
    if joint.plan is not None:
        limit, most = problem.tiers[0].memory_bytes, problem.max_distortion
        first = [stage for stage in joint.stages if stage.tier == problem.tiers[0].name]
        assert limit is None or not first or first[0].memory_bytes <= limit
        assert most is None or joint.distortion <= most * (1 + 1e-9)


def test_a_middle_tier_that_lists_variants_is_given_bit_widths_too():
    problem = chain_of_four()
    middle = tuple(
        replace(
            layer,
            seconds={"t0": 9.0, "m": 0.3, "t1": 0.3},
            variants=tuple(replace(v, seconds={"m": 0.01 * v.weight_bits / 8}) for v in layer.variants),
        )
        for layer in problem.layers
    )
    tiers = (problem.tiers[0], replace(problem.tiers[1], name="m"), problem.tiers[1])
    links = (replace(problem.links[0], target="m"), replace(problem.links[0], source="m"))
    answer = solve(replace(problem, layers=middle, tiers=tiers, links=links), "autosplit")
    assert set(answer.plan.placement.values()) == {"m"}
    assert set(answer.plan.widths) == {"c0", "c1", "c2", "c3"}


@pytest.mark.parametrize("solver", ["autosplit", "autosplit-exact"])
def test_memory_that_nothing_fits_is_answered_with_the_bytes_that_are_missing(solver):
    problem = chain_of_four(memory=1_000, raw_input_tier="t0")
    needed = 1_000 * 2 // 8 + max(60_000, 60_000 + 80_000 * 2 // 8)
    solution = solve(problem, solver)
    assert solution.status is Status.INFEASIBLE
    assert f"{needed - 1_000} bytes" in solution.constraint
    assert "tiers[0].memory_bytes" in solution.constraint


def test_memory_that_only_two_bits_fit_is_met():
    problem = chain_of_four(memory=1_000 * 2 // 8 + 60_000 + 80_000 * 2 // 8, raw_input_tier="t0")
    solution = solve(problem, "autosplit")
    assert solution.plan.widths == {"c0": (2, 2)}
    assert solution.stages[0].memory_bytes == problem.tiers[0].memory_bytes


def test_an_error_tolerance_that_nothing_meets_is_named():
    problem = chain_of_four(memory=90_000, raw_input_tier="t0", max_distortion=1e-9)
    assert "max_distortion" in solve(problem, "autosplit").constraint


def test_a_wider_error_tolerance_is_never_slower():
    seconds = [
        solve(replace(like_resnet50(memory=4 * 2**20), max_distortion=e), "autosplit").objective_s
        for e in (0.0, 0.05, 0.2, 1.0)
    ]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < 0.6 * seconds[0]


def without_floats(problem):
    """The problem whose first tier cannot run layers as they are, but only their variants."""
    layers = (replace(layer, seconds={**layer.seconds, "t0": CANNOT_RUN_S}) for layer in problem.layers)
    return replace(problem, layers=tuple(layers))


def test_a_first_tier_that_knows_no_floats_runs_quantised_layers():
    problem = without_floats(chain_of_four(raw_input_tier="t0", max_distortion=1.0))
    for solver in ("autosplit", "autosplit-exact", "u4"):
        plan = solve(problem, solver).plan
        assert all(name in plan.widths for name, tier in plan.placement.items() if tier == "t0"), solver
        assert "t0" in plan.placement.values()
    assert "cannot run on t0" in solve(problem, "edge-only").constraint


@RELAXED
@given(quantised(max_layers=3), st.integers(0, 2))
def test_a_layer_that_the_first_tier_cannot_run_at_all_is_left_to_later_ones(problem, position):
    layers = list(problem.layers)
    place = position % len(layers)
    stuck = replace(layers[place], seconds={**layers[place].seconds, "t0": CANNOT_RUN_S}, variants=())
    layers[place] = stuck
    problem = replace(problem, layers=tuple(layers))
    for solver in ("autosplit", "autosplit-exact"):
        solution = solve(problem, solver)
        if solution.plan is None:
            assert reference.best(problem) is None or reference.best(problem) >= CANNOT_RUN_S
        else:
            assert solution.plan.placement[stuck.name] == "t1"
            assert solution.objective_s < CANNOT_RUN_S


def test_variants_that_save_either_weights_or_activations_but_not_both_are_too_large_together():
    problem = chain_of_four(raw_input_tier="t0")
    first = problem.layers[0]
    either = tuple(v for v in first.variants if {v.weight_bits, v.activation_bits} == {2, 8})
    heavy = tuple(replace(v, weight_bytes=200_000 if v.weight_bits == 8 else 0) for v in either)
    layers = (replace(first, weight_bytes=400_000, variants=heavy), *problem.layers[1:])
    small = replace(problem.tiers[0], memory_bytes=100_000)
    problem = replace(problem, layers=layers, tiers=(small, problem.tiers[1]))
    for solver in ("autosplit", "autosplit-exact"):
        solution = solve(problem, solver)
        assert solution.status is Status.INFEASIBLE
        assert f"{60_000 + 80_000 - 100_000} bytes" in solution.constraint

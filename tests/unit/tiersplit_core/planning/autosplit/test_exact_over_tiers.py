"""Split and bit widths over three tiers: against the enumeration of all placements and widths, and against bounds."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support import widths_over_tiers as reference
from tests.support.quantised_problems import like_resnet50
from tests.support.widths_over_tiers import over_tiers
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.widths import width_arrays
from tiersplit_core.planning.autosplit.relaxed import Relaxation
from tiersplit_core.planning.autosplit.whole_program import undominated
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Objective, Tier
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])

FEW = settings(RELAXED, max_examples=12)
"""For what asks the Lagrangian search over three tiers, which places the rest behind each head."""


def assert_best_of_all(problem):
    """The exact solver's answer is allowed, costs what it says, and is the best of all plans."""
    least, solution = reference.best(problem), solve(problem, "autosplit-exact")
    if least is None:
        assert solution.status is Status.INFEASIBLE
        assert solution.constraint
        return
    assert solution.status is Status.OPTIMAL, solution
    plan = reference.plan_of(problem, solution)
    assert reference.allowed(problem, plan)
    assert solution.objective_s == pytest.approx(reference.objective(problem, plan), rel=1e-9, abs=1e-15)
    assert solution.objective_s == pytest.approx(least, rel=2e-9, abs=1e-15)
    assert solution.distortion == pytest.approx(reference.distortion(plan), rel=1e-9, abs=1e-12)
    places = [tier.name for tier in problem.tiers]
    for stage in solution.stages:
        assert stage.memory_bytes == reference.memory(problem, plan, places.index(stage.tier))


@RELAXED
@given(over_tiers())
def test_the_exact_solver_is_the_best_of_all_placements_and_widths_over_three_tiers(problem):
    assert_best_of_all(problem)


@RELAXED
@given(over_tiers(tiers=2, objectives=tuple(Objective)))
def test_so_it_is_where_the_last_of_two_tiers_lists_widths_too(problem):
    assert_best_of_all(problem)


@RELAXED
@given(over_tiers(objectives=(Objective.THROUGHPUT,)))
def test_so_it_is_for_throughput(problem):
    assert_best_of_all(problem)


@FEW
@given(over_tiers(max_layers=4, objectives=tuple(Objective)))
def test_it_is_never_worse_than_one_tier_alone_or_the_lagrangian_search(problem):
    exact = solve(problem, "autosplit-exact")
    for name in ("edge-only", "cloud-only", "autosplit", "qdmp-mixed"):
        other = solve(problem, name)
        if other.plan is not None:
            assert exact.objective_s <= other.objective_s * (1 + 1e-9) + 1e-15, name


@FEW
@given(over_tiers())
def test_the_gap_that_the_lagrangian_search_reports_holds_the_optimum(problem):
    found, best = solve(problem, "autosplit"), solve(problem, "autosplit-exact")
    if found.plan is not None:
        assert best.status is Status.OPTIMAL
        assert 0 <= found.gap <= 1
        assert found.objective_s * (1 - found.gap) <= best.objective_s * (1 + 1e-9) + 1e-15


@RELAXED
@given(over_tiers(max_layers=3))
def test_no_plan_is_faster_than_the_floors_of_what_it_runs(problem):
    arrays = arrays_of(problem)
    widths = width_arrays(arrays)
    cuts = list(Relaxation(arrays, widths, widths.usable(problem.max_distortion)).cuts())
    layers = {layer.name: (i, layer) for i, layer in enumerate(problem.layers)}
    for plan in reference.plans(problem):
        if not reference.allowed(problem, plan):
            continue
        seconds = reference.objective(problem, plan) * (1 + 1e-9) + 1e-15
        for cut in cuts:
            assert cut.lower_s <= seconds
            for name, (tier, variant) in plan.items():
                i, layer = layers[name]
                width = 0 if variant is None else 1 + layer.variants.index(variant)
                assert cut.floors[i, width, tier] <= seconds


@RELAXED
@given(over_tiers(max_layers=4))
def test_of_widths_of_which_none_is_better_in_anything_one_stays(problem):
    arrays = arrays_of(problem)
    widths = width_arrays(arrays)
    usable = widths.usable(problem.max_distortion)
    kept = undominated(arrays, widths, usable)
    assert (kept <= usable).all()
    assert (kept.any(axis=1) == usable.any(axis=1)).all()


def over_three_tiers(**changes):
    """A network of ResNet-50's size over three tiers, whose middle one lists bit widths as well."""
    problem = like_resnet50(widths=(2, 4, 8))

    def on(layer):
        middle = layer.seconds["t0"] / 6
        variants = (replace(v, seconds={"t0": v.seconds["t0"], "m": v.seconds["t0"] / 8}) for v in layer.variants)
        return replace(layer, seconds={**layer.seconds, "m": middle}, variants=tuple(variants))

    tiers = (Tier("t0"), Tier("m"), Tier("t1"))
    links = (Link("t0", "m", 3e6, 0.0), Link("m", "t1", 3e7, 0.01))
    layers = tuple(on(layer) for layer in problem.layers)
    return replace(problem, layers=layers, tiers=tiers, links=links, **changes)


def test_a_network_of_resnet50s_size_over_three_tiers_is_solved_to_the_optimum():
    problem = over_three_tiers(max_distortion=0.2)
    solution = solve(problem, "autosplit-exact", time_limit_s=300.0)
    plan = reference.plan_of(problem, solution)
    assert solution.status is Status.OPTIMAL
    assert reference.allowed(problem, plan)
    assert solution.objective_s == pytest.approx(reference.objective(problem, plan), rel=1e-9)


def test_where_time_is_over_the_best_plan_so_far_comes_with_its_gap():
    small = (Tier("t0", 2**20), Tier("m", 2**22), Tier("t1"))
    problem = replace(over_three_tiers(max_distortion=0.2), tiers=small)
    solution = solve(problem, "autosplit-exact", time_limit_s=0.01)
    assert solution.status is Status.FEASIBLE
    assert 0 < solution.gap < 1
    assert reference.allowed(problem, reference.plan_of(problem, solution))
    assert solution.objective_s <= solve(problem, "cloud-only").objective_s

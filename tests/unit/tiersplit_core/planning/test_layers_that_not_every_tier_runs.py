from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.problems import problems
from tests.support.profiles import chain
from tiersplit_core.cost.problem import CANNOT_RUN_S, Problem
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Objective, Tier
from tiersplit_core.planning.solution import Status
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing

TIERS = ("edge", "cloud")
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def on_last_tier(problem: Problem, chosen: int) -> Problem:
    """The problem whose layer `chosen` the last tier alone can run."""
    never = dict.fromkeys((tier.name for tier in problem.tiers[:-1]), CANNOT_RUN_S)
    layers = list(problem.layers)
    layers[chosen] = replace(layers[chosen], seconds={**layers[chosen].seconds, **never})
    return replace(problem, layers=tuple(layers))


@SOME
@given(problems(max_layers=5), st.data())
def test_solvers_put_a_layer_where_it_can_run_or_say_that_nothing_fits(problem: Problem, data: st.DataObject) -> None:
    chosen = data.draw(st.integers(0, len(problem.layers) - 1))
    pinned = on_last_tier(problem, chosen)
    wanted = solve(pinned, "exhaustive")
    for solver in ("auto", "milp"):
        found = solve(pinned, solver)
        assert found.status is wanted.status, (solver, found)
        if found.plan is not None:
            assert found.plan.placement[pinned.layers[chosen].name] == pinned.tiers[-1].name
            assert found.objective_s == pytest.approx(wanted.objective_s, rel=1e-9, abs=1e-15)


@SOME
@given(problems(max_layers=6, objectives=(Objective.LATENCY,), limited=False), st.data())
def test_the_minimum_cut_stays_exact_with_such_a_layer(problem: Problem, data: st.DataObject) -> None:
    problem = replace(problem, raw_input_tier=None)
    pinned = on_last_tier(problem, data.draw(st.integers(0, len(problem.layers) - 1)))
    found, wanted = solve(pinned, "min-cut"), solve(pinned, "exhaustive")
    assert found.status is Status.OPTIMAL
    assert found.objective_s == pytest.approx(wanted.objective_s, rel=1e-9, abs=1e-15)


def test_an_opaque_layer_is_on_the_last_tier() -> None:
    graph = chain(("a", 1, 50, 10), ("b", 1, 60, 20))
    graph = replace(graph, layers=(graph.layers[0], replace(graph.layers[1], opaque=True)))
    timings = BatchProfile({"a": Timing(0.1), "b": Timing(0.2)}, Timing(0.3))
    profiles = {name: TierProfile(name, ProfileKind.MEASURED, "sha256:g", 1, {}, {1: timings}) for name in TIERS}
    problem = problem_from_profiles(graph, profiles, [Tier(name) for name in TIERS], [Link(*TIERS, 1e6, 0.01)])
    assert problem.layers[1].seconds == {"edge": CANNOT_RUN_S, "cloud": 0.2}
    found = solve(problem, "edge-only")
    assert found.status is Status.INFEASIBLE
    assert found.constraint == "graph.layers[1].seconds.edge: b cannot run on edge"

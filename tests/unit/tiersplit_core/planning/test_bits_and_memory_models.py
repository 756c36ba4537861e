"""Solvers that plan layers as they are, with bits of their own on links and with AUTO-SPLIT's count of memory."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support import quantised_reference as reference
from tests.support.problems import problems
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, MemoryModel, Objective, Problem, ProblemLayer, Tier
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


SLOW_ON_THE_WAY_BACK = Problem(
    layers=(ProblemLayer("l0", ("input",), 38, 0, {"t0": 3.0, "t1": 0.0}, elements=9),),
    outputs=("l0",),
    input_bytes=0,
    tiers=(Tier("t0", 38), Tier("t1", 38)),
    links=(Link("t0", "t1", 100.0, 0.0),),
    objective=Objective.THROUGHPUT,
    result_tier="t0",
    transmission_bits={"l0": 1},
    memory_model=MemoryModel.AUTOSPLIT,
)
"""The result returns with all its bits, which takes longer than anything else; forwards it has few."""


@st.composite
def with_bits(draw, **options):
    """Problems of `problems` with the paper's memory model and bits on links for some layers."""
    problem = draw(problems(**options))
    layers = tuple(replace(layer, elements=layer.output_bytes // 4) for layer in problem.layers)
    names = st.sampled_from([layer.name for layer in layers])
    bits = draw(st.dictionaries(names, st.sampled_from([1, 2, 4, 8, 16]), max_size=4))
    return replace(problem, layers=layers, memory_model=MemoryModel.AUTOSPLIT, transmission_bits=bits)


def assert_same_optimum(problem, solver):
    found, best = solve(problem, solver), solve(problem, "exhaustive")
    assert (found.plan is None) == (best.plan is None)
    if best.plan is not None:
        assert found.status is Status.OPTIMAL
        assert found.objective_s == pytest.approx(best.objective_s, rel=1e-8, abs=1e-12)


@RELAXED
@given(with_bits(max_layers=5, max_tiers=3))
def test_auto_is_the_best_of_all_placements(problem):
    assert_same_optimum(problem, "auto")


@RELAXED
@example(SLOW_ON_THE_WAY_BACK)
@given(with_bits(max_layers=5, max_tiers=3, limited=True))
def test_the_mixed_integer_program_is_the_best_of_all_placements(problem):
    assert_same_optimum(problem, "milp")


@RELAXED
@given(with_bits(max_layers=6, chain=True, limited=True))
def test_dynamic_programming_is_the_best_of_all_placements_on_chains(problem):
    assert_same_optimum(problem, "dp")


@RELAXED
@given(with_bits(max_layers=5, max_tiers=2, objectives=(Objective.LATENCY,)))
def test_what_a_plan_costs_and_holds_is_what_the_reference_says(problem):
    solution = solve(problem, "exhaustive")
    if solution.plan is None:
        return
    placement = solution.plan.placement
    assert solution.objective_s == pytest.approx(reference.objective(problem, placement, {}), rel=1e-9, abs=1e-12)
    for stage in solution.stages[:1]:
        if stage.tier == "t0":
            assert stage.memory_bytes == reference.memory(problem, placement, {})


def test_a_program_row_of_the_papers_memory_counts_no_tensor_that_the_layer_alone_still_reads():
    """`a` and `b` fit one after the other, only not beside `s`; a row that held `a` with `b` would part them."""
    slow = {"t0": 0.0, "t1": 10.0}
    quick = {"t0": 0.0, "t1": 0.1}
    layers = (
        ProblemLayer("a", ("input",), 60, 0, slow),
        ProblemLayer("s", ("input",), 40, 0, quick),
        ProblemLayer("b", ("a",), 70, 0, slow),
        ProblemLayer("z", ("b", "s"), 1, 0, quick),
    )
    tiers, links = (Tier("t0", 105), Tier("t1")), (Link("t0", "t1", 1e6, 0.001),)
    problem = Problem(layers, ("z",), 10, tiers, links, memory_model=MemoryModel.AUTOSPLIT)
    solution = solve(problem, "milp")
    assert solution.status is Status.OPTIMAL
    assert solution.plan.placement == {"a": "t0", "s": "t1", "b": "t0", "z": "t1"}

"""The mixed-integer program where memory fits to the byte, sizes and seconds vanish, or span many magnitudes."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.problems import problems
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Objective, Problem, ProblemLayer, Tier
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOTHING = {"t0": 0.0, "t1": 0.0}
WITHOUT_SECONDS = Problem(
    layers=(
        ProblemLayer("l0", ("input",), 2, 0, NOTHING),
        ProblemLayer("l1", ("l0",), 0, 0, NOTHING),
        ProblemLayer("l2", ("input",), 0, 1, NOTHING),
    ),
    outputs=("l0",),
    input_bytes=0,
    tiers=(Tier("t0", 1), Tier("t1", 2)),
    links=(Link("t0", "t1", 100.0, 0.0),),
)
"""Only bytes cost something, and no division of the execution order fits."""
NEARLY_A_TIE = Problem(
    layers=(
        ProblemLayer("l0", ("input",), 0, 0, NOTHING),
        ProblemLayer("l1", ("input",), 0, 0, {"t0": 1.0, "t1": 0.0}),
        ProblemLayer("l2", ("input",), 0, 0, {"t0": 1.0, "t1": 0.0}),
    ),
    outputs=("l0",),
    input_bytes=1,
    tiers=(Tier("t0"), Tier("t1")),
    links=(Link("t0", "t1", 10_000_000.0, 1.0),),
    objective=Objective.THROUGHPUT,
)
"""What HiGHS takes for whole would make the link as fast as no byte is: 1.0 s for 1.0000008 s."""


@st.composite
def tight_problems(draw):
    """Problems whose limits are the weights of some layers and a few tensors, or a byte more or less."""
    problem = draw(problems(max_layers=5, limited=False))
    largest = draw(st.sampled_from([2, 8, 1000, 10**7, 10**12]))
    size = st.one_of(st.just(0), st.integers(0, 2), st.integers(0, largest))
    layers = tuple(replace(layer, output_bytes=draw(size), weight_bytes=draw(size)) for layer in problem.layers)
    problem = replace(problem, layers=layers, input_bytes=draw(size))
    return replace(problem, tiers=tuple(replace(tier, memory_bytes=draw(fits(problem))) for tier in problem.tiers))


def fits(problem):
    """Sums of some weights and tensors of a problem, give or take a byte; sometimes no limit."""
    parts = [problem.input_bytes]
    for layer in problem.layers:
        parts += [layer.output_bytes, layer.weight_bytes]
    some = st.lists(st.booleans(), min_size=len(parts), max_size=len(parts))
    sums = some.map(lambda chosen: sum(part for part, is_in in zip(parts, chosen, strict=True) if is_in))
    return st.one_of(st.none(), st.builds(lambda whole, more: max(whole + more, 0), sums, st.integers(-1, 1)))


@RELAXED
@example(WITHOUT_SECONDS)
@example(NEARLY_A_TIE)
@given(tight_problems())
def test_the_mixed_integer_program_equals_enumeration_where_memory_fits_to_the_byte(problem):
    expected, found = solve(problem, "exhaustive"), solve(problem, "milp")
    assert found.status is expected.status, found.constraint
    if expected.plan is not None:
        assert found.objective_s == pytest.approx(expected.objective_s, rel=1e-9, abs=1e-15)


def test_a_way_back_that_takes_forever_does_not_drown_the_rest():
    layers = (
        ProblemLayer("l0", ("input",), 0, 1, {"t0": 3.0, "t1": 0.0}),
        ProblemLayer("l1", ("input",), 2, 2, {"t0": 3.0, "t1": 0.0}),
        ProblemLayer("l2", ("l0",), 10**12, 0, NOTHING),
        ProblemLayer("l3", ("l1",), 1, 0, {"t0": 0.0, "t1": 1.0}),
    )
    tiers, links = (Tier("t0", 10**13), Tier("t1")), (Link("t0", "t1", 2.0, 0.0),)
    problem = Problem(layers, ("l2",), 0, tiers, links, Objective.THROUGHPUT, result_tier="t0")
    found = solve(problem, "milp")
    assert found.status is Status.OPTIMAL
    assert found.objective_s == pytest.approx(3.0, rel=1e-9)

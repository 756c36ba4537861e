"""What the minimum cut leaves out of its network changes no optimum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.problems import problems
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.planning.contraction import contraction_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.implied import needed_reads
from tiersplit_core.planning.problem import Link, Objective, Problem, ProblemLayer, Tier
from tiersplit_core.planning.solvers.exhaustive import placements

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def quickening_problems(draw):
    """Problems of latency without limits, most of whose layers run no slower on later tiers."""
    problem = draw(problems(max_layers=5, objectives=(Objective.LATENCY,), limited=False))
    return replace(problem, layers=tuple(draw(st.sampled_from([layer, quickening(layer)])) for layer in problem.layers))


def quickening(layer):
    falling = sorted(layer.seconds.values(), reverse=True)
    return replace(layer, seconds=dict(zip(layer.seconds, falling, strict=True)))


def least_s(arrays):
    return min(objective_s(arrays, tiers) for tiers in placements(arrays))


def problem_of(*layers):
    """Two tiers, the second ten times faster; layers are (name, inputs, bytes)."""
    made = tuple(ProblemLayer(name, inputs, size, 0, {"t0": 1.0, "t1": 0.1}) for name, inputs, size in layers)
    return Problem(made, (made[-1].name,), 50, (Tier("t0"), Tier("t1")), (Link("t0", "t1", 1e3, 0.01),))


@RELAXED
@given(quickening_problems())
def test_groups_have_the_optimum_of_their_layers(problem):
    arrays = arrays_of(problem)
    contraction = contraction_of(arrays)
    assert least_s(contraction.arrays) == pytest.approx(least_s(arrays), rel=1e-12, abs=1e-15)


@RELAXED
@given(quickening_problems(), st.lists(st.floats(0.1, 10), min_size=4, max_size=4), st.floats(-3, 3))
def test_a_network_that_was_made_for_other_loads_and_bandwidths_still_finds_the_optimum(problem, loads, exponent):
    arrays = arrays_of(problem)
    model = CutModel(arrays)
    loaded = replace(
        arrays, seconds=arrays.seconds * loads[: arrays.tiers], bandwidth_bps=arrays.bandwidth_bps * 10**exponent
    )
    answer = model.solve(loaded)
    assert objective_s(loaded, answer.tiers) == pytest.approx(least_s(loaded), rel=1e-9, abs=1e-15)
    assert answer.gap <= 1e-9


def test_layers_that_shrink_nothing_go_with_their_only_reader():
    problem = problem_of(("a", ("input",), 60), ("b", ("a",), 60), ("c", ("b",), 10), ("d", ("c",), 90))
    contraction = contraction_of(arrays_of(problem))
    assert contraction.group.tolist() == [0, 0, 0, 1]
    assert contraction.arrays.value_bytes.tolist() == [50, 10, 90]


def test_groups_do_not_hold_where_a_load_makes_a_later_tier_slower():
    contraction = contraction_of(arrays_of(problem_of(("a", ("input",), 60), ("b", ("a",), 10))))
    assert contraction.holds(contraction.arrays.seconds[[0, 0]])
    assert not contraction.holds(np.array([[1.0, 2.0], [1.0, 0.1]]))


def test_reads_that_others_imply_are_left_out_of_a_dense_block():
    arrays = arrays_of(problem_of(("a", ("input",), 9), ("b", ("a",), 1), ("c", ("a", "b"), 1), ("d", ("a", "c"), 1)))
    reads = list(zip(arrays.read_value.tolist(), arrays.read_layer.tolist(), strict=True))
    assert reads == [(0, 0), (1, 1), (1, 2), (2, 2), (1, 3), (3, 3)]
    ordering, sending = needed_reads(arrays)
    assert ordering.tolist() == [True, True, False, True, False, True]
    assert sending.tolist() == [True, False, False, True, True, True]

"""Heads, the transmission DAG and the potential splits of equation (6)."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import HealthCheck, given, settings

from tests.support import reference_cost
from tests.support.quantised_problems import chain_of_four, like_resnet50, quantised
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.widths import width_arrays
from tiersplit_core.planning.autosplit.joint import joint_search
from tiersplit_core.planning.autosplit.potential_splits import (
    all_heads,
    heads_in_order,
    least_sent_bytes,
    sends_no_more_than_input,
    transmission_dag,
)
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import INPUT, Link, Problem, ProblemLayer, Tier, Variant

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def everywhere(arrays):
    return np.ones(arrays.layers, dtype=bool)


@RELAXED
@given(quantised(max_layers=5))
def test_the_heads_are_all_sets_that_contain_what_their_members_read(problem):
    arrays = arrays_of(problem)
    unlimited = replace(problem, tiers=tuple(replace(tier, memory_bytes=None) for tier in problem.tiers))
    names = [layer.name for layer in problem.layers]
    legal = [
        inside
        for inside in product([False, True], repeat=len(names))
        if reference_cost.allowed(unlimited, {n: "t0" if i else "t1" for n, i in zip(names, inside, strict=True)})
    ]
    assert {tuple(head) for head in all_heads(arrays, everywhere(arrays)).tolist()} == set(legal)


@RELAXED
@given(quantised(max_layers=5))
def test_the_transmission_dag_holds_what_crosses_behind_each_head(problem):
    arrays = arrays_of(problem)
    heads = all_heads(arrays, everywhere(arrays))
    names = [INPUT, *(layer.name for layer in problem.layers)]
    for head, crossing in zip(heads, transmission_dag(arrays, heads), strict=True):
        placement = {name: "t0" if inside else "t1" for name, inside in zip(names[1:], head.tolist(), strict=True)}
        found = {name for name, crosses in zip(names, crossing.tolist(), strict=True) if crosses}
        assert found == reference_cost.crossing(problem, placement, 0)


def test_more_heads_than_allowed_are_not_listed():
    arrays = arrays_of(like_resnet50())
    assert all_heads(arrays, everywhere(arrays), most=20) is None
    assert len(heads_in_order(arrays)) == 73


def test_a_head_that_sends_more_than_the_input_at_the_fewest_bits_is_no_potential_split():
    # At 2 bits the chain's layers send 20000, 5000 and 1000 bytes and a header; the input has 60000, then 10000.
    arrays = arrays_of(chain_of_four())
    widths, heads = width_arrays(arrays), heads_in_order(arrays)
    sent = least_sent_bytes(arrays, widths, heads)
    assert [size // 1000 for size in sent.tolist()] == [60, 20, 5, 1, 0]
    assert sends_no_more_than_input(arrays, widths, heads).all()
    small = arrays_of(chain_of_four(input_bytes=10_000))
    assert sends_no_more_than_input(small, widths, heads).tolist() == [True, False, True, True, True]


def test_a_head_that_the_first_tier_runs_faster_stays_whatever_it_sends():
    problem = chain_of_four(input_bytes=10_000)
    layers = (replace(problem.layers[0], seconds={"t0": 0.0, "t1": 5.0}), *problem.layers[1:])
    arrays = arrays_of(replace(problem, layers=layers))
    assert sends_no_more_than_input(arrays, width_arrays(arrays), heads_in_order(arrays)).all()


def test_a_split_whose_fewest_bits_do_not_fit_is_no_potential_split():
    found = joint_search(arrays_of(chain_of_four(memory=90_000)), SolverOptions())
    on_first = [len(split.members) for split, kept in zip(found.splits, found.potential, strict=True) if kept]
    assert sorted(on_first) == [0, 1, 2]


def figure_3():
    """Three layers: floats are sent best behind the third, but the second shrinks most when it is quantised."""
    sizes, bits = (4_000, 1_000, 800), (8, 4, 8)
    layers = tuple(
        ProblemLayer(
            name=f"n{i}",
            inputs=(f"n{i - 1}" if i > 1 else INPUT,),
            output_bytes=4 * size,
            weight_bytes=400,
            seconds={"t0": 0.002, "t1": 0.0},
            elements=size,
            variants=(Variant(8, width, 100, {"t0": 0.001}, 0.01),),
        )
        for i, (size, width) in enumerate(zip(sizes, bits, strict=True), start=1)
    )
    behind = ProblemLayer("n4", ("n3",), 40, 40_000, {"t0": 9.0, "t1": 0.0})
    return Problem((*layers, behind), ("n4",), 6_000, (Tier("t0"), Tier("t1")), (Link("t0", "t1", 1e6, 0.0),))


def test_quantising_makes_another_node_the_best_split_as_in_figure_3():
    floats = solve(figure_3(), "qdmp").plan
    joint = solve(figure_3(), "autosplit").plan
    assert [name for name, tier in floats.placement.items() if tier == "t0"] == ["n1", "n2", "n3"]
    assert [name for name, tier in joint.placement.items() if tier == "t0"] == ["n1", "n2"]
    assert joint.widths == {"n1": (8, 8), "n2": (8, 4)}

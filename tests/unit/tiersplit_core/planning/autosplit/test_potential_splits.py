"""Heads, the transmission DAG and the potential splits of equation (6)."""

from dataclasses import replace
from itertools import product
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import reference_cost
from tests.support.quantised_problems import chain_of_four, like_resnet50, quantised
from tiersplit_cli.papers.stored import stored_graph
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.problem import CANNOT_RUN_S
from tiersplit_core.cost.widths import width_arrays
from tiersplit_core.planning.autosplit import exact, joint
from tiersplit_core.planning.autosplit.joint import joint_search
from tiersplit_core.planning.autosplit.potential_splits import (
    all_heads,
    heads_in_order,
    least_sent_bytes,
    sends_no_more_than_input,
    transmission_dag,
    useless_first,
)
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import (
    INPUT,
    Link,
    MemoryModel,
    Objective,
    Problem,
    ProblemLayer,
    Tier,
    Variant,
)

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


def with_opaque(problem, number):
    """The problem with a layer that the last tier alone can run; that tier is fast in some layers, slow in others."""
    layers = list(problem.layers)
    chosen = layers[number]
    seconds = dict.fromkeys(chosen.seconds, CANNOT_RUN_S) | {problem.tiers[-1].name: 0.01}
    layers[number] = replace(chosen, seconds=seconds, variants=())
    return replace(problem, layers=tuple(layers), memory_model=MemoryModel.WORKING_SET)


@RELAXED
@given(problem=quantised(max_layers=5), data=st.data())
def test_nothing_is_lost_by_heads_without_layers_that_gain_nothing_on_the_first_tier(problem, data):
    problem = with_opaque(problem, data.draw(st.integers(0, len(problem.layers) - 1)))
    arrays = arrays_of(problem)
    found = exact.solve(arrays, SolverOptions())
    with mock.patch.object(joint, "useless_first", lambda *_: np.zeros(arrays.layers, dtype=bool)):
        among_all = exact.solve(arrays, SolverOptions())
    assert (found.plan is None) == (among_all.plan is None)
    if found.plan is not None:
        assert found.objective_s == pytest.approx(among_all.objective_s, rel=1e-9, abs=1e-15)


def faster_rcnn():
    """The detector as published, ten times as fast on the last tier, which alone can find the objects."""
    graph = stored_graph("faster_rcnn")
    layers = tuple(
        ProblemLayer(
            name=layer.name,
            inputs=layer.inputs,
            output_bytes=layer.output_bytes,
            weight_bytes=layer.weight_bytes,
            seconds={"t0": CANNOT_RUN_S if layer.opaque else layer.macs / 1e9, "t1": layer.macs / 1e10},
        )
        for layer in graph.layers
    )
    return Problem(layers, graph.outputs, graph.input_bytes, (Tier("t0"), Tier("t1")), (Link("t0", "t1", 1e7, 0.0),))


def test_all_heads_of_faster_rcnn_are_found_and_none_has_what_only_proposals_need():
    problem = faster_rcnn()
    arrays = arrays_of(problem)
    widths, names = width_arrays(arrays), [layer.name for layer in problem.layers]
    useless = useless_first(arrays, widths)
    assert all_heads(arrays, widths.able) is None, "each branch of the proposal network multiplies them"
    assert {name for name, out in zip(names, useless.tolist(), strict=True) if out} == {
        "roi_heads",
        "backbone.fpn.extra_blocks.max_pool2d",
        *(name for name in names if name.startswith("rpn.")),
    }
    heads = all_heads(arrays, widths.able & ~useless)
    assert len(heads) == 477
    assert not heads[:, useless].any()
    assert joint_search(arrays, SolverOptions()).provable


def test_a_layer_that_the_last_tier_runs_slower_or_has_no_room_for_may_stay_on_the_first():
    problem = faster_rcnn()
    one = next(i for i, layer in enumerate(problem.layers) if layer.name == "rpn.head.cls_logits")
    slow = replace(problem.layers[one], seconds={"t0": 1.0, "t1": 2.0})
    layers = (*problem.layers[:one], slow, *problem.layers[one + 1 :])
    for changed in (
        replace(problem, layers=layers),
        replace(problem, tiers=(Tier("t0"), Tier("t1", 10**8))),
        replace(problem, objective=Objective.THROUGHPUT),
    ):
        arrays = arrays_of(changed)
        assert not useless_first(arrays, width_arrays(arrays))[one]


def test_where_the_first_tier_can_run_every_layer_none_is_useless_there():
    arrays = arrays_of(like_resnet50())
    assert not useless_first(arrays, width_arrays(arrays)).any()


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

from itertools import combinations

import pytest
from hypothesis import given, settings

from tests.support.graphs import diamond, layer_graphs
from tiersplit_core.errors import GraphError
from tiersplit_core.graph.cuts import (
    cut_of,
    cuts_to_json,
    execution_order_cuts,
    is_legal_head,
    single_tensor_cuts,
    value_tensors,
)
from tiersplit_core.graph.ir import INPUT


def heads(graph):
    names = [layer.name for layer in graph.layers]
    return [set(c) for count in range(len(names) + 1) for c in combinations(names, count)]


def test_a_head_that_lacks_what_it_reads_is_refused_by_name():
    with pytest.raises(GraphError, match="'d' reads 'c'"):
        cut_of(diamond(), ["a", "b", "d"])


def test_an_unknown_layer_is_refused_by_name():
    with pytest.raises(GraphError, match="zebra"):
        cut_of(diamond(), ["a", "zebra"])


def test_all_that_crosses_is_listed_in_execution_order():
    cut = cut_of(diamond(), ["b", "a"])
    assert (cut.head, cut.values, cut.tensors, cut.payload_bytes) == (("a", "b"), ("a", "b"), 2, 80)


def test_before_the_first_layer_the_input_crosses():
    cuts = execution_order_cuts(diamond())
    assert cuts[0].values == (INPUT,)
    assert cuts[0].payload_bytes == 3
    assert cuts[-1].values == ()
    assert len(cuts) == 5


def test_the_single_tensor_cuts_of_a_diamond_are_before_it_and_behind_its_first_layer():
    assert [cut.values for cut in single_tensor_cuts(diamond())] == [(INPUT,), ("a",)]


@settings(max_examples=100, deadline=None)
@given(layer_graphs(max_layers=7))
def test_exactly_the_down_sets_are_legal(graph):
    for head in heads(graph):
        closed = all(name == INPUT or name in head for layer in head for name in graph[layer].inputs)
        assert is_legal_head(graph, head) == closed
        if closed:
            crossing = {v for layer in graph.layers if layer.name not in head for v in layer.inputs}
            assert set(cut_of(graph, head).values) == {v for v in crossing if v == INPUT or v in head}
        else:
            with pytest.raises(GraphError):
                cut_of(graph, head)


@settings(max_examples=100, deadline=None)
@given(layer_graphs(max_layers=7))
def test_every_value_that_can_cross_alone_is_listed_with_its_smallest_head(graph):
    found = {cut.values[0]: set(cut.head) for cut in single_tensor_cuts(graph)}
    assert all(len(cut.values) == cut.tensors == 1 for cut in single_tensor_cuts(graph))
    alone = {}
    for head in (h for h in heads(graph) if is_legal_head(graph, h)):
        values = cut_of(graph, head).values
        if len(values) == 1 and len(value_tensors(graph, values[0])) == 1:
            alone.setdefault(values[0], []).append(head)
    assert found.keys() == alone.keys()
    for value, head in found.items():
        assert head == set.intersection(*alone[value])


def test_listed_are_the_cuts_along_the_order_and_those_of_a_single_tensor():
    graph = diamond()
    listed = cuts_to_json(graph)
    assert [cut["behind"] for cut in listed["execution_order"]] == [INPUT, *graph.index]
    assert listed["execution_order"][0]["payload_bytes"] == graph.input_bytes
    assert listed["execution_order"][-1] == {"behind": "d", "values": [], "tensors": 0, "payload_bytes": 0}
    assert [(cut["value"], cut["head_layers"]) for cut in listed["single_tensor"]] == [(INPUT, 0), ("a", 1)]

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.graphs import diamond, layer_graphs, random_plan
from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import INPUT
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import crossing_bits, crossing_values, plan_segments, segments_of
from tiersplit_core.quantization.forms import RunForm

TIERS = ("edge", "mdc", "cloud")


@settings(max_examples=200, deadline=None)
@given(layer_graphs(), st.lists(st.integers(0, 2**31), min_size=1, max_size=5))
def test_segments_are_the_layers_that_no_plan_divides_in_a_topological_order(graph, seeds):
    plans = [random_plan(graph, TIERS, seed) for seed in seeds]
    segments = segments_of(graph, plans)
    where = {layer: segment for segment in segments for layer in segment.layers}
    assert sorted(where) == sorted(graph.index)
    for one in graph.index:
        for other in graph.index:
            together = all(plan.placement[one] == plan.placement[other] for plan in plans)
            assert (where[one] is where[other]) == together
    ready = {INPUT}
    for segment in segments:
        assert set(segment.inputs) <= ready
        ready |= set(segment.outputs)
        for layer in segment.layers:
            for value in graph[layer].inputs:
                assert value in segment.layers or value in segment.inputs
    assert set(graph.outputs) <= ready


@settings(max_examples=100, deadline=None)
@given(layer_graphs(), st.integers(0, 2**31))
def test_what_crosses_a_link_is_what_later_tiers_read_from_before_it(graph, seed):
    plan = random_plan(graph, TIERS, seed)
    place = {INPUT: 0} | {name: TIERS.index(tier) for name, tier in plan.placement.items()}
    for link, values in enumerate(crossing_values(graph, plan, TIERS)):
        expected = {
            value for layer in graph.layers for value in layer.inputs if place[value] <= link < place[layer.name]
        }
        assert set(values) == expected
        assert len(values) == len(expected)


def test_equal_segments_of_different_surfaces_have_equal_ids():
    plan = Plan({"a": "edge", "b": "edge", "c": "cloud", "d": "cloud"})
    other = Plan({"a": "edge", "b": "edge", "c": "cloud", "d": "cloud"})
    assert segments_of(diamond(), [plan]) == segments_of(diamond(), [other, plan])


def test_each_segment_has_its_tier_in_the_plan():
    plan = Plan({"a": "edge", "b": "edge", "c": "cloud", "d": "cloud"})
    segments = segments_of(diamond(), [plan])
    assert [tier for _, tier in plan_segments(plan, segments)] == ["edge", "cloud"]


def test_a_plan_that_divides_a_segment_is_refused():
    segments = segments_of(diamond(), [Plan(dict.fromkeys("abcd", "edge"))])
    with pytest.raises(GraphError, match="divides"):
        plan_segments(Plan({"a": "edge", "b": "edge", "c": "cloud", "d": "cloud"}), segments)


def test_plans_that_send_data_backwards_are_refused():
    with pytest.raises(GraphError, match="backwards"):
        segments_of(diamond(), [Plan({"a": "edge", "b": "cloud", "c": "edge", "d": "edge"})])


@pytest.mark.parametrize("placement", [{}, {"a": "edge"}, dict.fromkeys("abcde", "edge")])
def test_a_plan_of_another_graph_is_refused(placement):
    with pytest.raises(GraphError, match="exactly the layers"):
        segments_of(diamond(), [Plan(placement)])


def test_no_plan_makes_no_segments():
    with pytest.raises(GraphError, match="at least one plan"):
        segments_of(diamond(), [])


EDGE_THEN_CLOUD = {"a": "edge", "b": "edge", "c": "edge", "d": "cloud"}


def test_a_plan_with_bit_widths_runs_a_variant_of_a_segment_and_others_the_segment_itself():
    as_it_is, narrow = Plan(EDGE_THEN_CLOUD), Plan(EDGE_THEN_CLOUD, {"b": (8, 8), "c": (4, 8)})
    segments = segments_of(diamond(), [narrow, as_it_is])
    head, variant, tail = segments
    assert (head.form, variant.form, tail.form) == (RunForm.FLOAT, RunForm.INT8, RunForm.FLOAT)
    assert variant.base == head.id
    assert (variant.layers, dict(variant.widths)) == (head.layers, {"b": (8, 8), "c": (4, 8)})
    assert plan_segments(as_it_is, segments) == ((head.id, "edge"), (tail.id, "cloud"))
    assert plan_segments(narrow, segments) == ((variant.id, "edge"), (tail.id, "cloud"))


def test_bits_that_count_on_links_alone_need_no_file_of_their_own():
    plans = [Plan(EDGE_THEN_CLOUD, {"c": (8, bits)}) for bits in (2, 4, 8)]
    assert len({plan.digest for plan in plans}) == 3
    assert len(segments_of(diamond(), plans)) == 2
    packed = [Plan(EDGE_THEN_CLOUD, {"c": (4, bits)}, RunForm.PACKED) for bits in (4, 32)]
    assert [dict(spec.widths) for spec in segments_of(diamond(), packed)] == [{"c": (4, 32)}, {}]
    assert len({spec.id for plan in (*plans, *packed) for spec in segments_of(diamond(), [plan])}) == 3


def test_a_variant_that_is_not_there_is_refused():
    segments = segments_of(diamond(), [Plan(EDGE_THEN_CLOUD, {"c": (8, 8)})])
    with pytest.raises(GraphError, match="bit widths that no segment has"):
        plan_segments(Plan(EDGE_THEN_CLOUD, {"c": (4, 8)}), segments)


def test_what_leaves_the_first_tier_has_the_bits_of_its_layer_and_the_rest_its_own():
    plan = Plan(EDGE_THEN_CLOUD, {"a": (8, 8), "b": (8, 4), "c": (8, 32)})
    leaving = {tensor.name for tensor in diamond()["b"].tensors}
    assert crossing_bits(diamond(), plan) == dict.fromkeys(leaving, 4)

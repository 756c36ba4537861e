from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs
from tiersplit_core.graph.ir import INPUT
from tiersplit_core.profile.chunks import chunks
from tiersplit_core.profile.memory import predict_stage_bytes, weight_bytes, working_set_bytes


def reference(graph, layers, batch):
    """Design §4.1 word by word: layers before the stage lie before it, all others after it."""
    chosen = [layer for layer in graph.layers if layer.name in layers]
    sizes = {INPUT: graph.input_bytes} | {layer.name: layer.output_bytes for layer in graph.layers}
    before, frontier = set(), set(layers)
    while frontier:
        sources = {name for layer in graph.layers if layer.name in frontier for name in layer.inputs}
        frontier = sources - before - set(layers) - {INPUT}
        before |= frontier
    later = {layer.name for layer in graph.layers} - before - set(layers)
    sent = {name for layer in graph.layers if layer.name in later for name in layer.inputs}
    largest = 0
    for step, layer in enumerate(chosen):
        computed = {earlier.name for earlier in chosen[:step]}
        still_read = {name for later_layer in chosen[step:] for name in later_layer.inputs}
        present = before | {INPUT} | computed
        held = {name for name in present if name in still_read or name in sent} | {layer.name}
        largest = max(largest, sum(sizes[name] for name in held))
    return largest * batch


@given(st.data(), st.integers(1, 8))
def test_the_working_set_is_that_of_the_design(data, batch):
    graph = data.draw(graphs())
    first = data.draw(st.integers(0, len(graph.layers) - 1))
    last = data.draw(st.integers(first, len(graph.layers) - 1))
    layers = [layer.name for layer in graph.layers[first : last + 1]]
    assert working_set_bytes(graph, layers, batch) == reference(graph, set(layers), batch)


def test_a_stage_is_its_runtime_its_weights_and_one_working_set():
    alone = predict_stage_bytes(0, 0, 70_000_000, 0)
    assert alone == 70_000_000
    assert 100_000_000 <= predict_stage_bytes(100_000_000, 0, 0, 1) <= 105_000_000
    assert predict_stage_bytes(5, 1000, 0, 2) - predict_stage_bytes(5, 0, 0, 2) == 1000


@given(st.data(), st.integers(0, 10**8), st.integers(1, 4))
def test_chunks_divide_the_layers_in_order_and_fit(data, limit, batch):
    graph = data.draw(graphs())
    found = chunks(graph, limit, batch)
    assert [name for chunk in found for name in chunk] == list(graph.index)
    for chunk in found:
        held = weight_bytes(graph, chunk) + working_set_bytes(graph, chunk, batch)
        assert len(chunk) == 1 or held <= limit


def test_a_model_that_fits_is_one_chunk():
    graph = chain(("a", 1, 1000, 10), ("b", 1, 1000, 10))
    assert chunks(graph, 10_000, 1) == (("a", "b"),)
    assert chunks(graph, 1_500, 1) == (("a",), ("b",))

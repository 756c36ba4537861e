from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import graphs
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.profile.chunks import Footprint
from tiersplit_core.profile.holding import held_bytes
from tiersplit_core.profile.memory import predict_stage_bytes, weight_bytes


def reference(graph, layers, batch, before):
    """Design §4.1 word by word: `before` (what the stage's values come from) lies before it, all others after it."""
    chosen = [layer for layer in graph.layers if layer.name in layers]
    sizes = {INPUT: graph.input_bytes} | {layer.name: layer.output_bytes for layer in graph.layers}
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
    names = tuple(graph.index)
    layers = names[first : last + 1]
    held = Footprint(graph, batch).bytes_of(layers) - weight_bytes(graph, layers)
    assert held == reference(graph, set(layers), batch, set(names[:first]))


def test_a_stage_is_its_runtime_its_weights_and_one_working_set():
    alone = predict_stage_bytes(0, 0, 70_000_000, 0)
    assert alone == 70_000_000
    assert 100_000_000 <= predict_stage_bytes(100_000_000, 0, 0, 1) <= 105_000_000
    assert predict_stage_bytes(5, 1000, 0, 2) - predict_stage_bytes(5, 0, 0, 2) == 1000


def feature(name, op, inputs, elements, weights=0):
    return Layer(name, op, tuple(inputs), (TensorSpec(f"{name}.t", "float32", (1, elements, 1, 1)),), 0, 0, weights)


RESIDUAL = LayerGraph(
    "residual",
    (TensorSpec("x", "float32", (1, 5)),),
    (
        feature("a", "Conv", [INPUT], 10),
        feature("b", "Conv", ["a"], 20),
        feature("c", "Conv", ["b"], 10),
        feature("add", "Add", ["c", "a"], 10),
        feature("relu", "Relu", ["add"], 10),
        Layer("fc", "Gemm", ("relu",), (TensorSpec("y", "float32", (1, 3)),)),
    ),
    ("fc",),
)

PLAIN_SUM = LayerGraph(
    "plain",
    RESIDUAL.inputs,
    (*RESIDUAL.layers[:5], feature("next", "Conv", ["relu"], 30)),
    ("next",),
)


def test_the_runtime_holds_what_came_in_what_lives_and_what_leaves():
    # At b: the input 5, a 10 and b 20. At c: the input, a, b and c. The sum and its activation overwrite c.
    assert held_bytes(RESIDUAL, ["a", "b"], 1) == 4 * (5 + 10 + 20 + 10 + 20)
    assert held_bytes(RESIDUAL, list(RESIDUAL.index), 1) == 4 * (5 + 10 + 20 + 10)
    # Received maps stay with the caller and are plain: so is their sum.
    assert held_bytes(RESIDUAL, ["add"], 1) == 4 * (20 + 10)
    # b needs a blocked copy of the plain sum's activation, beside what the caller holds.
    assert held_bytes(PLAIN_SUM, ["add", "relu", "next"], 1) == 4 * (20 + 10 + 10 + 30 + 30)
    # A result that is no feature map leaves from where it was computed.
    assert held_bytes(RESIDUAL, ["fc"], 2) == 2 * 4 * (10 + 3)


@given(st.data(), st.integers(1, 8))
def test_what_is_held_grows_with_the_batch_and_covers_each_layers_own_tensors(data, batch):
    graph = data.draw(graphs())
    last = data.draw(st.integers(1, len(graph.layers)))
    layers = [layer.name for layer in graph.layers[:last]]
    held = held_bytes(graph, layers, batch)
    assert held == batch * held_bytes(graph, layers, 1)
    assert held >= batch * max(graph[name].output_bytes for name in layers)

"""Random layer graphs and plans over them."""

import numpy as np
from hypothesis import strategies as st

from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.planning.plan import Plan


@st.composite
def layer_graphs(draw, max_layers=8):
    """A graph whose layers read one to three values before them."""
    names, layers = [INPUT], []
    for i in range(draw(st.integers(1, max_layers))):
        inputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        count = draw(st.integers(1, 2))
        tensors = tuple(TensorSpec(f"t{i}_{j}", "float32", (draw(st.integers(1, 9)),)) for j in range(count))
        layers.append(Layer(f"l{i}", "Conv", tuple(inputs), tensors))
        names.append(f"l{i}")
    return LayerGraph("g", (TensorSpec("x", "float32", (4,)),), tuple(layers), (layers[-1].name,))


def random_plan(graph, tiers, seed):
    """A plan in which data flows forwards."""
    generator = np.random.default_rng(seed)
    place = {INPUT: 0}
    for layer in graph.layers:
        place[layer.name] = int(generator.integers(max(place[name] for name in layer.inputs), len(tiers)))
    return Plan({layer.name: tiers[place[layer.name]] for layer in graph.layers})


def diamond():
    """input → a → (b, c) → d."""
    spec = (TensorSpec("v", "float32", (10,)),)
    layers = (
        Layer("a", "Conv", (INPUT,), spec),
        Layer("b", "Conv", ("a",), spec),
        Layer("c", "Conv", ("a",), spec),
        Layer("d", "Add", ("b", "c"), spec),
    )
    return LayerGraph("diamond", (TensorSpec("x", "uint8", (3,)),), layers, ("d",))

"""Hypothesis strategies for random layer graphs and profiles of them."""

from hypothesis import strategies as st

from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm

SECONDS = st.one_of(st.just(0.0), st.floats(1e-7, 10.0))


@st.composite
def graphs(draw, max_layers=8):
    """Graphs whose layers read one to three values before them."""
    names, layers = [INPUT], []
    for i in range(draw(st.integers(1, max_layers))):
        sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        tensor = TensorSpec(f"t{i}", "float32", (1, draw(st.integers(1, 10_000))))
        macs, weights = draw(st.integers(0, 10**9)), draw(st.integers(0, 10**7))
        layers.append(Layer(f"l{i}", "Conv", tuple(sources), (tensor,), macs=macs, weight_bytes=weights))
        names.append(f"l{i}")
    return LayerGraph("random", (TensorSpec("x", "float32", (1, 100)),), tuple(layers), (names[-1],))


@st.composite
def profiles(draw, graph, sizes=(1, 4), forms=None):
    """Measured profiles of `graph` without segments, in some quantised forms or in those of `forms`."""
    if forms is None:
        forms = draw(st.sets(st.sampled_from([RunForm.INT8, RunForm.PACKED])))

    def timings():
        return {name: Timing(draw(SECONDS), draw(SECONDS), draw(st.integers(1, 9))) for name in graph.index}

    batches = {}
    for size in sizes:
        layers = timings()
        whole = Timing(sum(t.median_s for t in layers.values()))
        batches[size] = BatchProfile(layers, whole, {}, 1000 * size, {form: timings() for form in forms})
    return TierProfile("edge", ProfileKind.MEASURED, "sha256:g", 1, {"cpu": "some"}, batches, 2.0, 70_000_000)


def chain(*layers, input_elements=100):
    """A chain of (name, macs, weight_bytes, output elements)."""
    made, before = [], INPUT
    for name, macs, weights, elements in layers:
        tensor = TensorSpec(f"{name}.out", "float32", (1, elements))
        made.append(Layer(name, "Conv", (before,), (tensor,), macs=macs, weight_bytes=weights))
        before = name
    return LayerGraph("chain", (TensorSpec("x", "float32", (1, input_elements)),), tuple(made), (before,))

"""What a stage will hold in memory, in resident bytes of its process."""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_core.graph.working_set import live_bytes
from tiersplit_core.quantization.forms import RunForm

Ints = NDArray[np.int64]

WEIGHT_FACTOR = 1.02
"""Resident bytes per byte of weights: the runtime keeps one copy, packed for its kernels and rounded up to pages."""

SEGMENT_BYTES = 2 * 2**20
"""Resident bytes of a loaded segment besides its weights: graph, kernels, packing buffers."""


def predict_stage_bytes(weights: int, held: int, base_bytes: int, segments: int = 1) -> int:
    """Resident bytes of a stage that has its segments loaded and has run them.

    All segments of a stage share one arena, so that one working set is held, whatever their number; weights are held
    once (docs/profiling.md has the measurements).

    Args:
        weights: bytes of the weights of all resident segments; a parameter that several read counts once.
        held: bytes of tensors, `holding.held_bytes` at the largest batch size.
        base_bytes: the idle runtime's resident bytes, measured (`TierProfile.base_bytes`).
        segments: how many segments are loaded.
    """
    return base_bytes + round(WEIGHT_FACTOR * weights) + segments * SEGMENT_BYTES + held


def form_bytes(graph: LayerGraph, form: RunForm, stored_bytes: int, batch: int) -> int:
    """Bytes that the whole model takes in a quantised form, at most: some kernels still compute with real numbers.

    Args:
        graph: the layer graph.
        form: how it runs; packed weights become real numbers in every run, one layer's after the other's.
        stored_bytes: its constants in the bundle.
        batch: batch size.
    """
    unpacked = max((layer.weight_bytes for layer in graph.layers), default=0) if form is RunForm.PACKED else 0
    return stored_bytes + unpacked + working_set_bytes(graph, graph.index, batch)


def weight_bytes(graph: LayerGraph, layers: Iterable[str]) -> int:
    """Bytes of the weights of `layers`."""
    return sum(graph[name].weight_bytes for name in layers)


def working_set_bytes(graph: LayerGraph, layers: Collection[str], batch: int) -> int:
    """The largest working set of a stage that runs `layers`, by the rule of design §4.1.

    Layers that compute what it reads lie before it, all others after it.

    Args:
        graph: the layer graph.
        layers: what the stage runs.
        batch: batch size.
    """
    chosen = set(layers)
    before = _ancestors(graph, chosen)
    tiers = np.array([1 if n in chosen else 0 if n in before else 2 for n in graph.index], dtype=np.int64)
    return int(live_bytes(1, tiers, value_bytes(graph, batch), *reads(graph)).max(initial=0))


def value_bytes(graph: LayerGraph, batch: int) -> Ints:
    """Bytes per value at `batch`, shape (layers + 1,): the input first, then what each layer hands on."""
    return np.array([graph.input_bytes, *(layer.output_bytes for layer in graph.layers)], dtype=np.int64) * batch


def reads(graph: LayerGraph) -> tuple[Ints, Ints]:
    """All reads as (value, layer) positions, shape (E,) each; value 0 is the input, i + 1 what layer i computes."""
    position = {INPUT: 0} | {name: i + 1 for name, i in graph.index.items()}
    pairs = [(position[name], i) for i, layer in enumerate(graph.layers) for name in layer.inputs]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _ancestors(graph: LayerGraph, chosen: set[str]) -> set[str]:
    found: set[str] = set()
    for layer in reversed(graph.layers):
        if layer.name in chosen or layer.name in found:
            found.update(name for name in layer.inputs if name not in chosen)
    return found

"""What a stage will hold in memory, in resident bytes of its process."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.graph.ir import INPUT, LayerGraph

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


def weight_bytes(graph: LayerGraph, layers: Iterable[str]) -> int:
    """Bytes of the weights of `layers`."""
    return sum(graph[name].weight_bytes for name in layers)


def value_bytes(graph: LayerGraph, batch: int) -> Ints:
    """Bytes per value at `batch`, shape (layers + 1,): the input first, then what each layer hands on."""
    return np.array([graph.input_bytes, *(layer.output_bytes for layer in graph.layers)], dtype=np.int64) * batch


def reads(graph: LayerGraph) -> tuple[Ints, Ints]:
    """All reads as (value, layer) positions, shape (E,) each; value 0 is the input, i + 1 what layer i computes."""
    position = {INPUT: 0} | {name: i + 1 for name, i in graph.index.items()}
    pairs = [(position[name], i) for i, layer in enumerate(graph.layers) for name in layer.inputs]
    found = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]

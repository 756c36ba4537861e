"""Chunks: consecutive layers that fit a tier's memory, for measuring a model that as a whole does not."""

import numpy as np

from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.working_set import live_bytes
from tiersplit_core.profile.memory import reads, value_bytes, weight_bytes


def chunks(graph: LayerGraph, limit_bytes: int, batch: int) -> tuple[tuple[str, ...], ...]:
    """Divide `graph` into runs of consecutive layers that fit `limit_bytes` each, greedily from the front.

    A layer that does not fit by itself is a chunk of its own. Bytes are those of design §4.1: weights and the largest
    working set.

    Args:
        graph: the layer graph.
        limit_bytes: bytes that one chunk may hold.
        batch: batch size.

    Returns:
        Layer names per chunk, in execution order.
    """
    found: list[tuple[str, ...]] = []
    names = tuple(graph.index)
    begin = 0
    while begin < len(names):
        end = begin + 1
        while end < len(names) and _bytes(graph, begin, end + 1, batch) <= limit_bytes:
            end += 1
        found.append(names[begin:end])
        begin = end
    return tuple(found)


def _bytes(graph: LayerGraph, begin: int, end: int, batch: int) -> int:
    tiers = np.full(len(graph.layers), 2, dtype=np.int64)
    tiers[:begin], tiers[begin:end] = 0, 1
    live = live_bytes(1, tiers, value_bytes(graph, batch), *reads(graph))
    return weight_bytes(graph, [layer.name for layer in graph.layers[begin:end]]) + int(live.max(initial=0))

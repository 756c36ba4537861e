"""Chunks: consecutive layers that fit a tier's memory, for measuring a model that as a whole does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.working_set import live_bytes
from tiersplit_core.profile.memory import Ints, reads, value_bytes
from tiersplit_core.quantization.forms import RunForm

Chunk = tuple[str, ...]
"""Names of consecutive layers, in execution order."""


@dataclass(frozen=True)
class Footprint:
    """What a process holds that runs consecutive layers of a model in one form.

    Attributes:
        graph: the layers.
        batch: samples of a run.
        form: how layers run; packed weights become real numbers in every run, one layer's after the other's.
        stored: bytes of constants per layer in that form; of layers that are not named, as the graph has them.
    """

    graph: LayerGraph
    batch: int
    form: RunForm = RunForm.FLOAT
    stored: Mapping[str, int] = field(default_factory=dict)

    def bytes_of(self, chunk: Sequence[str]) -> int:
        """Bytes of the weights of consecutive layers and of their largest working set, by the rule of design §4.1."""
        begin = self.graph.index[chunk[0]]
        end = begin + len(chunk)
        tiers = np.full(len(self.graph.layers), 2, dtype=np.int64)
        tiers[:begin], tiers[begin:end] = 0, 1
        live = live_bytes(1, tiers, self._value_bytes, *self._reads)
        unpacked = self._real[begin:end].max(initial=0) if self.form is RunForm.PACKED else 0
        return int(self._weights[begin:end].sum() + unpacked + live.max(initial=0))

    def too_large(self, limit_bytes: int) -> dict[str, int]:
        """The layers that by themselves take more than `limit_bytes`, and what they take."""
        alone = {name: self.bytes_of((name,)) for name in self.graph.index}
        return {name: needed for name, needed in alone.items() if needed > limit_bytes}

    @cached_property
    def _weights(self) -> Ints:
        return np.array([self.stored.get(layer.name, layer.weight_bytes) for layer in self.graph.layers], np.int64)

    @cached_property
    def _real(self) -> Ints:
        return np.array([layer.weight_bytes for layer in self.graph.layers], np.int64)

    @cached_property
    def _value_bytes(self) -> Ints:
        return value_bytes(self.graph, self.batch)

    @cached_property
    def _reads(self) -> tuple[Ints, Ints]:
        return reads(self.graph)


def chunks(held: Footprint, limit_bytes: int) -> tuple[Chunk, ...]:
    """Divide the layers into runs of consecutive ones that fit `limit_bytes` each, greedily from the front.

    No division has fewer chunks, because a shorter run never holds more. A layer that does not fit by itself stands in
    no chunk, and ends the one before it.

    Args:
        held: what runs of layers hold.
        limit_bytes: bytes that one chunk may hold.

    Returns:
        The chunks in execution order.
    """
    names = tuple(held.graph.index)
    apart = held.too_large(limit_bytes)
    found: list[Chunk] = []
    begin = 0
    while begin < len(names):
        end = begin + 1
        while end < len(names) and names[end] not in apart and held.bytes_of(names[begin : end + 1]) <= limit_bytes:
            end += 1
        found += [] if names[begin] in apart else [names[begin:end]]
        begin = end
    return tuple(found)


def halves(held: Footprint, chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Two chunks instead of one that turned out to take too much, of about as many bytes each.

    Args:
        held: what runs of layers hold.
        chunk: at least two layers.
    """
    cuts = range(1, len(chunk))
    at = min(cuts, key=lambda cut: max(held.bytes_of(chunk[:cut]), held.bytes_of(chunk[cut:])))
    return chunk[:at], chunk[at:]

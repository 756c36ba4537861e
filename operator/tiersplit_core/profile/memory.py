"""What a stage will hold in memory, in resident bytes of its process."""

from collections.abc import Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph
from tiersplit_core.graph.working_set import live_bytes

Ints = NDArray[np.int64]

WEIGHT_FACTOR = 1.02
"""Resident bytes per byte of weights: the runtime keeps one copy, packed for its kernels and rounded up to pages."""

SEGMENT_BYTES = 2 * 2**20
"""Resident bytes of a loaded segment besides its weights: graph, kernels, packing buffers."""


_MAP_RANK = 4
_ELEMENTWISE = frozenset(
    {"Add", "Sub", "Mul", "Relu", "Clip", "Sigmoid", "HardSwish", "HardSigmoid", "LeakyRelu", "Silu"}
)


def predict_stage_bytes(weights: int, held: int, base_bytes: int, segments: int = 1) -> int:
    """Resident bytes of a stage that has its segments loaded and has run them.

    All segments of a stage share one arena, so that one working set is held, whatever their number; weights are held
    once (docs/profiling.md has the measurements).

    Args:
        weights: bytes of the weights of all resident segments; a parameter that several read counts once.
        held: bytes of tensors, `held_bytes` at the largest batch size.
        base_bytes: the idle runtime's resident bytes, measured (`TierProfile.base_bytes`).
        segments: how many segments are loaded.
    """
    return base_bytes + round(WEIGHT_FACTOR * weights) + segments * SEGMENT_BYTES + held


def weight_bytes(graph: LayerGraph, layers: Iterable[str]) -> int:
    """Bytes of the weights of `layers`."""
    return sum(graph[name].weight_bytes for name in layers)


def held_bytes(graph: LayerGraph, layers: Collection[str], batch: int) -> int:
    """The largest number of bytes that the runtime holds for tensors at any moment while a stage runs `layers`.

    Unlike the working set of design §4.1, which all planners share, this follows ONNX Runtime: what the stage received
    stays with its caller until the run ends; feature maps are copied into the runtime's blocked layout when they are
    first read, and out of it when they leave; element-wise layers overwrite an input that nobody reads any more.

    Args:
        graph: the layer graph.
        layers: what the stage runs.
        batch: batch size.
    """
    stage = [layer for layer in graph.layers if layer.name in set(layers)]
    return _Holding(graph, stage).peak() * batch


class _Holding:
    """Bytes per sample that are held, step by step."""

    def __init__(self, graph: LayerGraph, stage: list[Layer]) -> None:
        self.graph, self.stage = graph, stage
        self.own = {layer.name for layer in stage}
        self.last_read = {name: step for step, layer in enumerate(stage) for name in layer.inputs}
        self.received = [name for name in self.last_read if name not in self.own]
        self.sent = {name for name in self.own if self._leaves(name)}
        self.live: dict[str, int] = {}

    def peak(self) -> int:
        """Largest sum over the steps of what came in, what lives inside, and what is ready to leave."""
        highest = leaving = 0
        arrived = sum(self._size(name) for name in self.received)
        for step, layer in enumerate(self.stage):
            for name in layer.inputs:
                if name in self.received and self._is_map(name):
                    self.live.setdefault(name, self._size(name))
            if self._overwrites(layer, step) is None:
                self.live[layer.name] = layer.output_bytes
            highest = max(highest, arrived + leaving + sum(self.live.values()))
            overwritten = self._overwrites(layer, step)
            if overwritten is not None:
                self.live[layer.name] = self.live.pop(overwritten)
            if layer.name in self.sent and self._is_map(layer.name):
                leaving += layer.output_bytes
                highest = max(highest, arrived + leaving + sum(self.live.values()))
            self._forget(step)
        return highest

    def _overwrites(self, layer: Layer, step: int) -> str | None:
        """The input whose place the layer's output takes."""
        if layer.op not in _ELEMENTWISE:
            return None
        ends = [name for name in layer.inputs if self.last_read[name] == step and name in self.live]
        return next((n for n in ends if self.live[n] == layer.output_bytes and not self._stays(n)), None)

    def _forget(self, step: int) -> None:
        for name in list(self.live):
            if self.last_read.get(name, step) <= step and not self._stays(name):
                del self.live[name]

    def _stays(self, name: str) -> bool:
        """Results without a blocked copy are what leaves."""
        return name in self.sent and not self._is_map(name)

    def _leaves(self, name: str) -> bool:
        return name in self.graph.outputs or any(reader not in self.own for reader in self.graph.readers[name])

    def _size(self, name: str) -> int:
        return self.graph.input_bytes if name == INPUT else self.graph[name].output_bytes

    def _is_map(self, name: str) -> bool:
        """Whether the runtime keeps it in its blocked layout: feature maps that convolutions compute."""
        return name != INPUT and any(len(tensor.shape) == _MAP_RANK for tensor in self.graph[name].tensors)


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

"""What ONNX Runtime holds for tensors while it runs a stage, step by step.

Convolutions and pools compute in a blocked layout, so do element-wise layers whose inputs are all blocked; everything
else, what a stage receives and what it sends lies plain. A value that is needed in the other layout too is copied.
"""

from collections.abc import Collection
from dataclasses import dataclass

from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph

_MAP_RANK = 4
_BLOCKED = frozenset({"Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
_ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Relu", "Clip", "Sigmoid", "HardSwish", "HardSigmoid", "LeakyRelu"})


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A value in one layout."""

    name: str
    blocked: bool


def held_bytes(graph: LayerGraph, layers: Collection[str], batch: int) -> int:
    """The largest number of bytes that the runtime holds for tensors at any moment while a stage runs `layers`.

    Unlike the working set of design §4.1, which all planners share, this follows the runtime: what the stage received
    stays with its caller until the run ends, values are copied between layouts, and element-wise layers overwrite an
    input that nobody reads any more.

    Args:
        graph: the layer graph.
        layers: what the stage runs.
        batch: batch size.
    """
    return _Holding(graph, [layer for layer in graph.layers if layer.name in set(layers)]).peak() * batch


class _Holding:
    """Bytes per sample."""

    def __init__(self, graph: LayerGraph, stage: list[Layer]) -> None:
        self.graph, self.stage = graph, stage
        self.own = {layer.name for layer in stage}
        self.blocked: dict[str, bool] = {}
        for layer in stage:
            self.blocked[layer.name] = self._computes_blocked(layer)
        self.last = self._last_uses()

    def peak(self) -> int:
        """The largest sum over the steps, what came in included."""
        arrived = sum(self._size(name) for name in {n for layer in self.stage for n in layer.inputs} - self.own)
        live: dict[_Buffer, int] = {}
        highest = 0
        for step, layer in enumerate(self.stage):
            for buffer in self._reads(layer):
                if buffer.name in self.own or buffer.blocked:
                    live.setdefault(buffer, self._size(buffer.name))
            result = _Buffer(layer.name, self.blocked[layer.name])
            overwritten = self._overwritten(layer, step, live)
            if overwritten is not None:
                del live[overwritten]
            live[result] = layer.output_bytes
            if self._leaves(layer.name):
                live[_Buffer(layer.name, False)] = layer.output_bytes
            highest = max(highest, sum(live.values()))
            live = {buffer: size for buffer, size in live.items() if self.last.get(buffer, step) > step}
        return arrived + highest

    def _reads(self, layer: Layer) -> list[_Buffer]:
        """The buffers that a layer reads; the model's own input is read as it comes."""
        blocked = self.blocked[layer.name]
        return [_Buffer(name, blocked and self._is_map(name)) for name in layer.inputs]

    def _last_uses(self) -> dict[_Buffer, int]:
        """The step of the last use of each buffer, copies into the other layout included."""
        last: dict[_Buffer, int] = {}
        for step, layer in enumerate(self.stage):
            for buffer in self._reads(layer):
                native = _Buffer(buffer.name, self.blocked.get(buffer.name, False))
                if buffer not in last:
                    last[native] = step
                last[buffer] = step
        for name in self.own:
            if self._leaves(name):
                last[_Buffer(name, False)] = len(self.stage)
        return last

    def _overwritten(self, layer: Layer, step: int, live: dict[_Buffer, int]) -> _Buffer | None:
        if layer.op not in _ELEMENTWISE:
            return None
        ends = [buffer for buffer in self._reads(layer) if buffer in live and self.last[buffer] == step]
        return next((buffer for buffer in ends if live[buffer] == layer.output_bytes), None)

    def _computes_blocked(self, layer: Layer) -> bool:
        if not self._is_map(layer.name):
            return False
        return layer.op in _BLOCKED or (
            layer.op in _ELEMENTWISE and all(self.blocked.get(name, False) for name in layer.inputs)
        )

    def _leaves(self, name: str) -> bool:
        return name in self.graph.outputs or any(reader not in self.own for reader in self.graph.readers[name])

    def _size(self, name: str) -> int:
        return self.graph.input_bytes if name == INPUT else self.graph[name].output_bytes

    def _is_map(self, name: str) -> bool:
        return name != INPUT and any(len(tensor.shape) == _MAP_RANK for tensor in self.graph[name].tensors)

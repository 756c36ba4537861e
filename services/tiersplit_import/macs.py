"""Multiply-accumulates of an operator, from the shapes of what it reads and computes."""

import math
from collections.abc import Mapping

from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.net import Array, Net, Node


def node_macs(net: Net, node: Node) -> int:
    """Multiply-accumulates per sample.

    Convolutions, linear and recurrent layers and matrix products count, as in the published figures of networks;
    element-wise operations, norms and pooling do not.
    """
    counter = _COUNTERS.get(node.op)
    return 0 if counter is None or node.domain else counter(node, _Shapes(net.shapes, net.constants))


class _Shapes:
    def __init__(self, shapes: Mapping[str, TensorSpec], constants: Mapping[str, Array]) -> None:
        self._shapes, self._constants = shapes, constants

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self._shapes[name].shape if name in self._shapes else tuple(self._constants[name].shape)


def _conv(node: Node, shapes: _Shapes) -> int:
    return math.prod(shapes[node.outputs[0]]) * math.prod(shapes[node.inputs[1]][1:])


def _conv_transpose(node: Node, shapes: _Shapes) -> int:
    return math.prod(shapes[node.inputs[0]]) * math.prod(shapes[node.inputs[1]][1:])


def _gemm(node: Node, shapes: _Shapes) -> int:
    left = shapes[node.inputs[0]]
    return math.prod(shapes[node.outputs[0]]) * left[0 if node.attribute("transA", 0) else -1]


def _matmul(node: Node, shapes: _Shapes) -> int:
    return math.prod(shapes[node.outputs[0]]) * shapes[node.inputs[0]][-1]


def _einsum(node: Node, shapes: _Shapes) -> int:
    text = node.attribute("equation", b"").decode().replace(" ", "").replace("...", "")
    sizes: dict[str, int] = {}
    for letters, name in zip(text.split("->")[0].split(","), node.inputs, strict=False):
        sizes.update(zip(reversed(letters), reversed(shapes[name]), strict=False))
    return math.prod(sizes.values()) if len(node.inputs) > 1 else 0


def _attention(node: Node, shapes: _Shapes) -> int:
    query, key, value = (shapes[name] for name in node.inputs[:3])
    return math.prod(query) * key[-2] + math.prod(query[:-1]) * key[-2] * value[-1]


def _recurrent(node: Node, shapes: _Shapes) -> int:
    """Each step multiplies its input and the state before it by all gates' weights, in each direction."""
    given, *weights = (shapes[name] for name in node.inputs[:3])
    return math.prod(given[:-1]) * sum(math.prod(shape) for shape in weights)


_COUNTERS = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "Attention": _attention,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}

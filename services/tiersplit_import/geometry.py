"""The convolution or linear map of a layer in numbers, for those who simulate arrays of multipliers."""

import math
from collections.abc import Sequence

from tiersplit_core.graph.ir import Geometry
from tiersplit_import.macs import node_macs
from tiersplit_import.net import Net, Node


def geometry_of(net: Net, nodes: Sequence[Node]) -> Geometry | None:
    """The geometry of a layer's one operator with multiply-accumulates.

    Args:
        net: the graph, its shapes known.
        nodes: the layer's.

    Returns:
        None where the layer has no such operator or several, or where what it multiplies by are no constants.
    """
    counted = [node for node in nodes if node_macs(net, node)]
    if len(counted) != 1 or counted[0].op not in _READERS or counted[0].inputs[1] not in net.constants:
        return None
    return _READERS[counted[0].op](net, counted[0])


def _conv(net: Net, node: Node) -> Geometry | None:
    kernel = net.constants[node.inputs[1]].shape[2:]
    if len(kernel) > 2:
        return None
    stride = node.attribute("strides", [1] * len(kernel))
    before, after = (_image(net.shapes[name].shape) for name in (node.inputs[0], node.outputs[0]))
    return Geometry(_pair(kernel), _pair(stride), int(node.attribute("group", 1)), before, after)


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width; images that one sample is cut into stand below each other."""
    height, width = _pair(shape[2:])
    return shape[1], shape[0] * height, width


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    return (int(sizes[0]), int(sizes[1])) if len(sizes) == 2 else (int(sizes[0]), 1)


def _linear(net: Net, node: Node) -> Geometry | None:
    before, after = (net.shapes[name].shape for name in (node.inputs[0], node.outputs[0]))
    rows = math.prod(after[:-1])
    return Geometry((1, 1), (1, 1), 1, (math.prod(before) // rows, rows, 1), (after[-1], rows, 1))


_READERS = {"Conv": _conv, "Gemm": _linear, "MatMul": _linear}

"""Whose work a kernel does: from the kernels that ONNX Runtime runs back to the layers of the graph.

The runtime fuses, renames and adds nodes (1.31): `<node>/<Fusion>/` keeps a node's name in front, `<tensor>_nchwc` is
a convolution named after the tensor it computed, `<tensor>_bn_nchwc` a batch norm, `<node>_token_<number>` a kernel of
bytes with channels last, other fused kernels keep the name of the tensor that leaves them, and
`ReorderInput`/`ReorderOutput` and transpositions without a name change the memory layout between kernels.
"""

import re
from collections.abc import Mapping, Sequence

from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_stage.measure.onnx_nodes import Node

_SUFFIXES = ("_nchwc", "_bn")
_CHANNELS_LAST = re.compile(r"_token_[0-9]+$")
_CONSUMER_FIRST = frozenset({"ReorderInput"})


def layer_of(node: Node) -> str:
    """The layer of a canonical node: what its metadata says, else its name up to `#`."""
    return node.layer or node.name.partition("#")[0]


def attribute(original: Sequence[Node], optimised: Sequence[Node]) -> list[str | None]:
    """The layer of each optimised node.

    A node that carries no name of the model is given the layer of its nearest neighbour in the optimised graph: of the
    kernel whose output it converts, or, for a layout change on the way in, of the kernel that reads it.

    Args:
        original: the nodes of the model as it lies in the bundle.
        optimised: the nodes that the runtime made of them, in running order.

    Returns:
        A layer per optimised node; None where nothing leads to one.
    """
    by_name = {node.name: layer_of(node) for node in original if node.name}
    by_tensor = {tensor: layer_of(node) for node in original for tensor in node.outputs if tensor}
    found = [_direct(node, by_name, by_tensor) for node in optimised]
    for _ in optimised:
        added = _neighbours(optimised, found)
        if not added:
            break
        for i, layer in added.items():
            found[i] = layer
    return found


def owners(graph: LayerGraph, running: set[str]) -> dict[str, str]:
    """For each layer without a kernel of its own, the layer whose kernel does its work.

    It was fused into one of the kernels that compute what it reads: the last of them to run (ResNet's sum is part of
    the convolution that runs last before it).

    Args:
        graph: the layer graph.
        running: layers with kernels.
    """
    found: dict[str, str] = {}
    for layer in graph.layers:
        if layer.name in running:
            continue
        sources = [found.get(name, name) for name in layer.inputs if name != INPUT]
        sources = [name for name in sources if name in running]
        if sources:
            found[layer.name] = max(sources, key=graph.index.__getitem__)
    return found


def work(graph: LayerGraph, name: str) -> int:
    """How a fused kernel's seconds are divided over its layers: multiply-accumulates plus elements written."""
    layer = graph[name]
    return layer.macs + layer.elements + 1


def _direct(node: Node, by_name: Mapping[str, str], by_tensor: Mapping[str, str]) -> str | None:
    for text in (node.name, node.name.partition("/")[0], *_stems(node.name), *node.outputs):
        if text and text in by_name:
            return by_name[text]
        if text and text in by_tensor:
            return by_tensor[text]
    return _by_prefix(node.name, by_name)


def _stems(name: str) -> list[str]:
    stems = [_CHANNELS_LAST.sub("", name)]
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            stems.append(name)
    return stems


def _by_prefix(name: str, by_name: Mapping[str, str]) -> str | None:
    """The longest node name that, followed by `/`, starts `name`: layer names may contain slashes themselves."""
    while "/" in name:
        name = name.rpartition("/")[0]
        if name in by_name:
            return by_name[name]
    return None


def _neighbours(nodes: Sequence[Node], found: Sequence[str | None]) -> dict[int, str]:
    producer = {tensor: i for i, node in enumerate(nodes) for tensor in node.outputs if tensor}
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(i)
    added: dict[int, str] = {}
    for i, node in enumerate(nodes):
        if found[i] is None:
            before = [found[producer[tensor]] for tensor in node.inputs if tensor in producer]
            after = [found[reader] for tensor in node.outputs for reader in readers.get(tensor, ())]
            near = after + before if node.op in _CONSUMER_FIRST else before + after
            layer = next((name for name in near if name is not None), None)
            if layer is not None:
                added[i] = layer
    return added

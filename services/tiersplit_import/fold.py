"""Rewrites that keep what the graph computes and make it smaller: what a deployed network needs no more."""

from itertools import pairwise

import numpy as np
from onnx import helper

from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.net import Array, Net, Node, attribute_of

_NOTHING = frozenset({"Identity", "Dropout"})
_MAY_BE_NOTHING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Cast"})
_NEUTRAL_INPUT = {"Pad": (1, 0), "Slice": (4, 1)}
_NORM = "BatchNormalization"
_LINEAR = frozenset({"Conv", "Gemm"})


def split_to_slices(net: Net) -> None:
    """Make one slice of every part of a Split: then each part crosses a cut alone, and only where it is read."""
    nodes: list[Node] = []
    for i, node in enumerate(net.nodes):
        nodes.extend(_slices(net, node, i) if node.op == "Split" and not node.prelude else [node])
    net.nodes = nodes
    net.drop_unread()


def _slices(net: Net, node: Node, number: int) -> list[Node]:
    axis = int(node.attribute("axis", 0)) % len(net.shapes[node.inputs[0]].shape)
    if axis == net.shapes[node.inputs[0]].batch_axis:
        return [node]
    bounds = np.cumsum([0, *(net.shapes[name].shape[axis] for name in node.outputs)])
    made = []
    for i, (start, end) in enumerate(pairwise(bounds)):
        held = {f"split{number}.{i}.{what}": value for what, value in (("start", start), ("end", end), ("axis", axis))}
        net.constants.update({name: np.array([value], dtype=np.int64) for name, value in held.items()})
        call = f"{node.call}.{i}"
        made.append(Node("Slice", [node.inputs[0], *held], [node.outputs[i]], label=node.label, call=call))
    return made


def sequences_to_slices(net: Net) -> None:
    """Make slices of what exporters write as a sequence of parts and a look-up in it."""
    splits = {node.outputs[0]: node for node in net.nodes if node.op == "SplitToSequence"}
    for number, node in enumerate(net.nodes):
        split = splits.get(node.inputs[0]) if node.op == "SequenceAt" else None
        if split is not None and _is_plain(net, split, node):
            sizes, index = net.constants[split.inputs[1]], int(net.constants[node.inputs[1]])
            start = int(sizes) * index if sizes.ndim == 0 else int(sizes[:index].sum())
            end = start + int(sizes if sizes.ndim == 0 else sizes[index])
            bounds = (("start", start), ("end", end), ("axis", int(split.attribute("axis", 0))))
            held = {f"sequence{number}.{what}": np.array([value], dtype=np.int64) for what, value in bounds}
            net.constants.update(held)
            node.op, node.inputs, node.attributes = "Slice", [split.inputs[0], *held], {}
            node.label = split.label
    net.drop_unread()


def _is_plain(net: Net, split: Node, node: Node) -> bool:
    names = [*split.inputs[1:], *node.inputs[1:]]
    known = len(names) == 2 and all(name in net.constants for name in names)
    return known and bool(split.attribute("keepdims", 1)) and int(net.constants[names[1]]) >= 0


def share_transposed(net: Net) -> None:
    """Let a product read a tied parameter as it is stored, transposed on the way: the parameter stays one constant.

    A runtime transposes it once, when it loads the product; an embedding and the classifier that shares its matrix
    are the usual case.
    """
    counts = net.reader_counts()
    tied = [
        name for name in sorted(net.learnt & net.constants.keys()) if counts[name] and net.constants[name].ndim == 2
    ]
    for number, node in enumerate(net.nodes):
        copy = net.constants.get(node.inputs[1]) if node.op == "MatMul" and not node.prelude else None
        if copy is None or copy.ndim != 2 or node.inputs[1] in net.learnt:
            continue
        source = next((name for name in tied if _is_transposed(net.constants[name], copy)), None)
        if source is not None:
            turned = f"transposed{number}"
            order = {"perm": attribute_of("perm", [1, 0])}
            node.prelude = [Node("Transpose", [source], [turned], order)]
            node.inputs = [node.inputs[0], turned]
    net.drop_unread()


def _is_transposed(one: Array, other: Array) -> bool:
    alike = one.dtype == other.dtype and one.shape == other.shape[::-1]
    return alike and np.array_equal(one[0], other[:, 0]) and np.array_equal(one.T, other)


def drop_zero_biases(net: Net) -> None:
    """Remove the zeros that the exporter adds to a convolution which has no bias."""
    for node in net.nodes:
        if node.op == "Conv" and len(node.inputs) == 3:
            bias = net.constants.get(node.inputs[2])
            if bias is not None and node.inputs[2] not in net.learnt and not np.any(bias):
                node.inputs.pop()
    net.drop_unread()


def drop_nothing(net: Net) -> None:
    """Remove identities, dropout and reshapes to the same shape."""
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in net.nodes:
        node.inputs = [names.get(name, name) for name in node.inputs]
        for part in node.prelude:
            part.inputs = [names.get(name, name) for name in part.inputs]
        if _does_nothing(net, node):
            names[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    inputs = {spec.name for spec in net.inputs}
    if any(names.get(tensor) in inputs for _, tensor in net.outputs):
        return
    net.nodes = kept
    net.outputs = [(key, names.get(tensor, tensor)) for key, tensor in net.outputs]
    net.drop_unread()


def _does_nothing(net: Net, node: Node) -> bool:
    if node.domain or len([name for name in node.outputs if name]) != 1:
        return False
    if node.inputs[0] not in net.shapes or node.outputs[0] not in net.shapes:
        return False
    before, after = net.shapes[node.inputs[0]], net.shapes[node.outputs[0]]
    same = (before.dtype, before.shape, before.batch_axis) == (after.dtype, after.shape, after.batch_axis)
    return node.op in _NOTHING or (same and (node.op in _MAY_BE_NOTHING or _is_neutral(net, node)))


def _is_neutral(net: Net, node: Node) -> bool:
    """A pad by nothing, or a slice of everything in its order."""
    if node.op not in _NEUTRAL_INPUT:
        return False
    index, number = _NEUTRAL_INPUT[node.op]
    if len(node.inputs) <= index or not node.inputs[index]:
        return node.op == "Slice"
    given = net.constants.get(node.inputs[index])
    return given is not None and bool(np.all(given == number))


def fold_norms(net: Net) -> None:
    """Fold each batch norm into the convolution or linear layer whose result it alone reads.

    A norm that follows none becomes one scale-and-shift: mean 0 and variance 1.
    """
    producers, counts = net.producers(), net.reader_counts()
    for number, node in enumerate(net.nodes):
        if node.op != _NORM or any(name not in net.constants for name in node.inputs[1:]):
            continue
        scale, shift = _scale_and_shift(net, node)
        before = producers.get(node.inputs[0])
        if before is not None and counts[node.inputs[0]] == 1 and _takes_norm(net, before, len(scale)):
            _absorb(net, before, scale, shift, f"folded{number}")
            before.parameters.update(node.parameters)
            before.outputs[0] = node.outputs[0]
            producers[node.outputs[0]] = before
            node.op = ""
        else:
            _simplify(net, node, scale, shift, f"norm{number}")
    net.nodes = [node for node in net.nodes if node.op]
    net.drop_unread()


def _scale_and_shift(net: Net, node: Node) -> tuple[Array, Array]:
    scale, bias, mean, variance = (net.constants[name].astype(np.float64) for name in node.inputs[1:5])
    factor = scale / np.sqrt(variance + float(node.attribute("epsilon", 1e-5)))
    return factor, bias - mean * factor


def _takes_norm(net: Net, node: Node, channels: int) -> bool:
    if node.op not in _LINEAR or node.domain or any(name not in net.constants for name in node.inputs[1:] if name):
        return False
    plain = node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1
    return plain and all(net.constants[name].shape == (channels,) for name in node.inputs[2:] if name)


def _absorb(net: Net, node: Node, scale: Array, shift: Array, prefix: str) -> None:
    weight = net.constants[node.inputs[1]]
    axis = 0 if node.op == "Conv" or node.attribute("transB", 0) else 1
    shape = [1] * weight.ndim
    shape[axis] = -1
    bias = net.constants[node.inputs[2]].astype(np.float64) if len(node.inputs) > 2 else np.zeros(len(scale))
    net.constants[f"{prefix}.weight"] = (weight * scale.reshape(shape)).astype(weight.dtype)
    net.constants[f"{prefix}.bias"] = (bias * scale + shift).astype(weight.dtype)
    node.inputs[1:] = [f"{prefix}.weight", f"{prefix}.bias"]


def _simplify(net: Net, node: Node, scale: Array, shift: Array, prefix: str) -> None:
    dtype = net.constants[node.inputs[1]].dtype
    held = {"scale": scale, "shift": shift, "mean": np.zeros_like(scale), "variance": np.ones_like(scale)}
    net.constants.update({f"{prefix}.{key}": value.astype(dtype) for key, value in held.items()})
    node.inputs[1:5] = [f"{prefix}.{key}" for key in held]
    node.attributes = {"epsilon": attribute_of("epsilon", 0.0)}


def normalise_input(net: Net, mean: list[float], std: list[float], channel_axis: int = 1) -> None:
    """Let the one image input arrive as bytes: (x / 255 - mean) / std becomes the first layer.

    Args:
        net: the graph, its input a float image.
        mean: per channel, in units of the full range.
        std: per channel, in units of the full range.
        channel_axis: where the channels lie.
    """
    spec = net.inputs[0]
    shape = [1] * len(spec.shape)
    shape[channel_axis] = len(mean)
    deviation = np.asarray(std, dtype=np.float64)
    net.constants["normalise.scale"] = (1 / (255 * deviation)).reshape(shape).astype(spec.dtype)
    net.constants["normalise.shift"] = (-np.asarray(mean) / deviation).reshape(shape).astype(spec.dtype)
    names = [f"{spec.name}.bytes", f"{spec.name}.float", f"{spec.name}.scaled", spec.name]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    nodes = [
        Node("Cast", names[:1], names[1:2], {"to": attribute_of("to", kind)}),
        Node("Mul", [names[1], "normalise.scale"], names[2:3]),
        Node("Add", [names[2], "normalise.shift"], names[3:]),
    ]
    for node in nodes:
        node.label = node.call = "normalise"
    for name, dtype in ((names[0], "uint8"), (names[1], spec.dtype), (names[2], spec.dtype)):
        net.shapes[name] = TensorSpec(name, dtype, spec.shape, spec.batch_axis)
    net.inputs = [net.shapes[names[0]]]
    net.nodes = [*nodes, *net.nodes]

"""The shape of every value, and the values that follow from the batch size alone, at several batch sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, shape_inference

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.net import Array, Net, Node
from tiersplit_import.probe import BATCHES, growing_axis, random_inputs, run
from tiersplit_import.proto import make_model, node_proto, session_of, tensor_proto, value_info, versions_of

_SHAPE_PREFIX = "shape of "
_SMALL_ELEMENTS = 4096
Shape = tuple[int, ...]


def static_values(net: Net, names: Sequence[str]) -> dict[str, list[Array]]:
    """The values of `names` at `BATCHES`; only what they are made of is run."""
    if not names:
        return {}
    part = replace(net, outputs=[(name, name) for name in names])
    part.drop_unread()
    model = _model(part)
    types = _types(_inferred(model))
    model.graph.output.extend(helper.make_tensor_value_info(name, types[name], None) for name in names)
    session = session_of(model, part.constants, optimise=False)
    runs = [run(session, list(names), random_inputs(net.inputs, batch)) for batch in BATCHES]
    return {name: [found[i] for found in runs] for i, name in enumerate(names)}


def value_shapes(
    net: Net, nodes: Sequence[Node], names: Sequence[str], static: Mapping[str, Sequence[Array]]
) -> dict[str, TensorSpec]:
    """The specification of each of `names` at batch size 1.

    Shapes are inferred, which costs no arithmetic; what cannot be inferred is learnt by running the model.

    Args:
        net: the graph.
        nodes: its nodes that compute from data.
        names: what those compute.
        static: every other value at `BATCHES`.

    Raises:
        ModelError: a value does not grow linearly with the batch size.
    """
    inferred = [_inferred(_at_batch(net, nodes, static, i)) for i in range(len(BATCHES))]
    shapes = [_known_shapes(model) for model in inferred]
    unknown = [name for name in names if any(name not in found for found in shapes)]
    if unknown:
        for found, seen in zip(shapes, _run_for_shapes(net, unknown), strict=True):
            found.update(seen)
    types = _types(inferred[0])
    specs = {}
    for name in names:
        sizes = [found[name] for found in shapes]
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(types[name])).name
        specs[name] = TensorSpec(name, dtype, sizes[0], growing_axis(name, sizes))
    return specs


def _model(net: Net) -> ModelProto:
    held = [tensor_proto(name, value, lambda _: "memory") for name, value in sorted(net.constants.items())]
    nodes = [node_proto(part) for node in net.nodes for part in (*node.prelude, node)]
    return make_model("probe", nodes, ([value_info(spec) for spec in net.inputs], []), held, versions_of(net))


def _at_batch(net: Net, nodes: Sequence[Node], static: Mapping[str, Sequence[Array]], i: int) -> ModelProto:
    """The data nodes alone, at one batch size; shapes are numbers, large constants only have types."""
    read = {name for node in nodes for name in node.inputs}
    values = {**net.constants, **{name: seen[i] for name, seen in static.items()}}
    held, inputs = [], [_sized(spec, BATCHES[i]) for spec in net.inputs]
    for name, value in ((name, value) for name, value in values.items() if name in read):
        if value.size <= _SMALL_ELEMENTS:
            held.append(tensor_proto(name, value.reshape(value.shape), _never))
        else:
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            inputs.append(helper.make_tensor_value_info(name, kind, value.shape))
    return make_model("shapes", [node_proto(node) for node in nodes], (inputs, []), held, versions_of(net))


def _never(_: bytes) -> str:
    return "not read"


def _sized(spec: TensorSpec, batch: int) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, kind, (spec.shape[0] * batch, *spec.shape[1:]))


def _inferred(model: ModelProto) -> ModelProto:
    slim = ModelProto()
    slim.CopyFrom(model)
    outside = [t for t in slim.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    inside = [t for t in slim.graph.initializer if t.data_location != TensorProto.EXTERNAL]
    slim.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in outside)
    del slim.graph.initializer[:]
    slim.graph.initializer.extend(inside)
    try:
        return shape_inference.infer_shapes(slim, data_prop=True)
    except Exception as error:
        raise ModelError(f"the types of its values cannot be inferred: {error}", "model") from error


def _types(model: ModelProto) -> dict[str, int]:
    """ONNX element type per value."""
    values = (*model.graph.value_info, *model.graph.input)
    known = {value.name: int(value.type.tensor_type.elem_type) for value in values}
    missing = [name for node in model.graph.node for name in node.output if name and not known.get(name)]
    if missing:
        raise ModelError("the type of this value is not known; its operator is none of ONNX's", f"value {missing[0]}")
    return known


def _known_shapes(model: ModelProto) -> dict[str, Shape]:
    found: dict[str, Shape] = {}
    for value in model.graph.value_info:
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim):
            found[value.name] = tuple(int(dim.dim_value) for dim in kind.shape.dim)
    return found


def _run_for_shapes(net: Net, names: Iterable[str]) -> list[dict[str, Shape]]:
    """The shapes of `names` at `BATCHES` by running what they are made of."""
    wanted = list(names)
    part = replace(net, outputs=[(name, name) for name in wanted])
    part.drop_unread()
    model = _model(part)
    for name in wanted:
        model.graph.node.append(helper.make_node("Shape", [name], [_SHAPE_PREFIX + name]))
        model.graph.output.append(helper.make_tensor_value_info(_SHAPE_PREFIX + name, TensorProto.INT64, None))
    session = session_of(model, part.constants, optimise=False)
    runs = [run(session, None, random_inputs(net.inputs, batch)) for batch in BATCHES]
    return [{name: tuple(int(n) for n in shape) for name, shape in zip(wanted, found, strict=True)} for found in runs]

"""Writing graphs as ONNX files whose large constants lie outside of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.net import Array, Net, Node
from tiersplit_import.probe import open_session, session_options

EXTERNAL_FROM_BYTES = 1024
"""Constants from this size on are blobs of their own."""

LAYER_KEY = "tiersplit.layer"
_IR_VERSION = 10
_BATCH = "batch"

Place = Callable[[bytes], str]
"""Stores bytes and returns the bare hexadecimal digest under which they lie."""


def raw_bytes(value: Array) -> bytes:
    """The bytes of an array as ONNX stores them: little-endian, rows first."""
    return np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).tobytes()


def tensor_proto(name: str, value: Array, place: Place) -> TensorProto:
    """An initialiser; from `EXTERNAL_FROM_BYTES` on its bytes are placed outside."""
    if value.nbytes < EXTERNAL_FROM_BYTES or value.dtype.kind in "OSU":
        return numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)
    return external_proto(name, value, place(raw_bytes(value)))


def external_proto(name: str, value: Array, location: str) -> TensorProto:
    """An initialiser whose bytes lie at `location`."""
    proto = TensorProto(name=name, dims=value.shape, data_type=helper.np_dtype_to_tensor_dtype(value.dtype))
    proto.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(value.nbytes))):
        entry = proto.external_data.add()
        entry.key, entry.value = key, text
    return proto


def node_proto(node: Node, name: str = "", layer: str = "") -> NodeProto:
    """A node, marked with its layer where it has one."""
    proto = NodeProto(op_type=node.op, domain=node.domain, name=name, input=node.inputs, output=node.outputs)
    proto.attribute.extend(node.attributes[key] for key in sorted(node.attributes))
    if layer:
        entry = proto.metadata_props.add()
        entry.key, entry.value = LAYER_KEY, layer
    return proto


def value_info(spec: TensorSpec) -> ValueInfoProto:
    """A value's type; its growing axis is symbolic, equal multiples of the batch by equal names."""
    shape: list[int | str] = list(spec.shape)
    if shape:
        per_sample = spec.shape[spec.batch_axis]
        shape[spec.batch_axis] = _BATCH if per_sample == 1 else f"{per_sample}*{_BATCH}"
    return helper.make_tensor_value_info(spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), shape)


def make_model(
    name: str,
    nodes: Sequence[NodeProto],
    boundary: tuple[Sequence[ValueInfoProto], Sequence[ValueInfoProto]],
    initialisers: Sequence[TensorProto],
    versions: Mapping[str, int],
) -> ModelProto:
    """A model whose bytes depend on its content alone.

    Args:
        name: of the graph.
        nodes: in topological order.
        boundary: inputs and outputs.
        initialisers: constants.
        versions: operator set versions by domain.
    """
    graph = helper.make_graph(nodes, name, boundary[0], boundary[1], initialisers)
    opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(versions.items())]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="tiersplit")
    model.ir_version = _IR_VERSION
    return model


def versions_of(net: Net) -> dict[str, int]:
    """Operator set versions by domain."""
    return {"": net.opset, **net.domains}


def session_of(model: ModelProto, constants: Mapping[str, Array], optimise: bool = True) -> ort.InferenceSession:
    """A session of a model whose external constants are arrays in memory.

    Raises:
        ModelError: ONNX Runtime does not take the model.
    """
    outside = [t.name for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    options = session_options(optimise=optimise)
    values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(constants[name])) for name in outside]
    if outside:
        options.add_external_initializers(outside, values)
    return open_session(model.SerializeToString(), options)


def whole_model(net: Net, layers: Iterable[tuple[str, Sequence[Node]]], name: str, place: Place) -> ModelProto:
    """The whole graph as a model.

    Args:
        net: the graph.
        layers: name and nodes of each layer, in execution order.
        name: the model's.
        place: where large constants go.
    """
    nodes = []
    for layer, members in layers:
        parts = [part for node in members for part in (*node.prelude, node)]
        nodes += [node_proto(part, f"{layer}#{k}" if k else layer, layer) for k, part in enumerate(parts)]
    inputs = [value_info(spec) for spec in net.inputs]
    outputs = [value_info(net.shapes[tensor]) for tensor in dict.fromkeys(tensor for _, tensor in net.outputs)]
    held = [tensor_proto(key, value, place) for key, value in sorted(net.constants.items())]
    model = make_model(name, nodes, (inputs, outputs), held, versions_of(net))
    crossing = {tensor for node in net.nodes for tensor in node.outputs if tensor in net.shapes}
    model.graph.value_info.extend(value_info(net.shapes[tensor]) for tensor in sorted(crossing))
    return model

"""An ONNX graph in a form that is easy to rewrite: nodes, constants, inputs and outputs by name."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, helper, inliner, numpy_helper

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec

Array = npt.NDArray[Any]
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_LEAF_PREFIXES = ("torch.nn.modules.", "tiersplit_import.kept.")
_CONTAINER = "torch.nn.modules.container."


@dataclass
class Node:
    """One operator.

    Attributes:
        op: its ONNX operator.
        inputs: names that it reads; empty texts are optional inputs that are absent.
        outputs: names that it computes.
        attributes: by name.
        domain: empty for ONNX's own operators.
        label: what people call the operation: the module's path where the exporter keeps it.
        call: equal for the nodes that one call of the source model was translated to.
        prelude: nodes that compute this node's batch-dependent constants from its own inputs.
        parameters: learnt numbers that its constants were made of, by parameter name.
    """

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, AttributeProto] = field(default_factory=dict)
    domain: str = ""
    label: str = ""
    call: str = ""
    prelude: list["Node"] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value, or `default` where it is not given."""
        found = self.attributes.get(name)
        return default if found is None else helper.get_attribute_value(found)

    def reads(self) -> Iterator[str]:
        """Every name that the node and its prelude read from outside."""
        own = {name for node in self.prelude for name in node.outputs}
        for node in (*self.prelude, self):
            yield from (name for name in node.inputs if name and name not in own)


@dataclass
class Net:
    """A whole graph.

    Attributes:
        inputs: the model's inputs at batch size 1, in the caller's order.
        input_names: what the caller calls them.
        outputs: (the caller's key, tensor name).
        nodes: in an order in which each reads only what stands before it.
        constants: arrays by name.
        learnt: the constants that are parameters.
        opset: version of ONNX's operators.
        domains: versions of other operator sets.
        shapes: per tensor name its specification at batch size 1, once probed.
        opaque: the calls inside of which sizes may depend on data.
    """

    inputs: list[TensorSpec]
    input_names: list[str]
    outputs: list[tuple[str, str]]
    nodes: list[Node]
    constants: dict[str, Array]
    learnt: set[str]
    opset: int
    domains: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, TensorSpec] = field(default_factory=dict)
    opaque: set[str] = field(default_factory=set)

    def producers(self) -> dict[str, Node]:
        """The node that computes each name."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def reader_counts(self) -> Counter[str]:
        """How often each name is read by nodes or handed to the caller."""
        counts = Counter(name for node in self.nodes for name in node.reads())
        counts.update(tensor for _, tensor in self.outputs)
        return counts

    def rename(self, names: dict[str, str]) -> None:
        """Give tensors other names, everywhere."""
        for node in self.nodes:
            for part in (*node.prelude, node):
                part.inputs = [names.get(name, name) for name in part.inputs]
                part.outputs = [names.get(name, name) for name in part.outputs]
        self.inputs = [_renamed(spec, names) for spec in self.inputs]
        self.outputs = [(key, names.get(tensor, tensor)) for key, tensor in self.outputs]
        self.constants = {names.get(name, name): value for name, value in self.constants.items()}
        self.learnt = {names.get(name, name) for name in self.learnt}
        self.shapes = {names.get(name, name): _renamed(spec, names) for name, spec in self.shapes.items()}

    def drop_unread(self) -> None:
        """Remove nodes and constants that no output depends on."""
        wanted = {tensor for _, tensor in self.outputs}
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                kept.append(node)
                wanted.update(node.reads())
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in wanted}


def _renamed(spec: TensorSpec, names: dict[str, str]) -> TensorSpec:
    return TensorSpec(names.get(spec.name, spec.name), spec.dtype, spec.shape, spec.batch_axis)


def read_net(model: ModelProto, inputs: Iterable[TensorSpec], keys: list[str], learnt: set[str] | None) -> Net:
    """The graph of `model`.

    Args:
        model: with all of its weights inside.
        inputs: the specifications of its inputs, in the model's order; its inputs will be renamed so.
        keys: the caller's names of the outputs, in the model's order.
        learnt: names of the initialisers that are parameters; None: every float initialiser that is no running
            statistic of a batch norm.

    Raises:
        ModelError: it has control flow, or other inputs and outputs than were described.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = [value.name for value in graph.input if value.name not in constants]
    specs = list(inputs)
    if len(specs) != len(found):
        raise ModelError(f"the model has {len(found)} inputs {found}; describe each with --input", "inputs")
    nodes = _read_nodes(graph, constants)
    net = Net(
        inputs=[TensorSpec(name, spec.dtype, spec.shape) for name, spec in zip(found, specs, strict=True)],
        input_names=[spec.name for spec in specs],
        outputs=list(zip(keys, (value.name for value in graph.output), strict=True)),
        nodes=nodes,
        constants=constants,
        learnt=_learnt(graph, nodes, constants) if learnt is None else learnt & constants.keys(),
        opset=next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0),
        domains={entry.domain: entry.version for entry in model.opset_import if entry.domain not in {"", "ai.onnx"}},
    )
    net.drop_unread()
    return net


def _read_nodes(graph: GraphProto, constants: dict[str, Array]) -> list[Node]:
    nodes = []
    for i, proto in enumerate(graph.node):
        if proto.op_type in _CONTROL_FLOW:
            raise ModelError(
                f"{proto.op_type} decides at run time what runs; export the model without control flow",
                f"node {proto.name or i}",
            )
        if proto.op_type == "Constant" and not proto.domain:
            constants[proto.output[0]] = _constant(proto)
        else:
            nodes.append(_read_node(proto, i))
    return nodes


def _constant(proto: NodeProto) -> Array:
    attribute = proto.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    kind = np.int64 if "int" in attribute.name else np.float32
    if "string" in attribute.name or "sparse" in attribute.name:
        raise ModelError(f"a constant of kind {attribute.name} is not supported", f"node {proto.name}")
    return np.asarray(value, dtype=kind)


def _read_node(proto: NodeProto, i: int) -> Node:
    label, call = _origin(proto, i)
    return Node(
        op=proto.op_type,
        inputs=list(proto.input),
        outputs=list(proto.output),
        attributes={attribute.name: attribute for attribute in proto.attribute},
        domain="" if proto.domain == "ai.onnx" else proto.domain,
        label=label,
        call=call,
    )


def _origin(proto: NodeProto, i: int) -> tuple[str, str]:
    """What the operation is called, and the call that it comes from."""
    about = {entry.key: entry.value for entry in proto.metadata_props}
    scopes = _names(about.get("pkg.torch.onnx.name_scopes"))
    classes = _names(about.get("pkg.torch.onnx.class_hierarchy"))
    if len(scopes) < 2 or len(classes) < 2:
        return _plain_label(proto, i), f"node {i}"
    path, function = scopes[-2], scopes[-1].rstrip("0123456789").rstrip("_")
    leaf = classes[-2].startswith(_LEAF_PREFIXES) and not classes[-2].startswith(_CONTAINER)
    if leaf and path:
        return path, scopes[-1]
    return f"{path}.{function}" if path else function, scopes[-1]


def _names(text: str | None) -> list[str]:
    try:
        value = ast.literal_eval(text or "[]")
    except (ValueError, SyntaxError):
        return []
    return [str(item) for item in value] if isinstance(value, list) else []


def _plain_label(proto: NodeProto, i: int) -> str:
    """`/layer1/conv1/Conv` of older exporters is `layer1.conv1`."""
    parts = [part for part in proto.name.split("/") if part]
    if len(parts) > 1 and parts[-1].split("_")[0] == proto.op_type:
        parts = parts[:-1]
    return ".".join(parts) or f"{proto.op_type.lower()}_{i}"


def _learnt(graph: GraphProto, nodes: list[Node], constants: dict[str, Array]) -> set[str]:
    running = {name for node in nodes if node.op == "BatchNormalization" for name in node.inputs[3:5]}
    floats = {name for name, value in constants.items() if value.dtype.kind == "f"}
    return (floats & {tensor.name for tensor in graph.initializer}) - running


def attribute_of(name: str, value: Any) -> AttributeProto:
    """An attribute for `Node.attributes`."""
    return onnx.helper.make_attribute(name, value)

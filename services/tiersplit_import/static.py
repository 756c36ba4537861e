"""What depends on the batch size alone is computed at import or anew by each of its readers.

Exporters compute shapes from the model's input and share them between layers that lie far apart; left so, every cut
would have to carry them. Values that never change become constants. Integers that are affine in the batch size n
(n·a + b, found at three batch sizes) are recomputed from the shape of what the reader reads anyway; a reshape with one
such entry needs only a -1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from onnx import helper

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.loose import LooseValues
from tiersplit_import.net import Array, Net, Node, attribute_of
from tiersplit_import.shapes import static_values, value_shapes

_ROOTS = frozenset({"Shape", "Size"})
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


@dataclass
class _Facts:
    """What the probe found: values that depend on at most the batch size, and the shapes of all others."""

    fixed: dict[str, Array] = field(default_factory=dict)
    affine: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    makers: dict[str, Node] = field(default_factory=dict)


def fold_static(net: Net) -> None:
    """Rewrite `net` so that every node computes from data, and learn the shape of each of its values.

    Raises:
        ModelError: a value's shape depends on data or does not grow linearly with the batch size, or the model
            draws random numbers.
    """
    static, varying, loose = _classify(net)
    names = {name for node in net.nodes if id(node) in static for name in node.outputs if name}
    data = [name for node in net.nodes if id(node) not in static for name in node.outputs if name and name not in loose]
    values = static_values(net, sorted(names))
    shapes = value_shapes(net, [node for node in net.nodes if id(node) not in static], data, values)
    facts = _facts(net, static, varying, values)
    net.shapes = {**{spec.name: spec for spec in net.inputs}, **shapes}
    parameters = _parameters(net, static)
    net.nodes = [node for node in net.nodes if id(node) not in static]
    net.constants.update(facts.fixed)
    for i, node in enumerate(net.nodes):
        node.parameters = _merge(parameters.get(name, {}) for name in node.inputs)
        _rewrite(net, node, facts, f"static{i}")
    net.outputs = [_data_output(key, tensor, net) for key, tensor in net.outputs]
    net.drop_unread()


def _classify(net: Net) -> tuple[set[int], set[str], frozenset[str]]:
    """The nodes that depend on the batch size at most, the names that do depend on it, and the loose values."""
    known = set(net.constants)
    static: set[int] = set()
    varying: set[str] = set()
    loose = LooseValues(net)
    for node in net.nodes:
        if node.op in _RANDOM:
            raise ModelError(f"{node.op} draws random numbers; export the model in eval mode", node.label)
        inputs = [name for name in _dependencies(node) if name]
        if not all(name in known for name in inputs) and loose.takes(node):
            continue
        if node.op in _ROOTS or all(name in known for name in inputs):
            static.add(id(node))
            known.update(node.outputs)
            if varying.intersection(inputs) or (node.op in _ROOTS and inputs[0] not in net.constants):
                varying.update(node.outputs)
    loose.check_outputs()
    return static, varying, loose.names


def _dependencies(node: Node) -> list[str]:
    # CastLike reads its second input's type only.
    return node.inputs[:1] if node.op == "CastLike" else node.inputs


def _facts(net: Net, static: set[int], varying: set[str], values: Mapping[str, Sequence[Array]]) -> _Facts:
    facts = _Facts()
    for node in net.nodes:
        for name in node.outputs if id(node) in static else ():
            if name and name not in varying:
                facts.fixed[name] = values[name][0]
            elif name:
                _classify_value(facts, name, node, values[name])
    return facts


def _classify_value(facts: _Facts, name: str, node: Node, seen: Sequence[Array]) -> None:
    if all(_same(seen[0], other) for other in seen[1:]):
        facts.fixed[name] = seen[0]
    elif _is_affine(seen):
        slope = seen[1] - seen[0]
        facts.affine[name] = (slope, seen[0] - slope)
    else:
        facts.makers[name] = node


def _is_affine(seen: Sequence[Array]) -> bool:
    alike = len({value.shape for value in seen}) == 1 and seen[0].dtype.kind == "i" and seen[0].ndim <= 1
    return alike and _same(seen[1] - seen[0], seen[2] - seen[1])


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))


def _parameters(net: Net, static: set[int]) -> dict[str, dict[str, int]]:
    """Which parameters each constant or static value is made of, with their sizes."""
    made = {name: {name: net.constants[name].size} for name in net.learnt}
    for node in net.nodes:
        if id(node) in static and node.op not in _ROOTS:
            found = _merge(made.get(name, {}) for name in _dependencies(node))
            made.update(dict.fromkeys(node.outputs, found) if found else {})
    return made


def _merge(found: Iterable[Mapping[str, int]]) -> dict[str, int]:
    return {name: size for part in found for name, size in part.items()}


def _rewrite(net: Net, node: Node, facts: _Facts, prefix: str) -> None:
    """Let `node` compute its batch-dependent inputs itself."""
    if node.op == "Reshape" and node.inputs[1] in facts.affine:
        target = _reshape_target(*facts.affine[node.inputs[1]])
        if target is not None:
            node.inputs[1] = f"{prefix}.target"
            net.constants[node.inputs[1]] = target
    if node.op == "CastLike":
        _rewrite_cast_like(net, node)
    builder = _Builder(net, node, facts, prefix)
    node.inputs = [builder.name_of(name) for name in node.inputs]
    node.prelude = builder.nodes


def _reshape_target(slope: Array, offset: Array) -> Array | None:
    if np.count_nonzero(slope) != 1 or np.any(offset[slope == 0] <= 0) or np.any(offset[slope != 0]):
        return None
    return np.where(slope != 0, -1, offset).astype(np.int64)


def _rewrite_cast_like(net: Net, node: Node) -> None:
    dtype = net.shapes[node.outputs[0]].dtype
    node.op, node.inputs = "Cast", node.inputs[:1]
    node.attributes = {"to": attribute_of("to", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))}


class _Builder:
    """Makes the prelude of one node."""

    def __init__(self, net: Net, node: Node, facts: _Facts, prefix: str) -> None:
        self._net, self._node, self._facts, self._prefix = net, node, facts, prefix
        self._made: dict[str, str] = {}
        self.nodes: list[Node] = []

    def name_of(self, name: str) -> str:
        if name in self._facts.affine and name not in self._made:
            self._made[name] = self._affine(*self._facts.affine[name])
        elif name in self._facts.makers and name not in self._made:
            self._made[name] = self._copy(name)
        return self._made.get(name, name)

    def _copy(self, name: str) -> str:
        maker = self._facts.makers[name]
        if maker.op in _ROOTS:
            raise ModelError("a shape is not affine in the batch size", f"value {name}")
        inputs = [self.name_of(read) for read in maker.inputs]
        outputs = [f"{self._prefix}.{output}" if output else "" for output in maker.outputs]
        self.nodes.append(Node(maker.op, inputs, outputs, maker.attributes, maker.domain))
        return f"{self._prefix}.{name}"

    def _affine(self, slope: Array, offset: Array) -> str:
        scaled = self._apply("Mul", self._batch(), slope)
        moved = self._apply("Add", scaled, offset) if np.any(offset) else scaled
        return moved if slope.ndim else self._apply("Squeeze", moved, np.array([0]))

    def _batch(self) -> str:
        if "batch" not in self._made:
            spec = self._source()
            axis, per_sample = spec.batch_axis, spec.shape[spec.batch_axis]
            span = {"start": attribute_of("start", axis), "end": attribute_of("end", axis + 1)}
            self.nodes.append(Node("Shape", [spec.name], [f"{self._prefix}.size"], span))
            name = f"{self._prefix}.size"
            self._made["batch"] = name if per_sample == 1 else self._apply("Div", name, np.array([per_sample]))
        return self._made["batch"]

    def _source(self) -> TensorSpec:
        for name in self._node.inputs:
            if name in self._net.shapes:
                return self._net.shapes[name]
        raise ModelError("it needs the batch size but reads no data", self._node.label)

    def _apply(self, op: str, name: str, constant: Array) -> str:
        number = len(self.nodes)
        held, made = f"{self._prefix}.constant{number}", f"{self._prefix}.made{number}"
        self._net.constants[held] = np.asarray(constant, dtype=np.int64).reshape(constant.shape)
        self.nodes.append(Node(op, [name, held], [made]))
        return made


def _data_output(key: str, tensor: str, net: Net) -> tuple[str, str]:
    if tensor not in net.shapes:
        raise ModelError("this output does not depend on the model's input; leave it out", f"output {key}")
    return key, tensor

"""From nodes to layers: which operators are one unit, what it is called and in which order units run."""

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_import.geometry import geometry_of
from tiersplit_import.macs import node_macs
from tiersplit_import.net import Net, Node

_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_ACTIVATIONS = frozenset(
    {
        *("Relu", "Clip", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu"),
        *("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Mish", "Tanh", "Softplus", "Softsign"),
    }
)
_GATES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "Softplus"})
_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten"})
_BIAS = frozenset({"Add"})
_OUTSIDE = -1


@dataclass
class Unit:
    """Nodes that form one layer."""

    nodes: list[Node]
    name: str = ""
    tensors: list[str] = field(default_factory=list)

    @property
    def main(self) -> Node:
        """The node that the layer is known by: its first linear operator, or its first."""
        return next((node for node in self.nodes if node.op in _LINEAR), self.nodes[0])

    def outputs(self) -> set[str]:
        """Every name that its nodes compute."""
        return {name for node in self.nodes for name in node.outputs if name}

    def reads(self) -> set[str]:
        """Every name that it reads from outside."""
        return {name for node in self.nodes for name in node.reads()} - self.outputs()


def group(net: Net, fuse: bool) -> list[Unit]:
    """The layers of `net` in an execution order, named; its tensors are renamed after them.

    Args:
        net: the graph, its shapes known.
        fuse: whether a bias, an activation or a mere reshape belongs to the linear layer before it; the nodes of one
            call of the source model form one layer in any case.
    """
    units = _by_call(net)
    if fuse:
        units = _merge(net, units)
    units = _ordered(units)
    _name(net, units)
    net.nodes = [node for unit in units for node in unit.nodes]
    return units


def _by_call(net: Net) -> list[Unit]:
    found: dict[str, Unit] = {}
    for node in net.nodes:
        found.setdefault(node.call, Unit([])).nodes.append(node)
    return list(found.values())


def _merge(net: Net, units: list[Unit]) -> list[Unit]:
    """Join each bias, activation and reshape to the unit before it that it alone reads."""
    owner = {name: i for i, unit in enumerate(units) for name in unit.outputs()}
    readers = _readers(net, units, owner)
    merged_into: dict[int, int] = {}
    for i, unit in enumerate(units):
        before = {owner[name] for name in unit.reads() if name in owner}
        outside = any(spec.name in unit.reads() for spec in net.inputs)
        if outside or len(before) != 1:
            continue
        (target,) = before
        if readers[target] - {target} == {i} and _belongs(net, units[target], unit):
            units[target].nodes.extend(unit.nodes)
            owner.update(dict.fromkeys(unit.outputs(), target))
            readers[target] = readers[i]
            merged_into[i] = target
        elif _is_gate(unit) and units[target].main.op in _LINEAR:
            _merge_gate(units, owner, readers, merged_into, (target, i))
    return [unit for i, unit in enumerate(units) if i not in merged_into]


def _merge_gate(
    units: list[Unit],
    owner: dict[str, int],
    readers: list[set[int]],
    merged_into: dict[int, int],
    pair: tuple[int, int],
) -> None:
    """Join x * sigmoid(x) as older exporters write it, so that the product reads x alone."""
    target, gate = pair
    products = readers[gate]
    if len(products) == 1 and readers[target] == {gate, *products}:
        (product,) = products
        if product != _OUTSIDE and [node.op for node in units[product].nodes] == ["Mul"]:
            units[target].nodes.extend((*units[gate].nodes, *units[product].nodes))
            owner.update(dict.fromkeys(units[product].outputs(), target))
            owner.update(dict.fromkeys(units[gate].outputs(), target))
            readers[target] = readers[product]
            merged_into.update({gate: target, product: target})
            units[product].nodes = []


def _is_gate(unit: Unit) -> bool:
    return len(unit.nodes) == 1 and unit.nodes[0].op in _GATES


def _readers(net: Net, units: list[Unit], owner: dict[str, int]) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in units]
    for i, unit in enumerate(units):
        for name in unit.reads():
            if name in owner:
                found[owner[name]].add(i)
    for _, tensor in net.outputs:
        if tensor in owner:
            found[owner[tensor]].add(_OUTSIDE)
    return found


def _belongs(net: Net, before: Unit, unit: Unit) -> bool:
    operators = {node.op for node in unit.nodes}
    if operators <= _MOVES:
        return _elements(net, before.nodes[-1].outputs) == _elements(net, unit.nodes[-1].outputs)
    linear = before.main.op in _LINEAR
    return linear and bool(operators) and (operators <= _ACTIVATIONS or _activation_call(unit) or operators <= _BIAS)


def _activation_call(unit: Unit) -> bool:
    """An activation that the exporter wrote as a gate and a product, in one call."""
    return len(unit.nodes) == 2 and unit.nodes[0].op in _GATES and unit.nodes[1].op == "Mul"


def _elements(net: Net, names: Iterable[str]) -> int:
    return sum(math.prod(net.shapes[name].shape) for name in names if name)


def _ordered(units: list[Unit]) -> list[Unit]:
    """Kahn's order, the unit that came first in the source first; it fails only if a layer were not convex."""
    owner = {name: i for i, unit in enumerate(units) for name in unit.outputs()}
    before = [{owner[name] for name in unit.reads() if name in owner} for unit in units]
    after: list[list[int]] = [[] for _ in units]
    for i, found in enumerate(before):
        for j in found:
            after[j].append(i)
    ready = [i for i, found in enumerate(before) if not found]
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for j in after[i]:
            before[j].discard(i)
            if not before[j]:
                heapq.heappush(ready, j)
    if len(order) != len(units):
        raise ModelError("operators of one call depend on each other in a circle", units[0].nodes[0].label)
    return [units[i] for i in order]


def _name(net: Net, units: list[Unit]) -> None:
    # A layer that hands on several tensors calls them `layer:0`, `layer:1`, …; an input may be called so as well.
    taken = {INPUT, *net.input_names, *(name.rpartition(":")[0] for name in net.input_names)}
    wanted = {name for unit in units for name in unit.reads()} | {tensor for _, tensor in net.outputs}
    names = {spec.name: name for spec, name in zip(net.inputs, net.input_names, strict=True)}
    for unit in units:
        unit.name = _unique(unit.main.label or unit.main.op.lower(), taken)
        handed = [name for node in unit.nodes for name in node.outputs if name in wanted]
        for i, old in enumerate(handed):
            names[old] = unit.name if len(handed) == 1 else f"{unit.name}:{i}"
        _name_inner(unit, names)
        unit.tensors = [names[name] for name in handed]
    for name in sorted(net.constants):
        names[name] = _unique(name, taken) if name in taken else name
    net.rename(names)


def _name_inner(unit: Unit, names: dict[str, str]) -> None:
    inner = [name for node in unit.nodes for part in (*node.prelude, node) for name in part.outputs if name]
    for i, name in enumerate(inner):
        names.setdefault(name, f"{unit.name}#value{i}")


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 0
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def layer_graph(net: Net, units: list[Unit], name: str) -> LayerGraph:
    """The layer graph of `units`; each parameter is counted at the first layer that reads it."""
    owner = {tensor: unit.name for unit in units for tensor in unit.tensors}
    counted: set[str] = set()
    layers = []
    for unit in units:
        parameters = {key: size for node in unit.nodes for key, size in node.parameters.items()}
        layers.append(_layer(net, unit, owner, sum(n for key, n in parameters.items() if key not in counted)))
        counted.update(parameters)
    outputs = dict.fromkeys(owner[tensor] for _, tensor in net.outputs)
    return LayerGraph(name, tuple(net.inputs), tuple(layers), tuple(outputs), tuple(net.outputs))


def _layer(net: Net, unit: Unit, owner: dict[str, str], parameters: int) -> Layer:
    reads = [name for node in unit.nodes for name in node.reads()]
    inputs = dict.fromkeys(owner.get(name, INPUT) for name in reads if name in net.shapes)
    inputs.pop(unit.name, None)
    weights = {name for name in reads if name in net.constants}
    own = unit.outputs()
    return Layer(
        name=unit.name,
        op=unit.main.op,
        inputs=tuple(key for key in inputs if key != INPUT or _reads_input(net, reads, own)),
        tensors=tuple(_spec(net, tensor) for tensor in unit.tensors),
        macs=sum(node_macs(net, node) for node in unit.nodes),
        parameters=parameters,
        weight_bytes=sum(net.constants[key].nbytes for key in weights),
        geometry=geometry_of(net, unit.nodes),
        opaque=unit.nodes[0].call in net.opaque,
    )


def _reads_input(net: Net, reads: list[str], own: set[str]) -> bool:
    return bool({spec.name for spec in net.inputs}.intersection(reads) - own)


def _spec(net: Net, tensor: str) -> TensorSpec:
    return net.shapes[tensor]

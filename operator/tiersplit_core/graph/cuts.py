"""Where a graph may be divided: any set of layers that contains what its members read is a legal head."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import INPUT, LayerGraph, TensorSpec


@dataclass(frozen=True, slots=True)
class Cut:
    """A division of the graph into a head and the rest.

    Attributes:
        head: the layers before the cut, in execution order.
        values: the values that cross: `INPUT` or layers, in execution order.
        tensors: how many tensors these values are.
        payload_bytes: their bytes per sample.
    """

    head: tuple[str, ...]
    values: tuple[str, ...]
    tensors: int
    payload_bytes: int


def value_tensors(graph: LayerGraph, value: str) -> tuple[TensorSpec, ...]:
    """The tensors of a value: the model's inputs for `INPUT`, else what the layer of that name hands on."""
    return graph.inputs if value == INPUT else graph[value].tensors


def cut_of(graph: LayerGraph, head: Iterable[str]) -> Cut:
    """The cut behind `head`, with as many values crossing as it has.

    Raises:
        GraphError: a name is no layer, or `head` is no down-set: it lacks a layer that one of its members reads.
    """
    members = set(head)
    for name in sorted(members - graph.index.keys()):
        raise GraphError(f"no layer is called {name!r}", "head")
    ordered = tuple(layer.name for layer in graph.layers if layer.name in members)
    for name in ordered:
        for source in graph[name].inputs:
            if source != INPUT and source not in members:
                raise GraphError(f"{name!r} reads {source!r}, which is behind the cut; add it to the head", "head")
    values = tuple(value for value in (INPUT, *ordered) if any(r not in members for r in graph.readers[value]))
    specs = [spec for value in values for spec in value_tensors(graph, value)]
    return Cut(ordered, values, len(specs), sum(spec.size_bytes for spec in specs))


def is_legal_head(graph: LayerGraph, head: Collection[str]) -> bool:
    """Whether every layer of `head` finds what it reads in `head` or in the input."""
    members = set(head)
    return members <= graph.index.keys() and all(
        source == INPUT or source in members for name in members for source in graph[name].inputs
    )


def execution_order_cuts(graph: LayerGraph) -> tuple[Cut, ...]:
    """The cuts along the execution order: before the first layer, behind each layer."""
    names = [layer.name for layer in graph.layers]
    return tuple(cut_of(graph, names[:count]) for count in range(len(names) + 1))


def single_tensor_cuts(graph: LayerGraph) -> tuple[Cut, ...]:
    """For each value that can be the only one to cross and is one tensor, its cut with the smallest head."""
    values = (INPUT, *(layer.name for layer in graph.layers))
    heads = ((value, _smallest_head(graph, value)) for value in values if len(value_tensors(graph, value)) == 1)
    return tuple(cut_of(graph, head) for _, head in heads if head is not None)


def _smallest_head(graph: LayerGraph, value: str) -> set[str] | None:
    """The smallest head from which nothing but `value` crosses; None where there is none."""
    head: set[str] = set()
    settled: set[str] = set()
    waiting = [INPUT, value]
    while waiting:
        name = waiting.pop()
        if name in settled:
            continue
        settled.add(name)
        if name != INPUT:
            head.add(name)
            waiting.extend(graph[name].inputs)
        if name != value:
            waiting.extend(graph.readers[name])
    return head if any(reader not in head for reader in graph.readers[value]) else None


def cuts_to_json(graph: LayerGraph) -> dict[str, Any]:
    """The cuts along the execution order and those of a single tensor, as `tiersplit import -o json` lists them.

    Returns:
        `execution_order`: per cut the layer `behind` which it lies (`INPUT`: before the first), the values that cross,
        how many tensors they are and their bytes per sample; `single_tensor`: per cut the value, how many layers its
        smallest head has, and the bytes.
    """
    along = [
        {
            "behind": cut.head[-1] if cut.head else INPUT,
            "values": list(cut.values),
            "tensors": cut.tensors,
            "payload_bytes": cut.payload_bytes,
        }
        for cut in execution_order_cuts(graph)
    ]
    single = [
        {"value": cut.values[0], "head_layers": len(cut.head), "payload_bytes": cut.payload_bytes}
        for cut in single_tensor_cuts(graph)
    ]
    return {"execution_order": along, "single_tensor": single}

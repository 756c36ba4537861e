"""Segments: the layers that have the same tier in every plan of a surface.

Tiers never fall along an edge of the graph, so neither do the tuples of tiers over all plans: the segments form an
acyclic graph. A segment need not be contiguous in the execution order.
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_core.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """One segment.

    Attributes:
        id: derived from its layers, so that equal segments of different surfaces have equal ids.
        layers: in execution order.
        inputs: the values it reads from outside (`INPUT` or layers), in execution order.
        outputs: its values that other segments or the caller read, in execution order.
    """

    id: str
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def segments_of(graph: LayerGraph, plans: Sequence[Plan]) -> tuple[SegmentSpec, ...]:
    """The segments of a set of plans, in a topological order.

    Args:
        graph: the layer graph.
        plans: at least one; each places every layer.

    Raises:
        GraphError: a plan does not place exactly the graph's layers, or the plans send data backwards.
    """
    groups = _groups(graph, plans)
    segment_of = {layer: i for i, layers in enumerate(groups) for layer in layers}
    return tuple(_segment(graph, groups[i], segment_of) for i in _topological_order(graph, segment_of, len(groups)))


def plan_segments(plan: Plan, segments: Sequence[SegmentSpec]) -> tuple[tuple[str, str], ...]:
    """(segment id, tier name) for each segment, in the order of `segments`.

    Raises:
        GraphError: the plan divides a segment: the segments were made for other plans.
    """
    placed = []
    for segment in segments:
        tiers = {plan.placement[layer] for layer in segment.layers}
        if len(tiers) != 1:
            raise GraphError(f"the plan {plan.digest} divides the segment {segment.id}", "segments")
        placed.append((segment.id, tiers.pop()))
    return tuple(placed)


def crossing_values(graph: LayerGraph, plan: Plan, tiers: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The values that cross each link, those that only pass a tier through included.

    Args:
        graph: the layer graph.
        plan: the plan.
        tiers: all tier names in the order in which data flows.

    Returns:
        Per link between neighbouring tiers, the values (`INPUT` or layers) in execution order.
    """
    position = {name: i for i, name in enumerate(tiers)}
    place = {INPUT: 0} | {name: position[tier] for name, tier in plan.placement.items()}
    furthest = {
        value: max([place[value], *(place[reader] for reader in readers)]) for value, readers in graph.readers.items()
    }
    values = (INPUT, *(layer.name for layer in graph.layers))
    return tuple(
        tuple(value for value in values if place[value] <= link < furthest[value]) for link in range(len(tiers) - 1)
    )


def _groups(graph: LayerGraph, plans: Sequence[Plan]) -> list[list[str]]:
    if not plans:
        raise GraphError("at least one plan is needed to make segments", "plans")
    for i, plan in enumerate(plans):
        if plan.placement.keys() != graph.index.keys():
            raise GraphError("the plan does not place exactly the layers of this graph", f"plans[{i}]")
    groups: dict[tuple[str, ...], list[str]] = {}
    for layer in graph.layers:
        groups.setdefault(tuple(plan.placement[layer.name] for plan in plans), []).append(layer.name)
    return list(groups.values())


def _topological_order(graph: LayerGraph, segment_of: Mapping[str, int], count: int) -> list[int]:
    """Groups in topological order, those with earlier layers first (Kahn 1962)."""
    edges = {
        (segment_of[source], segment_of[layer.name])
        for layer in graph.layers
        for source in layer.inputs
        if source != INPUT and segment_of[source] != segment_of[layer.name]
    }
    behind: dict[int, list[int]] = {}
    missing = [0] * count
    for source, target in edges:
        behind.setdefault(source, []).append(target)
        missing[target] += 1
    ready = [i for i in range(count) if not missing[i]]
    order = []
    while ready:
        order.append(heapq.heappop(ready))
        for target in behind.get(order[-1], ()):
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, target)
    if len(order) != count:
        raise GraphError("the plans send data backwards: their segments form a cycle", "plans")
    return order


def _segment(graph: LayerGraph, layers: Sequence[str], segment_of: Mapping[str, int]) -> SegmentSpec:
    own = segment_of[layers[0]]
    read = {source for layer in layers for source in graph[layer].inputs}
    inputs = [v for v in (INPUT, *graph.index) if v in read and (v == INPUT or segment_of[v] != own)]
    results = set(graph.outputs)
    outputs = [v for v in layers if v in results or any(segment_of[r] != own for r in graph.readers[v])]
    digest = hashlib.sha256("\n".join(layers).encode()).hexdigest()
    return SegmentSpec(f"seg-{digest[:16]}", tuple(layers), tuple(inputs), tuple(outputs))

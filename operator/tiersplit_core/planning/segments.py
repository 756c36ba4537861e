"""Segments: the layers that have the same tier in every plan of a surface.

Tiers never fall along an edge of the graph, so neither do the tuples of tiers over all plans: the segments form an
acyclic graph. A segment need not be contiguous in the execution order. A plan that gives some of a segment's layers
other bit widths runs a variant of it in its place.
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm, variant_id
from tiersplit_core.quantization.statistics import FLOAT_BITS

_BYTE = 8


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """One segment.

    Attributes:
        id: derived from its layers, so that equal segments of different surfaces have equal ids.
        layers: in execution order.
        inputs: the values it reads from outside (`INPUT` or layers), in execution order.
        outputs: its values that other segments or the caller read, in execution order.
        form: how it runs.
        widths: (weight bits, activation bits) that decide its file, per layer that does not run at its own widths.
        base: id of the segment with the same layers as they are; empty where it is that.
    """

    id: str
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    form: RunForm = RunForm.FLOAT
    widths: tuple[tuple[str, tuple[int, int]], ...] = ()
    base: str = ""


def segments_of(graph: LayerGraph, plans: Sequence[Plan]) -> tuple[SegmentSpec, ...]:
    """The segments of a set of plans, in a topological order; the variants of one stand next to each other.

    Args:
        graph: the layer graph.
        plans: at least one; each places every layer.

    Raises:
        GraphError: a plan does not place exactly the graph's layers, or the plans send data backwards.
    """
    groups = _groups(graph, plans)
    segment_of = {layer: i for i, layers in enumerate(groups) for layer in layers}
    order = _topological_order(graph, segment_of, len(groups))
    bases = (_segment(graph, groups[i], segment_of) for i in order)
    return tuple(variant for base in bases for variant in _variants(base, plans))


def plan_segments(plan: Plan, segments: Sequence[SegmentSpec]) -> tuple[tuple[str, str], ...]:
    """(segment id, tier name) for each segment that the plan runs, in the order of `segments`.

    Raises:
        GraphError: the plan divides a segment, or runs a variant that is not there: they were made for other plans.
    """
    placed, covered = [], 0
    for segment in segments:
        tiers = {plan.placement[layer] for layer in segment.layers}
        if len(tiers) != 1:
            raise GraphError(f"the plan {plan.digest} divides the segment {segment.id}", "segments")
        if _id_in(plan, segment) == segment.id:
            placed.append((segment.id, tiers.pop()))
            covered += len(segment.layers)
    if covered != len(plan.placement):
        raise GraphError(f"the plan {plan.digest} runs layers at bit widths that no segment has", "segments")
    return tuple(placed)


def crossing_bits(graph: LayerGraph, plan: Plan) -> dict[str, int]:
    """Bits per element of the tensors that leave a tier of the plan with fewer bits than they have, by tensor name."""
    found: dict[str, int] = {}
    for layer in graph.layers:
        bits, tier = plan.sent_bits(layer.name), plan.placement[layer.name]
        leaves = any(plan.placement[reader] != tier for reader in graph.readers[layer.name])
        if bits is not None and leaves:
            found |= {tensor.name: bits for tensor in layer.tensors}
    return found


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


def _variants(base: SegmentSpec, plans: Sequence[Plan]) -> list[SegmentSpec]:
    """What the plans run of a segment, itself first where any runs it as it is."""
    found = {}
    for plan in plans:
        name = _id_in(plan, base)
        if name not in found:
            as_it_is = name == base.id
            found[name] = (
                base
                if as_it_is
                else replace(base, id=name, form=plan.form, widths=_file_widths(plan, base.layers), base=base.id)
            )
    return sorted(found.values(), key=lambda variant: variant.form is not RunForm.FLOAT)


def _id_in(plan: Plan, segment: SegmentSpec) -> str:
    """The id of what a plan runs for the layers of a segment."""
    base, widths = segment.base or segment.id, _file_widths(plan, segment.layers)
    return variant_id(base, plan.form, dict(widths)) if widths else base


def _file_widths(plan: Plan, layers: Sequence[str]) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Bit widths as far as they decide what is run: fewer than 8 bits of activations count on links alone."""

    def in_file(weight_bits: int, activation_bits: int) -> tuple[int, int]:
        rounded = plan.form is RunForm.INT8 and activation_bits < FLOAT_BITS
        return weight_bits, _BYTE if rounded else 2 * FLOAT_BITS

    return tuple((layer, in_file(*plan.widths[layer])) for layer in layers if layer in plan.widths)


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

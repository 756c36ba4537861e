"""The bit widths of a plan: per layer, on links, and what they save."""

from collections.abc import Iterator
from dataclasses import dataclass

from tiersplit_cli.planned import Planned
from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.memory import stage_memory_bytes
from tiersplit_core.cost.problem import INPUT, ProblemLayer
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm


@dataclass(frozen=True, slots=True)
class NarrowLayer:
    """One layer of the first tier, or of a later one that has bit widths.

    Attributes:
        name: the layer's.
        tier: where it runs.
        widths: bits of weights and of activations; None: it runs as it is.
        distortion: the error that it adds.
        weight_bytes: of its weights.
        wide_weight_bytes: of its weights as they are.
        seconds: that it takes.
        wide_seconds: that it takes as it is.
    """

    name: str
    tier: str
    widths: tuple[int, int] | None
    distortion: float
    weight_bytes: int
    wide_weight_bytes: int
    seconds: float
    wide_seconds: float


@dataclass(frozen=True, slots=True)
class NarrowValue:
    """One value on a link.

    Attributes:
        name: the layer that computes it, or the input.
        link: such as `edge → cloud`.
        bits: per element; None: it travels as it is.
        payload_bytes: of a request.
        wide_bytes: of a request where it travels as it is.
    """

    name: str
    link: str
    bits: int | None
    payload_bytes: int
    wide_bytes: int


@dataclass(frozen=True, slots=True)
class Narrow:
    """The bit widths of a plan.

    Attributes:
        form: how its quantised layers run; None where nothing says it.
        layers: in execution order.
        values: what crosses links.
        tier: the first tier.
        memory_bytes: what it needs.
        wide_memory_bytes: what it would need for the same layers as they are.
        distortion: the error of all layers together.
        limit: the error that was allowed; None: any.
    """

    form: RunForm | None
    layers: tuple[NarrowLayer, ...]
    values: tuple[NarrowValue, ...]
    tier: str
    memory_bytes: int
    wide_memory_bytes: int
    distortion: float
    limit: float | None


def narrow_of(planned: Planned, arrays: ProblemArrays, at: ProblemArrays) -> Narrow | None:
    """The bit widths of a plan; None where all of its layers run as they are.

    Args:
        planned: the plan.
        arrays: its problem, with layers as they are.
        at: the same at the plan's widths.
    """
    solution = planned.solution
    if solution.plan is None or not solution.plan.widths:
        return None
    tiers = arrays.tiers_of(solution.plan.placement)
    layers = tuple(_layers(solution.plan, arrays, at))
    return Narrow(
        form=planned.form,
        layers=layers,
        values=tuple(_values(planned, arrays, at)),
        tier=arrays.problem.tiers[0].name,
        memory_bytes=stage_memory_bytes(at, tiers, 0),
        wide_memory_bytes=stage_memory_bytes(arrays, tiers, 0),
        distortion=sum(layer.distortion for layer in layers),
        limit=arrays.problem.max_distortion,
    )


def _layers(plan: Plan, arrays: ProblemArrays, at: ProblemArrays) -> Iterator[NarrowLayer]:
    tiers = arrays.tiers_of(plan.placement).tolist()
    for i, (layer, tier) in enumerate(zip(arrays.problem.layers, tiers, strict=True)):
        widths = plan.widths.get(layer.name)
        if tier == 0 or widths is not None:
            yield NarrowLayer(
                name=layer.name,
                tier=arrays.problem.tiers[tier].name,
                widths=widths,
                distortion=_distortion(layer, widths),
                weight_bytes=int(at.weight_bytes[i]),
                wide_weight_bytes=int(arrays.weight_bytes[i]),
                seconds=float(at.seconds[i, tier]),
                wide_seconds=float(arrays.seconds[i, tier]),
            )


def _distortion(layer: ProblemLayer, widths: tuple[int, int] | None) -> float:
    found = (v.distortion for v in layer.variants if (v.weight_bits, v.activation_bits) == widths)
    return next(found, 0.0)


def _values(planned: Planned, arrays: ProblemArrays, at: ProblemArrays) -> Iterator[NarrowValue]:
    index = {INPUT: 0, **{layer.name: i for i, layer in enumerate(arrays.problem.layers, start=1)}}
    for sent in planned.solution.transmissions:
        for name in sent.tensors if not sent.way_back else ():
            sizes = int(at.sent_bytes[index[name]]), int(arrays.sent_bytes[index[name]])
            yield NarrowValue(name, f"{sent.source} → {sent.target}", sent.bits.get(name), *sizes)

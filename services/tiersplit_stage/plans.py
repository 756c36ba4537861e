"""A route's plans as one tier sees them: what it runs, what it needs for that, what it hands on."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiersplit_core.errors import InputError
from tiersplit_wire.v1 import route_pb2 as pb

_PLAIN = (64, "raw")


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One segment of a route.

    Attributes:
        id: its name.
        blob: digest of its ONNX file.
        weights: digests of the weight blobs that it reads.
        inputs: tensors it reads.
        outputs: tensors it computes that others need.
    """

    id: str
    blob: str
    weights: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """The bundle that a plan serves: what clients see of it, and how the plan proves itself.

    Attributes:
        bundle: where its blobs come from; empty: they lie here.
        golden: digests of the blobs with the golden request and its answer.
        signature: the model, serialised: what tells it from another one.
        model: as clients see it.
    """

    bundle: str
    golden: tuple[str, ...]
    signature: bytes
    model: pb.Model = field(compare=False)


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One plan, its segments in an order in which tiers never fall.

    Attributes:
        digest: names the plan.
        key: names the plan with its segments and crossings: what frames carry, so that two stages whose routes cut the
            same plan differently refuse each other's frames instead of misreading them.
        segments: in running order.
        tiers: position of each segment's tier in the route.
        tier: position of this tier.
        tier_names: names of all tiers of the route.
        outputs: the model's output tensors.
        crossings: bits and encoding per tensor that does not travel as it is.
        origin: what it serves.
        bits: the narrowest width that its segments or crossings have; 64 where all is as it was imported.
        own_golden: the golden answer is what the plan's own segments gave, crossings included; else it is the model's.
    """

    digest: str
    key: str
    segments: tuple[SegmentInfo, ...]
    tiers: tuple[int, ...]
    tier: int
    tier_names: tuple[str, ...]
    outputs: frozenset[str]
    crossings: Mapping[str, tuple[int, str]]
    origin: Origin
    bits: int
    own_golden: bool

    def own(self, position: int) -> range:
        """Positions that this tier runs when a request arrives at `position`; empty where it only relays.

        Raises:
            InputError: `position` is outside the plan, or belongs to a tier before this one.
        """
        if not 0 <= position < len(self.segments) or self.tiers[position] < self.tier:
            raise InputError(f"position {position} is not for tier {self.tier_names[self.tier]}", "next_segment")
        end = position
        while end < len(self.segments) and self.tiers[end] == self.tier:
            end += 1
        return range(position, end)

    def needed_from(self, position: int) -> frozenset[str]:
        """Tensors that segments at `position` and after read and do not compute themselves."""
        needed: set[str] = set()
        for segment in reversed(self.segments[position:]):
            needed.difference_update(segment.outputs)
            needed.update(segment.inputs)
        return frozenset(needed)

    def crossing(self, tensor: str) -> tuple[int, str]:
        """Bits and encoding with which `tensor` travels."""
        return self.crossings.get(tensor, _PLAIN)

    @property
    def own_segments(self) -> tuple[SegmentInfo, ...]:
        """The segments of this tier."""
        return tuple(seg for seg, tier in zip(self.segments, self.tiers, strict=True) if tier == self.tier)

    @property
    def last_tier(self) -> int:
        """The last tier that runs anything."""
        return max(self.tiers)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the tiers that run something, in order."""
        return tuple(self.tier_names[tier] for tier in sorted(set(self.tiers)))


def compile_plans(route: pb.Route, tier: str) -> dict[str, StagePlan]:
    """The plans of `route` as `tier` sees them, by digest.

    Raises:
        InputError: the route is malformed; `path` names the field.
    """
    names = tuple(found.tier for found in route.tiers)
    if tier not in names:
        raise InputError(f"the route knows the tiers {', '.join(names)}, not {tier!r}", "route.tiers")
    segments = {
        found.id: SegmentInfo(found.id, found.blob, tuple(found.weights), tuple(found.inputs), tuple(found.outputs))
        for found in route.segments
    }
    own = _origin(route.bundle, route.golden_blobs, route.model)
    plans: dict[str, StagePlan] = {}
    for i, plan in enumerate(route.plans):
        path = f"route.plans[{i}]"
        if plan.digest in plans:
            raise InputError("another plan of the route has this digest", f"{path}.digest")
        _check_costs(plan, len(names), path)
        origin = _origin_of(plan, own)
        plans[plan.digest] = _compiled(plan, _placed(plan, segments, names, path), origin, names, tier, path)
    return plans


def _compiled(
    plan: pb.RoutePlan,
    placed: Sequence[tuple[SegmentInfo, int]],
    origin: Origin,
    names: tuple[str, ...],
    tier: str,
    path: str,
) -> StagePlan:
    outputs = frozenset(found.tensor for found in origin.model.outputs)
    given = frozenset(found.tensor for found in origin.model.inputs)
    _check_order([info for info, _ in placed], given, outputs, path)
    crossings = {found.tensor: (found.bits or _PLAIN[0], found.encoding or _PLAIN[1]) for found in plan.crossings}
    return StagePlan(
        digest=plan.digest,
        key=_key(plan, placed),
        segments=tuple(info for info, _ in placed),
        tiers=tuple(place for _, place in placed),
        tier=names.index(tier),
        tier_names=names,
        outputs=outputs,
        crossings=crossings,
        origin=origin,
        bits=min([plan.bits or _PLAIN[0], *(bits for bits, _ in crossings.values())]),
        own_golden=bool(plan.golden_blobs) and not plan.HasField("model"),
    )


def _origin_of(plan: pb.RoutePlan, own: Origin) -> Origin:
    """What a plan serves: another bundle's model, or the route's own with another golden answer or the same."""
    if plan.HasField("model"):
        return _origin(plan.bundle, plan.golden_blobs, plan.model)
    return replace(own, golden=tuple(plan.golden_blobs)) if plan.golden_blobs else own


def _origin(bundle: str, golden: Iterable[str], model: pb.Model) -> Origin:
    return Origin(bundle, tuple(golden), model.SerializeToString(deterministic=True), model)


def _key(plan: pb.RoutePlan, placed: Sequence[tuple[SegmentInfo, int]]) -> str:
    crossings = sorted((found.tensor, found.bits, found.encoding) for found in plan.crossings)
    text = repr((plan.digest, [(info.id, info.blob, tier) for info, tier in placed], crossings))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _placed(
    plan: pb.RoutePlan, segments: Mapping[str, SegmentInfo], tiers: Sequence[str], path: str
) -> list[tuple[SegmentInfo, int]]:
    if not plan.segments:
        raise InputError("a plan runs at least one segment", f"{path}.segments")
    placed = []
    for i, item in enumerate(plan.segments):
        if item.segment not in segments:
            raise InputError(f"the route has no segment {item.segment!r}", f"{path}.segments[{i}].segment")
        if item.tier not in tiers:
            raise InputError(f"the route has no tier {item.tier!r}", f"{path}.segments[{i}].tier")
        placed.append((segments[item.segment], tiers.index(item.tier)))
    # Tiers never fall along an edge, so ordering by tier (stable) keeps the order topological.
    return sorted(placed, key=lambda pair: pair[1])


def _check_costs(plan: pb.RoutePlan, tiers: int, path: str) -> None:
    for i, cost in enumerate(plan.costs):
        lengths = (len(cost.compute_s), len(cost.link_bytes), len(cost.link_trips))
        if lengths != (tiers, tiers - 1, tiers - 1):
            raise InputError(
                f"compute_s has {tiers} entries, the others {tiers - 1}, not {lengths}", f"{path}.costs[{i}]"
            )


def _check_order(segments: Sequence[SegmentInfo], given: frozenset[str], outputs: frozenset[str], path: str) -> None:
    known = set(given)
    for i, segment in enumerate(segments):
        missing = sorted(set(segment.inputs) - known)
        if missing:
            raise InputError(
                f"{segment.id} reads {missing[0]!r}, which nothing before it computes", f"{path}.segments[{i}]"
            )
        known.update(segment.outputs)
    if not outputs <= known:
        raise InputError(f"no segment computes the output {sorted(outputs - known)[0]!r}", f"{path}.segments")

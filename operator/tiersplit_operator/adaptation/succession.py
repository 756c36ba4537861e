"""A route of one bundle that follows that of another: old plans stay until the new ones have proven themselves."""

from collections.abc import Mapping

from tiersplit_wire.v1 import route_pb2 as pb

_DIGITS = 12


def succeeding(new: pb.Route, old: pb.Route) -> pb.Route:
    """`new`, and with it those plans of `old` that serve now: what it selects and what it falls back to.

    They keep their own model, golden request and bundle. What both routes call the same but is not (a plan's digest is
    that of its placement, not of its weights) gets the old bundle's digest behind its name.
    """
    made = pb.Route()
    made.CopyFrom(new)
    segments = _segment_names(new, old)
    plans = _plan_names(new, old)
    kept = [plan for plan in old.plans if plan.digest in (old.selected, old.fallback)]
    added = [plan for plan in kept if plans[plan.digest] not in {own.digest for own in new.plans}]
    present = {segment.id for segment in made.segments}
    needed = {item.segment for plan in added for item in plan.segments}
    for segment in old.segments:
        if segment.id in needed and segments[segment.id] not in present:
            made.segments.add().CopyFrom(segment)
            made.segments[-1].id = segments[segment.id]
    made.plans.extend(_renamed(plan, plans, segments, old) for plan in added)
    made.selected = plans.get(old.selected, "")
    if not made.fallback:
        made.fallback = plans.get(old.fallback, "")
    return made


def own_plans(route: pb.Route) -> list[str]:
    """Names of the plans that are of the route's own bundle."""
    return [plan.digest for plan in route.plans if not plan.HasField("model")]


def plan_digest(name: str) -> str:
    """The plan's digest, whatever a succession had to call it."""
    return name.partition("@")[0]


def _segment_names(new: pb.Route, old: pb.Route) -> dict[str, str]:
    blobs = {segment.id: segment.blob for segment in new.segments}
    return {
        segment.id: segment.id if blobs.get(segment.id, segment.blob) == segment.blob else _other(segment.id, old)
        for segment in old.segments
    }


def _plan_names(new: pb.Route, old: pb.Route) -> dict[str, str]:
    contents = {plan.digest: _content(plan, new) for plan in new.plans}
    return {
        plan.digest: plan.digest
        if contents.get(plan.digest, _content(plan, old)) == _content(plan, old)
        else _other(plan.digest, old)
        for plan in old.plans
    }


def _content(plan: pb.RoutePlan, route: pb.Route) -> list[tuple[str, str]]:
    """What a plan really runs: the file and the tier of each segment."""
    blobs = {segment.id: segment.blob for segment in route.segments}
    return [(blobs.get(item.segment, ""), item.tier) for item in plan.segments]


def _other(name: str, old: pb.Route) -> str:
    return f"{name.partition('@')[0]}@{old.bundle.rpartition(':')[2][:_DIGITS]}"


def _renamed(plan: pb.RoutePlan, plans: Mapping[str, str], segments: Mapping[str, str], old: pb.Route) -> pb.RoutePlan:
    made = pb.RoutePlan()
    made.CopyFrom(plan)
    made.digest = plans[plan.digest]
    for item in made.segments:
        item.segment = segments[item.segment]
    if not made.HasField("model"):
        made.model.CopyFrom(old.model)
        made.golden_blobs.extend(old.golden_blobs)
        made.bundle = old.bundle
    return made

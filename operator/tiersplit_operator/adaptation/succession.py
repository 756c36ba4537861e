"""A route that follows another: what serves now stays in it until what is to serve has proven itself.

A plan's digest is that of its placement, not of its weights: a model that was only trained again has plans of the same
digests. Stages and heads know plans and segments by name, so what serves keeps its names, and what comes takes others
where they collide. Names stay with their contents for as long as these are in the route.
"""

from collections.abc import Collection, Hashable, Mapping

from tiersplit_wire.v1 import route_pb2 as pb

_DIGITS = 12
Contents = Mapping[str, Hashable]
"""What a name stands for, by name."""


def plan_digest(name: str) -> str:
    """The plan's digest, whatever a route has to call it."""
    return name.partition("@")[0]


def own_plans(route: pb.Route) -> dict[str, str]:
    """Names of the plans that are of the route's own bundle, by digest."""
    return {plan_digest(plan.digest): plan.digest for plan in route.plans if not plan.HasField("model")}


def foreign_plans(route: pb.Route) -> frozenset[str]:
    """Names of the plans that still serve from another bundle."""
    return frozenset(plan.digest for plan in route.plans if plan.HasField("model"))


def succeeding(new: pb.Route, old: pb.Route, crowded: Collection[str] = (), used: Collection[str] = ()) -> pb.Route:
    """`new` under names that do not collide with those of `old`, and with it what serves now.

    That are the plans that heads use, the one that `old` selects and the one that it falls back to, with their own
    model, golden request and bundle, where `new` does not have them anyway.

    Args:
        new: as made from a bundle; its names are digests.
        old: as it stands.
        crowded: tiers without room for two bundles at once: no plan that needs them is kept.
        used: names of the plans that heads use.
    """
    made = _renamed(new, old)
    own = {plan.digest for plan in made.plans}
    serving = {old.selected, old.fallback, *used} | (foreign_plans(old) if old.bundle == new.bundle else set())
    wanted = [plan for plan in old.plans if plan.digest in serving - own]
    kept = [plan for plan in wanted if _runs_on(plan, _tiers(made)) and not _tiers_of(plan) & set(crowded)]
    made.plans.extend(_kept(plan, old, costs=_tiers(made) == _tiers(old)) for plan in kept)
    _add_segments(made, old, {item.segment for plan in kept for item in plan.segments})
    present = own | {plan.digest for plan in kept}
    made.selected = old.selected if old.selected in present else ""
    made.fallback = old.fallback if made.selected not in own and old.fallback in present else made.fallback
    return made


def _renamed(new: pb.Route, old: pb.Route) -> pb.Route:
    made = pb.Route()
    made.CopyFrom(new)
    segments = _names(_segments(new), _segments(old), new.bundle)
    for segment in made.segments:
        segment.id = segments[segment.id]
    for profile in made.profiles:
        profile.segment = segments.get(profile.segment, profile.segment)
    for plan in made.plans:
        for item in plan.segments:
            item.segment = segments[item.segment]
    plans = _names(_plans(made), _plans(old), new.bundle)
    for plan in made.plans:
        plan.digest = plans[plan.digest]
    made.fallback = plans.get(made.fallback, "")
    return made


def _names(coming: Contents, present: Contents, bundle: str) -> dict[str, str]:
    """What each name becomes: the one that its contents have already, else itself where that is free, else another."""
    known = {(plan_digest(name), content): name for name, content in present.items()}
    return {
        name: known.get((name, content)) or next(found for found in _choices(name, bundle) if found not in present)
        for name, content in coming.items()
    }


def _choices(name: str, bundle: str) -> tuple[str, ...]:
    """A route has at most two contents of one name: what serves, and what was to follow it and did not yet."""
    digest = bundle.rpartition(":")[2]
    return name, f"{name}@{digest[:_DIGITS]}", f"{name}@{digest}"


def _segments(route: pb.Route) -> Contents:
    return {found.id: (found.blob, *found.weights) for found in route.segments}


def _plans(route: pb.Route) -> Contents:
    """What plans really run: which files on which tiers, and how tensors travel between them."""
    blobs = {segment.id: segment.blob for segment in route.segments}
    return {
        plan.digest: (
            tuple((item.segment, blobs.get(item.segment, ""), item.tier) for item in plan.segments),
            tuple(sorted((found.tensor, found.bits, found.encoding) for found in plan.crossings)),
        )
        for plan in route.plans
    }


def _tiers(route: pb.Route) -> list[str]:
    return [found.tier for found in route.tiers]


def _tiers_of(plan: pb.RoutePlan) -> set[str]:
    return {item.tier for item in plan.segments}


def _runs_on(plan: pb.RoutePlan, tiers: list[str]) -> bool:
    """Whether the plan's tiers are there, in its order."""
    if not _tiers_of(plan) <= set(tiers):
        return False
    places = [tiers.index(item.tier) for item in plan.segments]
    return places == sorted(places)


def _kept(plan: pb.RoutePlan, old: pb.Route, *, costs: bool) -> pb.RoutePlan:
    made = pb.RoutePlan()
    made.CopyFrom(plan)
    if not costs:  # they are of other tiers and links than the route's
        del made.costs[:]
    if not made.HasField("model"):
        made.model.CopyFrom(old.model)
        made.golden_blobs[:] = plan.golden_blobs or old.golden_blobs  # a quantised plan has an answer of its own
        made.bundle = old.bundle
    return made


def _add_segments(made: pb.Route, old: pb.Route, needed: set[str]) -> None:
    missing = needed - {segment.id for segment in made.segments}
    made.segments.extend(segment for segment in old.segments if segment.id in missing)
    made.profiles.extend(profile for profile in old.profiles if profile.segment in missing)


def finished(route: pb.Route, fallback: str) -> pb.Route:
    """The route without the plans of the bundle before; `fallback` is the name of its own plan that needs no link."""
    made = pb.Route()
    made.CopyFrom(route)
    gone = foreign_plans(route)
    del made.plans[:]
    made.plans.extend(plan for plan in route.plans if plan.digest not in gone)
    needed = {item.segment for plan in made.plans for item in plan.segments}
    del made.segments[:], made.profiles[:]
    made.segments.extend(segment for segment in route.segments if segment.id in needed)
    made.profiles.extend(profile for profile in route.profiles if profile.segment in needed)
    made.fallback = fallback
    return made

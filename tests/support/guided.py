"""Routes by which heads move the tiny model's split themselves, with the exact planner's surface behind them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from tests.support.stages import TIERS
from tiersplit_core.planning.problem import INPUT, Link, Objective, Problem, ProblemLayer, Tier
from tiersplit_core.planning.surface import Conditions, Surface, SurfaceBox, build_surface
from tiersplit_wire.v1 import route_pb2 as pb

PAIR = ("edge", "cloud")
LATENCY_S = 0.01
EDGE_S, FAR_S = {"a": 0.02, "b": 0.06, "c": 0.06}, 0.002
OUTPUT_BYTES = {"a": 40_000, "b": 20_000, "c": 40}


def tiny_surface(tiers: Sequence[str] = PAIR, objective: Objective = Objective.LATENCY) -> Surface:
    """The exact planner's surface of three layers that are named like the tiny model's segments.

    Over two tiers: edge-only below about 3 Mbps, `011` above it, cloud-only above about 50 Mbps.
    """
    reads = {"a": (INPUT,), "b": ("a",), "c": ("a", "b")}
    seconds = {tier: (EDGE_S if tier == tiers[0] else dict.fromkeys("abc", FAR_S)) for tier in tiers}
    layers = tuple(
        ProblemLayer(name, reads[name], OUTPUT_BYTES[name], 0, {tier: seconds[tier][name] for tier in tiers})
        for name in "abc"
    )
    links = tuple(Link(a, b, 1e7, LATENCY_S) for a, b in pairwise(tiers))
    problem = Problem(layers, ("c",), 150_000, tuple(Tier(name) for name in tiers), links, objective, None, None)
    return build_surface({1: problem}, SurfaceBox(((1e4, 1e10),) * len(links)))


def plan_text(placement: Mapping[str, str], tiers: Sequence[str] = PAIR) -> str:
    """The tiny model's name of a plan: the position of each segment's tier."""
    return "".join(str(tiers.index(placement[name])) for name in "abc")


def best_plan(surface: Surface, *bandwidth_bps: float) -> str:
    """What the surface says is best over links of these bandwidths."""
    return plan_text(surface.best(Conditions(bandwidth_bps)).plan.placement, surface.tiers)


def plans_of(surface: Surface) -> list[str]:
    return [plan_text(entry.plan.placement, surface.tiers) for entry in surface.entries]


def guide(
    route: pb.Route,
    surface: Surface,
    bandwidth_bps: float = 1e7,
    loads: Mapping[str, float] | None = None,
    cooldown_s: float = 0.5,
) -> pb.Route:
    """`route`, whose plans are the surface's, with their costs and the leave to choose among them."""
    costs = {plan_text(entry.plan.placement, surface.tiers): entry.terms for entry in surface.entries}
    for plan in route.plans:
        for batch, terms in sorted(costs[plan.digest].items()):
            plan.costs.add(
                batch=batch, compute_s=terms.compute_s, link_bytes=terms.link_bytes, link_trips=terms.link_trips
            )
    guidance = route.guidance
    guidance.mode, guidance.min_gain, guidance.cooldown_s = pb.Guidance.MODE_FOLLOW_LINK, 0.05, cooldown_s
    guidance.throughput = surface.objective is Objective.THROUGHPUT
    guidance.allowed.extend(plan.digest for plan in route.plans)
    for link in surface.links:
        guidance.links.add(
            source=link.source, target=link.target, bandwidth_bps=bandwidth_bps, latency_s=link.latency_s
        )
    for tier, load in (loads or {}).items():
        guidance.loads.add(tier=tier, load=load)
    return route


__all__ = ["PAIR", "TIERS", "best_plan", "guide", "plan_text", "plans_of", "tiny_surface"]

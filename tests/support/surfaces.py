"""A surface of a bundle's graph, with seconds that somebody made up."""

from dataclasses import replace

from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Link, Objective, Tier
from tiersplit_core.planning.surface import SurfaceBox, build_surface, surface_from_json, surface_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing

SECONDS = {"edge": 2e-3, "cloud": 1e-4}


def made_up_profile(graph, digest, tier, layer_s):
    timings = {name: Timing(layer_s) for name in graph.index}
    batch = BatchProfile(timings, Timing(layer_s * len(timings)), {}, 2**20)
    return TierProfile(tier, ProfileKind.MEASURED, digest, 1, {"cpu": "made up"}, {1: batch})


def made_up_surface(bundle):
    """The JSON of a surface over an edge and a cloud that is twenty times faster."""
    graph = bundle.graph
    profiles = {tier: made_up_profile(graph, bundle.graph_digest, tier, s) for tier, s in SECONDS.items()}
    problem = problem_from_profiles(
        graph,
        profiles,
        tiers=tuple(Tier(name, None) for name in SECONDS),
        links=(Link("edge", "cloud", 1e6, 0.001),),
        objective=Objective.LATENCY,
        raw_input_tier="edge",
        result_tier="edge",
        batch=1,
    )
    return surface_to_json(build_surface({1: problem}, SurfaceBox(((1e4, 1e9),))))


def with_twins(value, pair=(4, 8)):
    """The JSON of a surface in which each plan that uses the edge has a twin with bit widths there."""
    surface = surface_from_json(value)
    narrow = [dict.fromkeys(entry.plan.layers_on("edge"), pair) for entry in surface.entries]
    twins = [
        replace(entry, plan=Plan(entry.plan.placement, widths), fallback=False)
        for entry, widths in zip(surface.entries, narrow, strict=True)
        if widths
    ]
    return surface_to_json(replace(surface, entries=(*surface.entries, *twins)))

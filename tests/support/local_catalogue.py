"""A small network with a surface over three tiers, without any process or file."""

from functools import cache

from tiersplit_core.adaptation.policy import Settings
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.problem import Link, Objective, Tier
from tiersplit_core.planning.surface import SurfaceBox, build_surface
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.refine import emulate
from tiersplit_local.catalogue import Catalogue
from tiersplit_local.settings import LocalLink, LocalSettings, LocalTier

TIERS = ("edge", "mdc", "cloud")
BOX = SurfaceBox(((1e4, 1e9), (1e4, 1e9)))


def graph() -> LayerGraph:
    """Four layers in a row, each handing on a quarter of what it reads."""
    sizes = [16384, 4096, 1024, 256]
    layers, read = [], INPUT
    for i, size in enumerate(sizes):
        layers.append(Layer(f"l{i}", "Conv", (read,), (TensorSpec(f"t{i}", "float32", (1, size)),), weight_bytes=1000))
        read = f"l{i}"
    return LayerGraph("net", (TensorSpec("x", "float32", (1, 65536)),), tuple(layers), ("l3",), (("scores", "t3"),))


def profile(segments: dict[str, float] | None = None) -> TierProfile:
    """Ten milliseconds a layer."""
    layers = {f"l{i}": Timing(0.01) for i in range(4)}
    timings = {digest: Timing(seconds) for digest, seconds in (segments or {}).items()}
    return TierProfile("machine", ProfileKind.MEASURED, "g", 1, {}, {1: BatchProfile(layers, Timing(0.04), timings)})


def settings(**changes: object) -> LocalSettings:
    """Three tiers, ten times slower than the next each."""
    values = {
        "name": "net",
        "tiers": tuple(LocalTier(name, None, factor) for name, factor in zip(TIERS, (100, 10, 1), strict=True)),
        "links": (LocalLink("edge", "mdc", 1e7, 0.0), LocalLink("mdc", "cloud", 1e8, 0.0)),
        "objective": Objective.LATENCY,
        "raw_input_stays": False,
        "result_returns": False,
        "batches": (1,),
        "policy": Settings(cooldown_s=0.0),
        "polling_s": 1.0,
        "failure_threshold": 3,
        "pinned": None,
        "encoding": "raw",
    }
    return LocalSettings(**{**values, **changes})


@cache
def catalogue() -> Catalogue:
    """The plans of that network."""
    profiles = {tier.name: emulate(profile(), tier.name, tier.slowdown) for tier in settings().tiers}
    links = [Link(link.source, link.target, link.bandwidth_bps or 0.0, link.latency_s) for link in settings().links]
    problem = problem_from_profiles(graph(), profiles, [Tier(name) for name in TIERS], links)
    surface = build_surface({1: problem}, BOX)
    plain = Catalogue(graph(), TIERS, surface, profiles, {})
    blobs = {spec.id: f"sha256:{i:064x}" for i, spec in enumerate(plain.specs)}
    measured = profile({blobs[spec.id]: 0.01 * len(spec.layers) for spec in plain.specs})
    slow = {tier.name: emulate(measured, tier.name, tier.slowdown) for tier in settings().tiers}
    return Catalogue(graph(), TIERS, surface, slow, blobs)

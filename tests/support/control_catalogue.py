"""A small network with what is asked for it and a surface over three tiers, without any process or file."""

from functools import cache

from tiersplit_control.catalogue import Catalogue
from tiersplit_control.intent import DeclaredLink, Intent
from tiersplit_control.surfaces import problem_of
from tiersplit_core.adaptation.policy import Settings
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.planning.problem import Objective, Tier
from tiersplit_core.planning.surface import SurfaceBox, build_surface
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.refine import emulate, merge_forms
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics

TIERS = ("edge", "mdc", "cloud")
SLOWDOWNS = dict(zip(TIERS, (100, 10, 1), strict=True))
"""Each tier is ten times slower than the next."""
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


def quantised(slowdown: float = 1.0) -> TierProfile:
    """The edge's, slowed down: integer kernels take a third of the time, packed weights twice."""
    factors = {RunForm.INT8: 1 / 3, RunForm.PACKED: 2.0}
    forms = {form: {f"l{i}": Timing(0.01 * factor) for i in range(4)} for form, factor in factors.items()}
    return emulate(merge_forms(profile(), {1: forms}), "edge", slowdown)


def statistics() -> Statistics:
    """Each bit less makes four times the error."""
    errors = {bits: 4.0**-bits for bits in BIT_WIDTHS}
    layers = (
        LayerStatistics(layer.name, 250, layer.output_bytes // 4, errors, errors, kept_bytes=0)
        for layer in graph().layers
    )
    return Statistics(Metric.MSE, Clip.MSE, 8, tuple(layers), errors)


def intent(**changes: object) -> Intent:
    """Three tiers."""
    values = {
        "name": "net",
        "tiers": tuple(Tier(name) for name in TIERS),
        "links": (DeclaredLink("edge", "mdc", 1e7, 0.0), DeclaredLink("mdc", "cloud", 1e8, 0.0)),
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
    return Intent(**{**values, **changes})


def profiles(segments: dict[str, float] | None = None) -> dict[str, TierProfile]:
    """The three tiers' profiles; `segments` are seconds per digest on the fastest."""
    return {tier: emulate(profile(segments), tier, factor) for tier, factor in SLOWDOWNS.items()}


@cache
def catalogue() -> Catalogue:
    """The plans of that network."""
    problem = problem_of(graph(), profiles(), intent(), 1)
    surface = build_surface({1: problem}, BOX)
    plain = Catalogue(graph(), TIERS, surface, profiles(), {})
    blobs = {spec.id: f"sha256:{i:064x}" for i, spec in enumerate(plain.specs)}
    measured = {blobs[spec.id]: 0.01 * len(spec.layers) for spec in plain.specs}
    return Catalogue(graph(), TIERS, surface, profiles(measured), blobs)

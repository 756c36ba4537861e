"""Planning in rounds, purely: plan with the seconds of layers, see what the segments take, plan with those seconds.

A round is a surface and the segments that its plans consist of. Plans with bit widths are rated first: only accurate
ones stay. Once all segments are cut and measured where a plan places them, the round is checked: where the sums of
layers were close to what the segments take it is the last one, else the next round plans with layers that were scaled
to the segments.

The work between the steps (cutting, measuring) is the caller's. One that keeps a round in memory goes from step to
step; one that can be ended at any time calls `replay`, which needs nothing but what was measured so far.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tiersplit_control.intent import DeclaredLink, Intent
from tiersplit_control.quality import UNKNOWN, Quality
from tiersplit_control.quantised import Quantising, with_entries
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Objective, Problem
from tiersplit_core.planning.segments import SegmentSpec, plan_segments, segments_of
from tiersplit_core.planning.surface import Surface, SurfaceBox, build_surface
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.profile.refine import Variant, disagreement, merge_segments, refine
from tiersplit_core.quantization.forms import RunForm

AGREEMENT = 0.10
"""How far the seconds of a segment may be from the sum of its layers (design §3)."""
MAX_ROUNDS = 4
EPSILON = 0.01
MAX_PLANS = 8
LOADS = (0.5, 4.0)
NONE_FITS = "where they were looked for; no plan without bit widths fits"

Profiles = Mapping[str, TierProfile]
"""Per tier name."""


@dataclass(frozen=True, slots=True)
class Round:
    """One surface, planned with what was believed about the layers.

    Attributes:
        number: 1 for the first.
        profiles: what was believed.
        surface: the plans.
        specs: the segments of all plans, in topological order.
        unrated: those of the plans whose accuracy must be measured before the round is what it says.
    """

    number: int
    profiles: Profiles
    surface: Surface
    specs: tuple[SegmentSpec, ...]
    unrated: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """How a round's estimates compare with what its segments take.

    Attributes:
        off: the largest relative distance between a segment's seconds and the sum of its layers, over all tiers.
        profiles: layers scaled to their segments.
        settled: no further round is needed (or allowed).
    """

    off: float
    profiles: Profiles
    settled: bool


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What a round waits for; false where that is nothing.

    Attributes:
        uncut: segments that no file was cut for; they cannot be measured before.
        unmeasured: per tier name, the ids of segments that are to be measured there, in running order.
        unrated: plans whose accuracy is to be measured; nothing else is before that.
    """

    uncut: tuple[SegmentSpec, ...]
    unmeasured: Mapping[str, tuple[str, ...]]
    unrated: tuple[Plan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uncut or self.unmeasured or self.unrated)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Planning waits for `work` on the segments of `round`."""

    round: Round
    work: OpenWork


@dataclass(frozen=True, slots=True)
class Settled:
    """Planning is done.

    Attributes:
        surface: the plans to serve, rated with measured seconds; all their segments are cut.
        profiles: layers scaled to their segments.
        off: how far estimate and measurement were apart in the last round.
        rounds: how many rounds it took.
    """

    surface: Surface
    profiles: Profiles
    off: float
    rounds: int


def replay(
    graph: LayerGraph, profiles: Profiles, blobs: Mapping[str, str], intent: Intent, quality: Quality = UNKNOWN
) -> Waiting | Settled:
    """Go through the rounds as far as what was measured so far allows; the same facts always give the same answer.

    Args:
        graph: the layers.
        profiles: per tier name, everything that was measured there, segments of all rounds together.
        blobs: digest of the ONNX file per id of a segment that was cut.
        intent: what is asked for.
        quality: how accurate the model and its plans are, as far as that was measured.

    Returns:
        What is to be cut, rated or measured next, or the surface to serve.

    Raises:
        ProfileError: a tier has no profile, or one of another graph.
        InfeasibleError: no plan fits.
    """
    current = first_round(graph, profiles, intent, quality)
    while True:
        work = open_work(current, profiles, blobs, intent)
        if work:
            return Waiting(current, work)
        check = check_round(graph, current, profiles, blobs)
        if check.settled:
            return settle(graph, current, check, intent, quality)
        current = next_round(graph, current, check, intent, quality)


def first_round(graph: LayerGraph, profiles: Profiles, intent: Intent, quality: Quality = UNKNOWN) -> Round:
    """Plan with the seconds of layers as they were measured; errors as `replay`."""
    return _round(graph, 1, profiles, intent, quality)


def next_round(graph: LayerGraph, before: Round, check: Check, intent: Intent, quality: Quality = UNKNOWN) -> Round:
    """Plan again, with what the check of the round `before` taught; errors as `replay`."""
    return _round(graph, before.number + 1, check.profiles, intent, quality)


def _round(graph: LayerGraph, number: int, profiles: Profiles, intent: Intent, quality: Quality) -> Round:
    surface, unrated = _surface(graph, profiles, intent, quality)
    return Round(number, profiles, surface, segments_of(graph, surface.plans), unrated)


def _surface(
    graph: LayerGraph, profiles: Profiles, intent: Intent, quality: Quality
) -> tuple[Surface, tuple[Plan, ...]]:
    """The surface, and those of its plans that must be rated before it is the one to serve."""
    if not quality.may_quantise(intent):
        return plan_surface(graph, profiles, intent), ()
    surface, too_large = _as_they_are(graph, profiles, intent)
    quantising = Quantising(
        intent, quality, profiles[intent.tiers[0].name], lambda batch: problem_of(graph, profiles, intent, batch)
    )
    found = quantising.plans()
    entries = tuple(quantising.entries((*found.chosen, *found.unrated)))
    if not surface.entries and not entries:
        raise InfeasibleError(f"{too_large}; no plan with fewer bits fits and is accurate enough either")
    if found.unrated:
        return replace(surface, entries=(*surface.entries, *entries)), found.unrated
    return with_entries(surface, entries) if entries else surface, ()


def _as_they_are(graph: LayerGraph, profiles: Profiles, intent: Intent) -> tuple[Surface, str]:
    """The surface of plans without bit widths; without plans, and with the limit that they break, where none fits."""
    try:
        return plan_surface(graph, profiles, intent), ""
    except InfeasibleError as error:
        links = tuple(link.as_planned for link in intent.links)
        bare = Surface(intent.objective, intent.tier_names, links, intent.batches, _box(intent), (), 0.0, NONE_FITS)
        return bare, error.constraint


def open_work(current: Round, profiles: Profiles, blobs: Mapping[str, str], intent: Intent) -> OpenWork:
    """What is to be cut and measured before the round can be checked.

    A segment is measured on the tiers where some plan places it, at each of the intent's batch sizes that the tier's
    layers were measured at; while plans are unrated nothing is measured, as some of them will go.

    Args:
        current: the round.
        profiles: what was measured so far, per tier name.
        blobs: digest of the ONNX file per id of a segment that was cut.
        intent: what is asked for.
    """
    placed = {pair for plan in current.surface.plans for pair in plan_segments(plan, current.specs)}
    unmeasured = {
        tier: tuple(
            spec.id
            for spec in current.specs
            if (spec.id, tier) in placed and not _is_measured(profiles[tier], blobs.get(spec.id), intent.batches)
        )
        for tier in current.surface.tiers
    }
    uncut = tuple(spec for spec in current.specs if spec.id not in blobs)
    if current.unrated:
        return OpenWork(uncut, {}, current.unrated)
    return OpenWork(uncut, {tier: ids for tier, ids in unmeasured.items() if ids})


def _is_measured(profile: TierProfile, digest: str | None, batches: tuple[int, ...]) -> bool:
    sizes = [size for size in batches if size in profile.batches] or list(profile.batches)
    return all(digest in profile.batches[size].segments for size in sizes)


def check_round(graph: LayerGraph, current: Round, profiles: Profiles, blobs: Mapping[str, str]) -> Check:
    """Compare what a round believed with what its segments take.

    Args:
        graph: the layers.
        current: the round, all its segments cut and measured.
        profiles: what was measured, per tier name.
        blobs: digest of the ONNX file per segment id.
    """
    layers = {blobs[spec.id]: spec.layers for spec in current.specs if spec.form is RunForm.FLOAT}
    variants = {blobs[spec.id]: _variant(spec) for spec in current.specs if spec.form is not RunForm.FLOAT}
    seen = {tier: _with_segments(believed, profiles[tier]) for tier, believed in current.profiles.items()}
    off = max(disagreement(profile, layers, variants) for profile in seen.values())
    refined = {tier: refine(graph, profile, layers, variants) for tier, profile in seen.items()}
    return Check(off, refined, off <= AGREEMENT or current.number >= MAX_ROUNDS)


def _variant(spec: SegmentSpec) -> Variant:
    quantised = tuple(layer for layer, _ in spec.widths)
    plain = tuple(layer for layer in spec.layers if layer not in set(quantised))
    return Variant(spec.form, quantised, plain)


def _with_segments(believed: TierProfile, measured: TierProfile) -> TierProfile:
    return merge_segments(believed, {size: seen.segments for size, seen in measured.batches.items()})


def settle(graph: LayerGraph, last: Round, check: Check, intent: Intent, quality: Quality = UNKNOWN) -> Settled:
    """The surface with measured seconds, where they leave it the segments that were cut; errors as `replay`."""
    again, unrated = _surface(graph, check.profiles, intent, quality)
    same = not unrated and {spec.id for spec in segments_of(graph, again.plans)} == {spec.id for spec in last.specs}
    return Settled(again if same else last.surface, check.profiles, check.off, last.number)


def plan_surface(graph: LayerGraph, profiles: Profiles, intent: Intent) -> Surface:
    """The surface of an intent.

    Args:
        graph: the layers.
        profiles: per tier name.
        intent: what is asked for.

    Raises:
        ProfileError: a tier has no profile, or one of another graph.
        InfeasibleError: no plan fits the tiers' memory.
    """
    problems = {batch: problem_of(graph, profiles, intent, batch) for batch in intent.batches}
    box = _box(intent)
    keep = _wanted(graph, problems, list(box.bandwidth_bps), intent)
    return build_surface(problems, box, EPSILON, MAX_PLANS, keep=keep)


def _box(intent: Intent) -> SurfaceBox:
    limited = any(tier.memory_bytes is not None for tier in intent.tiers)
    # With a limited memory the planner's exact method takes two parameters only: loads are left as profiled.
    loads = tuple((1.0, 1.0) if limited else LOADS for _ in intent.tiers)
    return SurfaceBox(tuple(_range(link) for link in intent.links), loads)


def problem_of(graph: LayerGraph, profiles: Profiles, intent: Intent, batch: int) -> Problem:
    """The planning problem of an intent at one batch size; errors as `plan_surface`."""
    first = intent.tiers[0].name
    return problem_from_profiles(
        graph,
        profiles,
        tiers=intent.tiers,
        links=[link.as_planned for link in intent.links],
        objective=intent.objective,
        raw_input_tier=first if intent.raw_input_stays else None,
        result_tier=first if intent.result_returns else None,
        batch=batch,
    )


def _range(link: DeclaredLink) -> tuple[float, float]:
    """Bandwidths that a link may come to have."""
    return min(link.believed_bps / 100, 1e5), max(link.believed_bps * 10, 1e9)


def _wanted(
    graph: LayerGraph, problems: Mapping[int, Problem], ranges: list[tuple[float, float]], intent: Intent
) -> list[Plan]:
    """Plans that stay whatever pruning thinks.

    Links mostly change one at a time: what is best while one link varies and the others are as declared. And the
    last tier alone, to compare with; edge-only is in every surface as it is.
    """
    found = [Plan({layer.name: intent.tiers[-1].name for layer in graph.layers})]
    if intent.objective is not Objective.LATENCY:
        return found
    fixed = [(link.believed_bps, link.believed_bps) for link in intent.links]
    for varying, own in enumerate(ranges):
        line = SurfaceBox((*fixed[:varying], own, *fixed[varying + 1 :]))
        found += build_surface(problems, line, EPSILON, MAX_PLANS // 2).plans
    return found

"""From seconds of segments as they run back to seconds of layers, so that the planner's sums come true (design §3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from types import MappingProxyType

from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.batches import at_batch, timing_at
from tiersplit_core.profile.layers import BatchProfile, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm

_SMALL = 0.01
"""A segment below this share of the whole model is judged against this share: its own seconds are noise."""

_LEAST = 0.1
"""Of their proportional part, what a variant's quantised layers keep at least: the difference of two noisy numbers must
not make layers free."""

Forms = Mapping[RunForm, Mapping[str, Timing]]
"""Seconds per layer with the whole model in a form."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A segment in a quantised form.

    Attributes:
        form: how `quantised` run.
        quantised: its layers that run in the form.
        plain: its other layers, which run as they are.
    """

    form: RunForm
    quantised: tuple[str, ...]
    plain: tuple[str, ...] = ()


_NONE: Mapping[str, Variant] = MappingProxyType({})


def refine(
    graph: LayerGraph,
    profile: TierProfile,
    segments: Mapping[str, Sequence[str]],
    variants: Mapping[str, Variant] = _NONE,
) -> TierProfile:
    """Scale the seconds of each segment's layers so that they sum to the seconds measured for the segment.

    Layers of segments without a measurement keep their seconds. At batch sizes where a segment was not measured, its
    seconds are interpolated from those where it was. What a layer takes in quantised forms is scaled with it, until a
    variant was measured that runs it so; of several variants the mean counts.

    Args:
        graph: the graph that was profiled.
        profile: a profile that contains segments.
        segments: layer names per digest of a segment that runs as it is; no layer stands in two of them.
        variants: per digest of a segment in a quantised form, what it runs.

    Raises:
        ProfileError: a segment names a layer that the graph does not have, or that another segment has.
    """
    _check_segments(graph, segments)
    _check_variants(graph, variants)
    measured = {segment: layers for segment, layers in segments.items() if _points(profile, segment)}
    known = {segment: variant for segment, variant in variants.items() if _points(profile, segment)}
    batches = {size: _refined(profile, size, measured, known) for size in profile.batches}
    return replace(profile, batches=batches)


def disagreement(
    profile: TierProfile, segments: Mapping[str, Sequence[str]], variants: Mapping[str, Variant] = _NONE
) -> float:
    """The largest relative distance between a segment's seconds and the sum of its layers, over all batch sizes.

    0 where no segment was measured. A segment shorter than 1% of the whole model is judged against that 1%. Variants
    in a form of which the profile has no layers say nothing.
    """
    distances = [0.0]
    for seen in profile.batches.values():
        floor = _SMALL * seen.whole.median_s
        estimates = {segment: _sum(seen.layers, layers) for segment, layers in segments.items()}
        estimates |= {name: sum(_parts(seen, v)) for name, v in variants.items() if v.form in seen.forms}
        for segment in estimates.keys() & seen.segments.keys():
            actual = seen.segments[segment].median_s
            distances.append(abs(estimates[segment] - actual) / max(actual, floor, 1e-12))
    return max(distances)


def merge_segments(profile: TierProfile, measured: Mapping[int, Mapping[str, Timing]]) -> TierProfile:
    """Add segment timings (per batch size, per segment digest) to a profile; newer ones replace older ones.

    Batch sizes that the profile does not have yet are added with interpolated layers.
    """
    batches = dict(profile.batches)
    for size, timings in sorted(measured.items()):
        seen = at_batch(profile, size)
        batches[size] = replace(seen, segments={**seen.segments, **timings})
    return replace(profile, batches=dict(sorted(batches.items())))


def merge_forms(profile: TierProfile, measured: Mapping[int, Forms]) -> TierProfile:
    """Add what layers take in quantised forms (per batch size); the rest as `merge_segments`."""
    batches = dict(profile.batches)
    for size, forms in sorted(measured.items()):
        seen = at_batch(profile, size)
        batches[size] = replace(seen, forms={**seen.forms, **forms})
    return replace(profile, batches=dict(sorted(batches.items())))


def _refined(
    profile: TierProfile, batch: int, segments: Mapping[str, Sequence[str]], variants: Mapping[str, Variant]
) -> BatchProfile:
    seen = profile.batches[batch]
    scaled = _scaled(profile, batch, segments)
    forms = {form: {**timings, **_followed(seen, timings, scaled)} for form, timings in seen.forms.items()}
    after = replace(seen, layers={**seen.layers, **scaled}, forms=forms)
    return replace(
        after, forms={form: {**forms[form], **_of_variants(profile, batch, after, form, variants)} for form in forms}
    )


def _followed(seen: BatchProfile, form: Mapping[str, Timing], scaled: Mapping[str, Timing]) -> dict[str, Timing]:
    """A form's layers, each scaled as it was where it runs as it is; the tier cannot hold all of them in each form."""
    before = {name: seen.layers[name].median_s for name in scaled}
    return {
        name: _times(form[name], timing.median_s / before[name])
        for name, timing in scaled.items()
        if before[name] > 0 and name in form
    }


def _of_variants(
    profile: TierProfile, batch: int, seen: BatchProfile, form: RunForm, variants: Mapping[str, Variant]
) -> dict[str, Timing]:
    """The layers that measured variants run in `form`."""
    found: dict[str, list[Timing]] = {}
    for digest, variant in variants.items():
        if variant.form is form and variant.quantised:
            for name, timing in _of_variant(seen, variant, timing_at(_points(profile, digest), batch)).items():
                found.setdefault(name, []).append(timing)
    return {name: _mean(timings) for name, timings in found.items()}


def _of_variant(seen: BatchProfile, variant: Variant, target: Timing) -> dict[str, Timing]:
    """Its quantised layers get what its other layers leave of its seconds."""
    quantised_s, plain_s = _parts(seen, variant)
    proportional = quantised_s / (quantised_s + plain_s) if quantised_s > 0 else 1.0
    left = max(target.median_s - plain_s, _LEAST * proportional * target.median_s)
    share = left / target.median_s if target.median_s > 0 else 0.0
    return _divided(seen.forms[variant.form], variant.quantised, _times(target, share))


def _parts(seen: BatchProfile, variant: Variant) -> tuple[float, float]:
    return _sum(seen.forms[variant.form], variant.quantised), _sum(seen.layers, variant.plain)


def _sum(timings: Mapping[str, Timing], layers: Sequence[str]) -> float:
    return fsum(timings[name].median_s for name in layers)


def _mean(timings: Sequence[Timing]) -> Timing:
    count = len(timings)
    return Timing(
        fsum(timing.median_s for timing in timings) / count,
        fsum(timing.spread_s for timing in timings) / count,
        min(timing.runs for timing in timings),
    )


def _scaled(profile: TierProfile, batch: int, segments: Mapping[str, Sequence[str]]) -> dict[str, Timing]:
    seen = profile.batches[batch]
    found: dict[str, Timing] = {}
    for segment, layers in segments.items():
        found |= _divided(seen.layers, layers, timing_at(_points(profile, segment), batch))
    return found


def _divided(timings: Mapping[str, Timing], layers: Sequence[str], target: Timing) -> dict[str, Timing]:
    """`target` divided over `layers` in proportion to what they took."""
    estimate = _sum(timings, layers)
    if estimate > 0:
        shares = {name: timings[name].median_s / estimate for name in layers}
    else:
        # Nothing is known about the layers (all were folded into others): they get equal parts.
        shares = {name: 1 / len(layers) for name in layers}
    return {name: _times(target, share) for name, share in shares.items()}


def _points(profile: TierProfile, segment: str) -> dict[int, Timing]:
    return {size: seen.segments[segment] for size, seen in profile.batches.items() if segment in seen.segments}


def _check_segments(graph: LayerGraph, segments: Mapping[str, Sequence[str]]) -> None:
    owner: dict[str, str] = {}
    for segment, layers in segments.items():
        for i, name in enumerate(layers):
            path = f"segments[{segment}].layers[{i}]"
            _check_layer(graph, name, path)
            if owner.setdefault(name, segment) != segment:
                raise ProfileError(f"{name!r} stands in segment {owner[name]} already", path)


def _check_variants(graph: LayerGraph, variants: Mapping[str, Variant]) -> None:
    for segment, variant in variants.items():
        for name in (*variant.quantised, *variant.plain):
            _check_layer(graph, name, f"variants[{segment}]")


def _check_layer(graph: LayerGraph, name: str, path: str) -> None:
    if name not in graph.index:
        raise ProfileError(f"the graph has no layer {name!r}", path)


def emulate(profile: TierProfile, tier: str, slowdown: float) -> TierProfile:
    """The profile that the same machine has as another tier, slower by another factor.

    Args:
        profile: what was measured; its own factor is taken out first.
        tier: the other tier's name.
        slowdown: the other tier's factor; layers in all forms, segments and the whole model take so much longer.

    Raises:
        ProfileError: `slowdown` is not positive.
    """
    if slowdown <= 0:
        raise ProfileError(f"{slowdown!r} is not positive", "slowdown")
    factor = slowdown / profile.slowdown
    batches = {size: _slower(seen, factor) for size, seen in profile.batches.items()}
    return replace(profile, tier=tier, slowdown=slowdown, batches=batches)


def _slower(seen: BatchProfile, factor: float) -> BatchProfile:
    return replace(
        seen,
        layers=_all_times(seen.layers, factor),
        segments=_all_times(seen.segments, factor),
        whole=_times(seen.whole, factor),
        forms={form: _all_times(timings, factor) for form, timings in seen.forms.items()},
    )


def _all_times(timings: Mapping[str, Timing], factor: float) -> dict[str, Timing]:
    return {name: _times(timing, factor) for name, timing in timings.items()}


def _times(timing: Timing, factor: float) -> Timing:
    return Timing(timing.median_s * factor, timing.spread_s * factor, timing.runs)

"""From seconds of segments as they run back to seconds of layers, so that the planner's sums come true (design §3)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum

from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.batches import at_batch, timing_at
from tiersplit_core.profile.layers import BatchProfile, TierProfile, Timing

_SMALL = 0.01
"""A segment below this share of the whole model is judged against this share: its own seconds are noise."""


def refine(graph: LayerGraph, profile: TierProfile, segments: Mapping[str, Sequence[str]]) -> TierProfile:
    """Scale the seconds of each segment's layers so that they sum to the seconds measured for the segment.

    Layers of segments without a measurement keep their seconds. At batch sizes where a segment was not measured, its
    seconds are interpolated from those where it was.

    Args:
        graph: the graph that was profiled.
        profile: a profile that contains segments.
        segments: layer names per segment digest; no layer stands in two of them.

    Raises:
        ProfileError: a segment names a layer that the graph does not have, or that another segment has.
    """
    _check_segments(graph, segments)
    measured = {segment: layers for segment, layers in segments.items() if _points(profile, segment)}
    batches = {
        size: replace(seen, layers={**seen.layers, **_scaled(profile, size, measured)})
        for size, seen in profile.batches.items()
    }
    return replace(profile, batches=batches)


def disagreement(profile: TierProfile, segments: Mapping[str, Sequence[str]]) -> float:
    """The largest relative distance between a segment's seconds and the sum of its layers, over all batch sizes.

    0 where no segment was measured. A segment shorter than 1% of the whole model is judged against that 1%.
    """
    distances = [0.0]
    for seen in profile.batches.values():
        floor = _SMALL * seen.whole.median_s
        for segment in segments.keys() & seen.segments.keys():
            actual = seen.segments[segment].median_s
            estimate = fsum(seen.layers[name].median_s for name in segments[segment])
            distances.append(abs(estimate - actual) / max(actual, floor, 1e-12))
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


def _scaled(profile: TierProfile, batch: int, segments: Mapping[str, Sequence[str]]) -> dict[str, Timing]:
    seen = profile.batches[batch]
    found: dict[str, Timing] = {}
    for segment, layers in segments.items():
        found |= _scale_one(seen, layers, timing_at(_points(profile, segment), batch))
    return found


def _scale_one(seen: BatchProfile, layers: Sequence[str], target: Timing) -> dict[str, Timing]:
    estimate = fsum(seen.layers[name].median_s for name in layers)
    if estimate > 0:
        shares = {name: seen.layers[name].median_s / estimate for name in layers}
    else:
        # Nothing is known about the layers (all were folded into others): they get equal parts.
        shares = {name: 1 / len(layers) for name in layers}
    return {
        name: Timing(share * target.median_s, share * target.spread_s, target.runs) for name, share in shares.items()
    }


def _points(profile: TierProfile, segment: str) -> dict[int, Timing]:
    return {size: seen.segments[segment] for size, seen in profile.batches.items() if segment in seen.segments}


def _check_segments(graph: LayerGraph, segments: Mapping[str, Sequence[str]]) -> None:
    owner: dict[str, str] = {}
    for segment, layers in segments.items():
        for i, name in enumerate(layers):
            path = f"segments[{segment}].layers[{i}]"
            if name not in graph.index:
                raise ProfileError(f"the graph has no layer {name!r}", path)
            if owner.setdefault(name, segment) != segment:
                raise ProfileError(f"{name!r} stands in segment {owner[name]} already", path)


def emulate(profile: TierProfile, tier: str, slowdown: float) -> TierProfile:
    """The profile that the same machine has as another tier, slower by another factor.

    Args:
        profile: what was measured; its own factor is taken out first.
        tier: the other tier's name.
        slowdown: the other tier's factor; layers, segments and the whole model take so much longer.

    Raises:
        ProfileError: `slowdown` is not positive.
    """
    if slowdown <= 0:
        raise ProfileError(f"{slowdown!r} is not positive", "slowdown")
    factor = slowdown / profile.slowdown
    batches = {size: _slower(seen, factor) for size, seen in profile.batches.items()}
    return replace(profile, tier=tier, slowdown=slowdown, batches=batches)


def _slower(seen: BatchProfile, factor: float) -> BatchProfile:
    layers = {name: _times(timing, factor) for name, timing in seen.layers.items()}
    segments = {name: _times(timing, factor) for name, timing in seen.segments.items()}
    return replace(seen, layers=layers, segments=segments, whole=_times(seen.whole, factor))


def _times(timing: Timing, factor: float) -> Timing:
    return Timing(timing.median_s * factor, timing.spread_s * factor, timing.runs)

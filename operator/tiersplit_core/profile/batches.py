"""Seconds and bytes at batch sizes that were not measured: piecewise linear between those that were."""

from collections.abc import Callable, Mapping
from functools import partial

from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.layers import BatchProfile, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm


def interpolate(points: Mapping[int, float], batch: int) -> float:
    """The value at `batch` of the polyline through `points`.

    Above the largest measured batch size the last piece goes on; below the smallest one, and where a single one was
    measured, the value is proportional to the batch size. Never negative where no point is.

    Args:
        points: value per measured batch size.
        batch: samples, at least 1.

    Raises:
        ProfileError: nothing was measured, or `batch` is below 1.
    """
    if batch < 1 or not points:
        raise ProfileError("nothing was measured" if not points else f"{batch} is no batch size; write 1 or more")
    sizes = sorted(points)
    if batch in points:
        return points[batch]
    if batch < sizes[0] or len(sizes) == 1:
        return points[sizes[0]] * batch / sizes[0]
    right = next((i for i, size in enumerate(sizes) if size > batch), len(sizes) - 1)
    low, high = sizes[right - 1], sizes[right]
    share = (batch - low) / (high - low)
    return max(0.0, points[low] + share * (points[high] - points[low]))


def timing_at(points: Mapping[int, Timing], batch: int) -> Timing:
    """The timing at `batch`, median and spread interpolated alike."""
    return Timing(
        median_s=interpolate({size: timing.median_s for size, timing in points.items()}, batch),
        spread_s=interpolate({size: timing.spread_s for size, timing in points.items()}, batch),
        runs=min(timing.runs for timing in points.values()),
    )


def at_batch(profile: TierProfile, batch: int) -> BatchProfile:
    """What `profile` says about `batch`: as measured where it was measured, else interpolated.

    Raises:
        ProfileError: the profile has no batch sizes, or `batch` is below 1.
    """
    if batch in profile.batches:
        return profile.batches[batch]
    memory = {size: float(seen.memory_bytes) for size, seen in profile.batches.items()}
    return BatchProfile(
        layers=_each(profile, batch, lambda seen: seen.layers),
        whole=timing_at({size: seen.whole for size, seen in profile.batches.items()}, batch),
        segments=_each(profile, batch, lambda seen: seen.segments),
        memory_bytes=round(interpolate(memory, batch)),
        forms=_each_form(profile, batch),
        unheld={name: size for seen in profile.batches.values() for name, size in seen.unheld.items()},
    )


def layer_seconds(profile: TierProfile, batch: int) -> dict[str, float]:
    """Median seconds per layer at `batch`."""
    return {name: timing.median_s for name, timing in at_batch(profile, batch).layers.items()}


def form_seconds(profile: TierProfile, form: RunForm, batch: int) -> dict[str, float]:
    """Median seconds per layer at `batch` with the whole model in `form`; empty where that was not measured.

    Args:
        profile: of the tier.
        form: how layers run; as they are, it is what `layer_seconds` says.
        batch: samples, at least 1.
    """
    seen = at_batch(profile, batch)
    timings = seen.layers if form is RunForm.FLOAT else seen.forms.get(form, {})
    return {name: timing.median_s for name, timing in timings.items()}


def segment_seconds(profile: TierProfile, batch: int) -> dict[str, float]:
    """Median seconds per measured segment at `batch`, by segment digest."""
    return {name: timing.median_s for name, timing in at_batch(profile, batch).segments.items()}


def _each_form(profile: TierProfile, batch: int) -> dict[RunForm, dict[str, Timing]]:
    forms = dict.fromkeys(form for seen in profile.batches.values() for form in seen.forms)
    return {form: _each(profile, batch, partial(_layers_in, form)) for form in forms}


def _layers_in(form: RunForm, seen: BatchProfile) -> Mapping[str, Timing]:
    return seen.forms.get(form, {})


def _each(profile: TierProfile, batch: int, part: Callable[[BatchProfile], Mapping[str, Timing]]) -> dict[str, Timing]:
    names = dict.fromkeys(name for seen in profile.batches.values() for name in part(seen))
    return {name: timing_at(_points(profile, name, part), batch) for name in names}


def _points(profile: TierProfile, name: str, part: Callable[[BatchProfile], Mapping[str, Timing]]) -> dict[int, Timing]:
    return {size: part(seen)[name] for size, seen in profile.batches.items() if name in part(seen)}

"""What the later tiers do with the layers that a head leaves to them.

Between two tiers all the rest is on the last one. With more, that is looked at, too, and the rest is placed by a
minimum cut that keeps the head where it is (by the mixed-integer program where a later tier's memory binds): once with
the head's values at their fewest bits and once as they are. Where later tiers list variants as well, each uniform width
there is tried. `exact` finds out what better continuations there are.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tiersplit_core.cost.arrays import Bools, Ints, ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.widths import WidthArrays, at_widths, uniform_choice
from tiersplit_core.planning.autosplit.splits import Split, split_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions


def splits_behind(arrays: ProblemArrays, widths: WidthArrays, head: Bools, options: SolverOptions) -> Iterator[Split]:
    """The splits with this head, shape (L,), whose later tiers fit their memory; each placement once."""
    seen: set[bytes] = set()
    for later in later_widths(arrays, widths):
        for tiers in _placements(arrays, widths, head, later, options):
            chosen = np.where((tiers > 0) & np.isfinite(widths.seconds[np.arange(len(tiers)), later, tiers]), later, 0)
            key = tiers.tobytes() + chosen.tobytes()
            if key not in seen and _fits_behind(at_widths(arrays, widths, chosen), tiers):
                seen.add(key)
                yield split_of(arrays, widths, tiers, chosen)


def _fits_behind(arrays: ProblemArrays, tiers: Ints) -> bool:
    """Whether all tiers but the first can run what they have, and hold it."""
    return not (tiers[arrays.misplaced(tiers)] > 0).any() and not set(exceeded_tiers(arrays, tiers)) - {0}


def later_widths(arrays: ProblemArrays, widths: WidthArrays) -> list[Ints]:
    """Choices for later tiers: every layer as it is, and each uniform width that a later tier can run, shape (L,)."""
    as_they_are = np.zeros(arrays.layers, dtype=np.int64)
    able = np.isfinite(widths.seconds[:, :, 1:]).any(axis=2) & (widths.weight_bits > 0)
    pairs = np.unique(np.column_stack((widths.weight_bits[able], widths.activation_bits[able])), axis=0)
    return [as_they_are, *(uniform_choice(widths, w, a, able) for w, a in pairs.tolist())]


def _placements(
    arrays: ProblemArrays, widths: WidthArrays, head: Bools, later: Ints, options: SolverOptions
) -> Iterator[Ints]:
    yield np.where(head, 0, arrays.tiers - 1).astype(np.int64)
    if arrays.tiers == 2 or head.all():
        return
    narrow = np.where(widths.on_first, widths.sent_bytes, np.iinfo(np.int64).max).argmin(axis=1)
    for on_head in (narrow, np.zeros_like(narrow)):
        placed = _placed(_pinned(at_widths(arrays, widths, np.where(head, on_head, later)), head), options)
        if placed is not None and np.array_equal(placed == 0, head):
            yield placed


def _pinned(arrays: ProblemArrays, head: Bools) -> ProblemArrays:
    """The problem in which leaving the head, or joining it, takes longer than everything else together."""
    longest_s = float(arrays.used_s.sum() + arrays.sent_bytes.sum() * arrays.s_per_byte.sum())
    never_s = 4.0 * (longest_s + float(arrays.seconds.max(axis=1).sum())) + 1.0
    seconds = arrays.seconds.copy()
    seconds[head, 1:] = never_s
    seconds[~head, 0] = never_s
    seconds[head, 0] = 0.0
    return replace(arrays, seconds=seconds, limits=(None, *arrays.limits[1:]))


def _placed(arrays: ProblemArrays, options: SolverOptions) -> Ints | None:
    tiers = CutModel(arrays).solve(arrays).tiers
    if not exceeded_tiers(arrays, tiers):
        return tiers
    from tiersplit_core.planning.solvers import milp  # noqa: PLC0415 - 0.5 s that the minimum cut need not pay

    plan = milp.solve(arrays, options).plan
    return None if plan is None else arrays.tiers_of(plan.placement)

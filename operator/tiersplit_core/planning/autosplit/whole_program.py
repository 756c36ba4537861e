"""Split and bit widths as one mixed-integer program: any number of tiers, widths and memory limits on each of them.

Minimum cuts with a price on distortion say from below what can be reached at all, and which widths no better plan has;
what is left is a program of `milp_model`. For throughput it is asked without that help.
"""

from collections.abc import Iterable

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.widths import WidthArrays
from tiersplit_core.planning.autosplit.relaxed import Relaxation
from tiersplit_core.planning.milp_search import PlanSearch


def plan_search(arrays: ProblemArrays, widths: WidthArrays) -> PlanSearch:
    """The search for a problem's best plan, with what minimum cuts know about it."""
    usable = widths.usable(arrays.problem.max_distortion)
    search = PlanSearch(arrays, widths, undominated(arrays, widths, usable))
    if not arrays.throughput:
        _relax(search, usable)
    return search


def _relax(search: PlanSearch, usable: Bools) -> None:
    """Offer the plans of minimum cuts, and keep their bounds."""
    relaxation, seen = Relaxation(search.arrays, search.widths, usable), set()
    for cut in relaxation.cuts():
        search.lower_s = max(search.lower_s, cut.lower_s)
        search.floors = np.maximum(search.floors, cut.floors)
        if cut.tiers.tobytes() not in seen and usable[np.arange(len(cut.tiers)), :, cut.tiers].any(axis=1).all():
            seen.add(cut.tiers.tobytes())
            search.offer(cut.tiers, relaxation.choice_on(cut.tiers))


def undominated(arrays: ProblemArrays, widths: WidthArrays, usable: Bools) -> Bools:
    """What each tier may run, shape (L, V, M), without widths that another one equals or beats in everything.

    Of equal ones the first stays. Bytes count where they do: on links behind the tier, and in memory with a limit.
    """
    kept = usable.copy()
    for tier, limit in enumerate(arrays.limits):
        amounts: list[Floats | Ints] = [widths.seconds[:, :, tier]]
        if arrays.problem.max_distortion is not None:
            amounts.append(widths.distortion)
        if tier + 1 < arrays.tiers:
            amounts.append(widths.sent_bytes)
        if limit is not None:
            amounts += [widths.weight_bytes, widths.own_bytes]
        kept[:, :, tier] &= ~_beaten(amounts, usable[:, :, tier])
    return kept


def _beaten(amounts: Iterable[Floats | Ints], usable: Bools) -> Bools:
    """Whether some usable width has no more of anything, shape (L, V), for amounts of that shape each."""
    count = usable.shape[1]
    no_more = np.repeat(usable[:, None, :], count, axis=1)
    less = np.tri(count, k=-1, dtype=bool)[None]
    for amount in amounts:
        this, other = amount[:, :, None], amount[:, None, :]
        no_more &= other <= this
        less = less | (other < this)
    return np.asarray((no_more & less).any(axis=2))

"""The two searches that the joint one is compared with: one decision after the other, under the same budgets.

AUTO-SPLIT §5.4: quantising the edge part of a split that was found for the network as it is misses splits that only
quantised networks have; and widths for a whole network are coarser than those for the part that the edge keeps.
"""

import numpy as np

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.widths import at_widths, width_arrays
from tiersplit_core.planning.autosplit.choice import within_distortion
from tiersplit_core.planning.autosplit.solutions import (
    Candidate,
    WidthSearch,
    candidate,
    objectives,
    potential_solutions,
    width_search,
)
from tiersplit_core.planning.autosplit.splits import memories, split_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.two_tiers import first_and_last, on_all_tiers


def split_then_quantise(arrays: ProblemArrays) -> tuple[WidthSearch, Candidate | None]:
    """The minimum cut of the network as it is, then widths for its head; None where none fit."""
    search = width_search(arrays, width_arrays(arrays))
    tiers = _cut(arrays)
    found = potential_solutions(search, [split_of(arrays, search.widths, tiers)] if _allowed(arrays, tiers) else [])
    return search, next(iter(within_distortion(found, arrays.problem.max_distortion)), None)


def quantise_then_split(arrays: ProblemArrays) -> tuple[WidthSearch, Candidate | None]:
    """Widths for the whole network on the first tier, then the minimum cut of what it has become."""
    search = width_search(arrays, width_arrays(arrays))
    found = [_split_at(search, choice) for choice in search.whole_network]
    kept = [candidate for candidate in found if candidate is not None]
    return search, next(iter(within_distortion(kept, arrays.problem.max_distortion)), None)


def _split_at(search: WidthSearch, choice: Ints) -> Candidate | None:
    tiers = _cut(at_widths(search.arrays, search.widths, choice))
    if not _allowed(search.arrays, tiers):
        return None
    split = split_of(search.arrays, search.widths, tiers)
    on_head = choice[None, split.members]
    if memories(search.widths, split, on_head)[0] > search.budget:
        return None
    return candidate(search, split, on_head[0], float(objectives(search, split, on_head)[0]))


def _cut(arrays: ProblemArrays) -> Ints:
    pair = first_and_last(arrays)
    return on_all_tiers(arrays, CutModel(pair).solve(pair).tiers)


def _allowed(arrays: ProblemArrays, tiers: Ints) -> bool:
    """Whether the later tiers hold their part; the first one's memory is a matter of widths."""
    return not np.any(np.array(exceeded_tiers(arrays, tiers), dtype=np.int64) > 0)

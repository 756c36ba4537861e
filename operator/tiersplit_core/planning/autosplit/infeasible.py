"""Why no split and no widths will do, with what is missing."""

from collections.abc import Sequence

import numpy as np

from tiersplit_core.planning.autosplit.solutions import UNLIMITED, WidthSearch
from tiersplit_core.planning.autosplit.splits import Split, least_memory, memories
from tiersplit_core.planning.feasibility import cannot_run, failing_constraint
from tiersplit_core.units import format_bytes


def missing_words(search: WidthSearch, splits: Sequence[Split]) -> str:
    """The constraint that fails: later tiers, the first tier's memory with its shortfall in bytes, or E."""
    if not splits:
        return _without_splits(search)
    least = min(least_memory(search.widths, split) for split in splits)
    # Fewest weights and fewest activations may be those of different variants, so that more than the least is needed.
    needed = least if least > search.budget else min(_tried_memory(search, split) for split in splits)
    if needed > search.budget:
        return _shortfall(search, needed)
    return (
        f"max_distortion: no widths found that fit {search.arrays.problem.tiers[0].name} add "
        f"{search.arrays.problem.max_distortion} or less"
    )


def _tried_memory(search: WidthSearch, split: Split) -> int:
    """The fewest bytes that a split needs at widths that were looked at."""
    choices = np.concatenate((search.whole_network, search.uniform))[:, split.members]
    able = search.widths.on_first[split.members, choices].all(axis=1)
    return int(memories(search.widths, split, choices[able]).min(initial=UNLIMITED))


def _without_splits(search: WidthSearch) -> str:
    """Why there is no legal head: one that must be on the first tier cannot run there, or later tiers are too small."""
    arrays = search.arrays
    stuck = np.flatnonzero(arrays.forced_first & ~search.widths.able)
    if not len(stuck):
        return failing_constraint(arrays)
    return cannot_run(arrays, np.zeros(arrays.layers, dtype=np.int64), int(stuck[0]))


def _shortfall(search: WidthSearch, needed: int) -> str:
    tier, missing = search.arrays.problem.tiers[0], needed - search.budget
    why = " with the input kept there" if search.arrays.problem.raw_input_tier is not None else ""
    return (
        f"tiers[0].memory_bytes: {tier.name} has {tier.memory_bytes} bytes; at the fewest bits{why}, the smallest head "
        f"needs {needed} bytes: {missing} bytes ({format_bytes(missing)}) are missing"
    )

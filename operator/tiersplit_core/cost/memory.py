"""Memory of a stage: its weights and its largest working set, in whole bytes (design §4.1, `working_set`)."""

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.graph.working_set import live_bytes


def stage_memory_bytes(arrays: ProblemArrays, tiers: Ints, tier: int) -> int:
    """Bytes that the stage on `tier` needs; a tier without layers needs none.

    Args:
        arrays: the problem.
        tiers: tier per layer, shape (L,).
        tier: the stage's tier.
    """
    live = live_bytes(tier, tiers, arrays.value_bytes, arrays.read_value, arrays.read_layer)
    return int(arrays.weight_bytes[tiers == tier].sum()) + int(live.max()) if len(live) else 0


def exceeded_tiers(arrays: ProblemArrays, tiers: Ints) -> tuple[int, ...]:
    """The tiers whose memory a placement (tier per layer, shape (L,)) does not fit."""
    return tuple(
        tier
        for tier, limit in enumerate(arrays.limits)
        if limit is not None and stage_memory_bytes(arrays, tiers, tier) > limit
    )

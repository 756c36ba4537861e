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
    live = stage_live_bytes(arrays, tiers, tier)
    return int(arrays.weight_bytes[tiers == tier].sum()) + int(live.max()) if len(live) else 0


def stage_live_bytes(arrays: ProblemArrays, tiers: Ints, tier: int) -> Ints:
    """Bytes that the stage on `tier` holds besides its weights, per layer; empty where it has none."""
    held = arrays.held_bytes(tier, tiers)
    return live_bytes(tier, tiers, held, arrays.read_value, arrays.read_layer, after=arrays.counts_as_paper)


def exceeded_tiers(arrays: ProblemArrays, tiers: Ints) -> tuple[int, ...]:
    """The tiers whose memory a placement (tier per layer, shape (L,)) does not fit."""
    return tuple(
        tier
        for tier, limit in enumerate(arrays.limits)
        if limit is not None and stage_memory_bytes(arrays, tiers, tier) > limit
    )

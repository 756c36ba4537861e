"""The tensors that must be held while a stage runs, step by step (the working set of design §4.1)."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def furthest_tier(tiers: Ints, read_value: Ints, read_layer: Ints) -> Ints:
    """The latest tier that needs each value, its own where nobody later does.

    Args:
        tiers: tier per layer, shape (L,).
        read_value: value of each read, shape (E,); 0 is the input, i + 1 is what layer i computes.
        read_layer: layer of each read, shape (E,).

    Returns:
        Tier per value, shape (L + 1,); the input lies on tier 0.
    """
    furthest = np.concatenate(([0], tiers))
    np.maximum.at(furthest, read_value, tiers[read_layer])
    return furthest


def live_bytes(
    tier: int, tiers: Ints, value_bytes: Ints, read_value: Ints, read_layer: Ints, *, after: bool = False
) -> Ints:
    """Bytes held at each step of the stage on `tier`.

    At each layer these are the tensors present on the tier that this or a later layer of the tier reads or that must
    still go to a later tier, and the layer's own output. What the stage receives is present from its start; what it
    sends on, passed-through tensors included, stays until its end.

    Args:
        tier: the stage's tier.
        tiers: tier per layer, shape (L,).
        value_bytes: bytes per value, shape (L + 1,).
        read_value: value of each read, shape (E,).
        read_layer: layer of each read, shape (E,).
        after: count what is still needed once each layer is done, and its output, but no longer what only it read.

    Returns:
        Bytes per layer of the stage in execution order; empty where the tier has no layers.
    """
    members = np.flatnonzero(tiers == tier)
    if not len(members):
        return np.zeros(0, dtype=np.int64)
    first, last = live_steps(tier, tiers, read_value, read_layer, after=after)
    held = (first >= 0) & (last >= 0)
    change = np.zeros(len(members) + 1, dtype=np.int64)
    np.add.at(change, first[held], value_bytes[held])
    np.subtract.at(change, last[held] + 1, value_bytes[held])
    return np.cumsum(change[:-1])


def live_steps(tier: int, tiers: Ints, read_value: Ints, read_layer: Ints, *, after: bool = False) -> tuple[Ints, Ints]:
    """The first and the last step of the stage on `tier` at which each value is held; either is -1 where it never is.

    Arguments as those of `live_bytes`; steps count the stage's layers in execution order. Shapes (L + 1,).
    """
    members = np.flatnonzero(tiers == tier)
    source = np.concatenate(([0], tiers))
    furthest = furthest_tier(tiers, read_value, read_layer)
    first = np.where(source < tier, 0, -1)
    first[members + 1] = np.arange(len(members))
    if tier == 0:
        first[0] = 0
    last = _last_read_step(members, tiers == tier, len(source), read_value, read_layer) - after
    last = np.where(furthest > tier, len(members) - 1, last)
    # A layer's own output is held at its own step, whether or not anybody reads it.
    last[members + 1] = np.maximum(last[members + 1], np.arange(len(members)))
    last[source > tier] = -1
    return first, np.maximum(last, -1)


def _last_read_step(members: Ints, on_tier: NDArray[np.bool_], values: int, read_value: Ints, read_layer: Ints) -> Ints:
    """The last step of the stage that reads each value, -1 where none does."""
    step = np.full(len(on_tier), -1, dtype=np.int64)
    step[members] = np.arange(len(members))
    last = np.full(values, -1, dtype=np.int64)
    inside = on_tier[read_layer]
    np.maximum.at(last, read_value[inside], step[read_layer[inside]])
    return last

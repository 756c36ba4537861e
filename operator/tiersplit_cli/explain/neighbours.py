"""The plans next to a plan: one layer moved over one link, and everything on one tier."""

from dataclasses import dataclass

import numpy as np

from tiersplit_cli.explain.costs import Costs
from tiersplit_cli.explain.splits import SplitCost
from tiersplit_core.cost.arrays import Ints, ProblemArrays

_MAX_MOVES = 400
"""More single-layer moves than this are not tried; a boundary that wide has no telling neighbours."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another plan and what it costs more.

    Attributes:
        change: what is different, in words.
        cost: what it costs.
        extra_s: its objective minus the plan's.
        differences: seconds per tier or link that changed: what -> more (or, negative, fewer) seconds.
    """

    change: str
    cost: SplitCost
    extra_s: float
    differences: tuple[tuple[str, float], ...]


def neighbours_of(costs: Costs, tiers: Ints, limit: int = 6) -> tuple[Neighbour, ...]:
    """The nearest legal plans by cost, then the plans that use one tier alone.

    Args:
        costs: of the problem.
        tiers: the plan's tier per layer, shape (L,).
        limit: how many single-layer moves to return.
    """
    arrays, plan = costs.arrays, costs.of(tiers)
    moves = [_neighbour(costs, plan, change, moved) for change, moved in _moves(arrays, tiers)]
    moves.sort(key=lambda other: (not other.cost.allowed, other.extra_s))
    single = []
    for tier, place in enumerate(arrays.problem.tiers):
        alone = np.full(arrays.layers, tier, dtype=np.int64)
        if tuple(alone.tolist()) != plan.tiers:
            single.append(_neighbour(costs, plan, f"everything on {place.name}", alone))
    return (*moves[:limit], *single)


def _moves(arrays: ProblemArrays, tiers: Ints) -> list[tuple[str, Ints]]:
    """Each layer that can go to the next or the previous tier alone."""
    names = [tier.name for tier in arrays.problem.tiers]
    lowest, highest = _room(arrays, tiers)
    found: list[tuple[str, Ints]] = []
    for layer in range(arrays.layers):
        for target in (tiers[layer] - 1, tiers[layer] + 1):
            if lowest[layer] <= target <= highest[layer] and len(found) < _MAX_MOVES:
                moved = tiers.copy()
                moved[layer] = target
                found.append((f"{arrays.problem.layers[layer].name} on {names[target]}", moved))
    return found


def _room(arrays: ProblemArrays, tiers: Ints) -> tuple[Ints, Ints]:
    """The lowest and the highest tier that each layer can have while all others stay, shapes (L,)."""
    lowest = np.zeros(arrays.layers, dtype=np.int64)
    highest = np.full(arrays.layers, arrays.tiers - 1, dtype=np.int64)
    inner = arrays.read_value > 0
    made_by, read_by = arrays.read_value[inner] - 1, arrays.read_layer[inner]
    np.maximum.at(lowest, read_by, tiers[made_by])
    np.minimum.at(highest, made_by, tiers[read_by])
    return lowest, highest


def _neighbour(costs: Costs, plan: SplitCost, change: str, tiers: Ints) -> Neighbour:
    cost = costs.of(tiers)
    before = {piece.what: piece.seconds for piece in plan.pieces}
    after = {piece.what: piece.seconds for piece in cost.pieces}
    names = dict.fromkeys([*before, *after])
    all_differences = [(name, after.get(name, 0.0) - before.get(name, 0.0)) for name in names]
    changed = tuple((name, seconds) for name, seconds in all_differences if abs(seconds) > 1e-12)
    return Neighbour(change, cost, cost.objective_s - plan.objective_s, changed)

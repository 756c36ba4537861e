"""From all plans that are best somewhere to the few that are deployed."""

import sys
from collections.abc import Sequence

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints
from tiersplit_core.planning.envelope import values, vertices
from tiersplit_core.planning.pool import Pool, ratio

_SAMPLES = 256


def select(pools: Sequence[Pool], candidates: Sequence[Ints], kept: int, epsilon: float, most: int) -> list[int]:
    """Which candidates to deploy.

    Args:
        pools: one per batch size.
        candidates: tier per layer of each; the first `kept` stay in any case.
        kept: how many stay in any case.
        epsilon: the relative loss that may be paid for fewer plans.
        most: how many plans may stay.

    Returns:
        Positions of the candidates that stay: as few as lose at most `epsilon`, but no more than `most`.
    """
    scores = np.vstack([_scores(pool, candidates) for pool in pools])
    floor = scores.min(axis=1)
    chosen = list(range(len(candidates)))
    while len(chosen) > max(kept, 1):
        losses = [_loss(scores, floor, [c for c in chosen if c != leaving]) for leaving in chosen[kept:]]
        cheapest = int(np.argmin(losses))
        if losses[cheapest] > epsilon and len(chosen) <= most:
            break
        chosen.remove(chosen[kept + cheapest])
    return chosen


def loss_of(pool: Pool, candidates: Sequence[Ints], chosen: Sequence[int]) -> float:
    """The largest relative loss of the chosen plans against all candidates of a pool, its own gap included.

    For latency it holds everywhere in the box: on each cell of the chosen plans' envelope, that envelope is linear and
    the optimum concave, so their ratio is largest at a vertex. For throughput it holds at the points of the pool.
    """
    oracle = pool.oracle
    if oracle.arrays.throughput:
        points = np.array(pool.points)
    else:
        points = vertices(np.array([oracle.plane(candidates[c]) for c in chosen]))
    scores = np.array([oracle.scores(tiers, points) for tiers in candidates]).T
    loss = (1 + _loss(scores, scores.min(axis=1), chosen)) * (1 + pool.epsilon) - 1
    return min(loss, sys.float_info.max)


def _scores(pool: Pool, candidates: Sequence[Ints]) -> Floats:
    """Objective of every candidate where plans were made, and at vertices and random points for latency, (N, C)."""
    oracle = pool.oracle
    points = np.array(pool.points)
    if oracle.arrays.throughput:
        return np.array([oracle.scores(tiers, points) for tiers in candidates]).T
    dimensions = points.shape[1]
    random = np.random.default_rng(0).random((_SAMPLES, dimensions)) ** 2
    planes = np.array([oracle.plane(tiers) for tiers in candidates])
    return values(planes, np.vstack((points, vertices(planes), random)))


def _loss(scores: Floats, floor: Floats, chosen: Sequence[int]) -> float:
    return ratio(scores[:, list(chosen)].min(axis=1), floor)

"""The pool of plans of one batch size: every plan that is best somewhere in the box, or on a grid of it.

Latency is linear in 1/bandwidth and load, so the optimum over all plans is concave and the envelope of known plans is
never below it. Where both meet at all vertices of the envelope they are equal everywhere (Eisner and Severance 1976).
"""

import sys
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.planning.envelope import values, vertices
from tiersplit_core.planning.oracle import Oracle

_EQUAL = 1e-9
_PER_ROUND = 12
_GRID = {0: 1, 1: 9, 2: 4, 3: 3}


@dataclass
class Pool:
    """Plans of one batch size and what is proven about them.

    Attributes:
        oracle: plans at a point.
        placements: tier per layer of each plan, by its bytes.
        points: where the optimum is known, shape (d,) each.
        lower: a proven lower bound of the optimum at each of them.
        epsilon: the best of the pool is at most 1 + epsilon times the optimum.
    """

    oracle: Oracle
    placements: dict[bytes, Ints] = field(default_factory=dict)
    points: list[Floats] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    epsilon: float = 0.0

    def add(self, tiers: Ints) -> bool:
        """Whether a placement is new."""
        key = tiers.tobytes()
        if key in self.placements:
            return False
        self.placements[key] = tiers
        return True

    def planes(self) -> Floats:
        """The plans' planes, shape (P, d + 1)."""
        return np.array([self.oracle.plane(tiers) for tiers in self.placements.values()])

    def solve(self, point: Floats) -> bool:
        """Plan at a point; whether that gave a new plan that is better there than the pool."""
        tiers, lower = self.oracle.solve(point)
        self.points.append(point)
        self.lower.append(lower)
        if tiers is None:
            return False
        own = float(self.oracle.scores(tiers, point[None])[0])
        best = min((float(self.oracle.scores(t, point[None])[0]) for t in self.placements.values()), default=np.inf)
        return self.add(tiers) if own < best * (1 - _EQUAL) else False


def latency_pool(oracle: Oracle, max_solves: int) -> Pool:
    """The plans whose envelope is the optimum over the whole box, or comes close to it within `max_solves`."""
    pool = Pool(oracle)
    dimensions = len(oracle.parameters.varying)
    pool.solve(np.full(dimensions, 0.5))
    known: dict[bytes, int] = {}
    while pool.placements:
        waiting = [p for p in vertices(pool.planes()) if _key(p) not in known]
        if not waiting:
            return pool
        for point in waiting[:_PER_ROUND]:
            if oracle.solves >= max_solves:
                pool.epsilon = _unproven_gap(pool, np.array(waiting))
                return pool
            known[_key(point)] = len(pool.points)
            pool.solve(point)
    return pool


def throughput_pool(oracle: Oracle, max_solves: int) -> Pool:
    """The best plans on a grid of the box; the gap is the one on that grid."""
    pool = Pool(oracle)
    for point in grid_of(len(oracle.parameters.varying), max_solves):
        pool.solve(point)
    if pool.placements:
        points = np.array(pool.points)
        scores = np.array([oracle.scores(tiers, points) for tiers in pool.placements.values()])
        pool.epsilon = ratio(scores.min(axis=0), np.array(pool.lower))
    return pool


def grid_of(dimensions: int, most: int) -> Floats:
    """Points of the unit box, at most `most` (and at least the middle), shape (N, d); dense at high bandwidth."""
    steps = np.linspace(0.0, 1.0, _GRID.get(dimensions, 2)) ** 3
    points = np.array(list(product(steps, repeat=dimensions))).reshape(-1, dimensions)
    if len(points) > most:
        points = np.vstack((np.full((1, dimensions), 0.5), points))[:: max(len(points) // most, 1)][:most]
    return points


def edge_only(oracle: Oracle) -> Ints | None:
    """The plan that needs no link, where the first tier can run it and it fits the memory."""
    arrays = oracle.arrays
    tiers = np.zeros(arrays.layers, dtype=np.int64)
    return None if exceeded_tiers(arrays, tiers) or len(arrays.misplaced(tiers)) else tiers


def _key(point: Floats) -> bytes:
    return np.round(point, 9).tobytes() if len(point) else b"-"


def ratio(upper: Floats, lower: Floats) -> float:
    """How much `upper` is above `lower` at most, relatively; the largest number where only `lower` is 0."""
    if (upper[lower <= 0] > 0).any():
        return sys.float_info.max
    positive = lower > 0
    return float(np.max(upper[positive] / lower[positive], initial=1.0)) - 1.0


def _unproven_gap(pool: Pool, waiting: Floats) -> float:
    """The gap at vertices that nobody planned at: the optimum is concave, so known points bound it from below."""
    planes = pool.planes()
    known, lower = np.array(pool.points), np.array(pool.lower)
    upper = values(planes, waiting).min(axis=1)
    bounds = np.array([_concave_bound(known, lower, point) for point in waiting])
    return max(ratio(upper, bounds), ratio(values(planes, known).min(axis=1), lower))


def _concave_bound(known: Floats, lower: Floats, point: Floats) -> float:
    from scipy.optimize import linprog  # noqa: PLC0415 - only where the budget ends early

    weights = np.vstack((known.T, np.ones(len(known))))
    result = linprog(-lower, A_eq=weights, b_eq=np.append(point, 1.0))
    # Points that no known ones surround are bounded by the smallest optimum, since more costs more everywhere.
    return float(-result.fun) if result.status == 0 else float(lower.min())

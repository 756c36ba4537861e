"""Every placement in which data flows forwards: the reference for small graphs.

Complexity: O(Mᴸ) in the worst case, with the number of down-set chains of the graph as the exact count.
Guarantee: optimal for both objectives and all constraints; refuses graphs with more than `MAX_PLACEMENTS` placements.
"""

import numpy as np

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution

NAME = "exhaustive"
MAX_PLACEMENTS = 200_000


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - bounded by the number of placements
    """The best of all placements.

    Raises:
        ProblemError: there are more than `MAX_PLACEMENTS`.
    """
    best, best_s = None, np.inf
    for tiers in placements(arrays):
        found = objective_s(arrays, tiers)
        if found < best_s and not (arrays.limited and exceeded_tiers(arrays, tiers)):
            best, best_s = tiers, found
    if best is None:
        return infeasible(NAME, failing_constraint(arrays))
    return solution_of(arrays, best, NAME, best_s)


def placements(arrays: ProblemArrays) -> Ints:
    """All placements in which data flows forwards and privacy holds, shape (count, L)."""
    found = np.zeros((1, 0), dtype=np.int64)
    for layer in range(arrays.layers):
        values = arrays.read_value[arrays.read_layer == layer]
        inner = values[values > 0] - 1
        earliest = found[:, inner].max(axis=1) if len(inner) else np.zeros(len(found), dtype=np.int64)
        latest = 0 if arrays.forced_first[layer] else arrays.tiers - 1
        choices = [(np.flatnonzero(earliest <= tier), tier) for tier in range(latest + 1)]
        grown = [np.column_stack((found[rows], np.full(len(rows), tier))) for rows, tier in choices]
        found = np.concatenate(grown)
        if len(found) > MAX_PLACEMENTS:
            raise ProblemError(f"more than {MAX_PLACEMENTS} placements; use auto, milp or min-cut", "graph.layers")
    return found

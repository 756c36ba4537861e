"""Edge-only: the whole network on the first tier (LMOS §5.4.2)."""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution

NAME = "edge-only"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """Everything on the first tier."""
    return baseline_solution(arrays, np.zeros(arrays.layers, dtype=np.int64), NAME)

"""Cloud-only: the input travels and the whole network is on the last tier (LMOS §5.4.3; AUTO-SPLIT §5.3, CLOUD16)."""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution

NAME = "cloud-only"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """Everything on the last tier."""
    return baseline_solution(arrays, np.full(arrays.layers, arrays.tiers - 1, dtype=np.int64), NAME)

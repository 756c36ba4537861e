"""CLOUD16: the input travels, and the last tier runs the network in half precision (AUTO-SPLIT §5.3).

The paper takes 16 bits for what a network has by itself (§3.1), so the last tier's seconds are those of 16 bits.
"""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution

NAME = "cloud16"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """Everything on the last tier."""
    return baseline_solution(arrays, np.full(arrays.layers, arrays.tiers - 1, dtype=np.int64), NAME)

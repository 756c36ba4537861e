"""Random splitting: split points are drawn (LMOS §5.4.4: "a random number is generated for each trial")."""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution

NAME = "random-split"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """Split points of the execution order, drawn uniformly where privacy allows; the seed decides."""
    generator = np.random.default_rng(options.seed)
    earliest = int(np.flatnonzero(arrays.forced_first).max(initial=-1)) + 1
    points = np.sort(generator.integers(earliest, arrays.layers + 1, size=arrays.tiers - 1))
    return baseline_solution(arrays, np.searchsorted(points, np.arange(arrays.layers), side="right"), NAME)

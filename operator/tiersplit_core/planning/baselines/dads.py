"""DADS: the minimum cut of the unoptimised network between the first and the last tier.

Paper: Hu, Bao, Wang, Liu, "Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge", INFOCOM 2019, its
lightly loaded case; AUTO-SPLIT §2.2: DADS cuts the graph as it was trained, batch norms and activations as layers.
The graph is the problem's: the unoptimised one (`tiersplit import --no-optimise`) makes this DADS.
It assumes that the whole network fits the edge.
Complexity: O(V² E) worst case (Dinic).
"""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution, first_and_last, on_all_tiers

NAME = "dads"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The placement of least latency on two tiers; for throughput it is only judged by it."""
    pair = first_and_last(arrays)
    return baseline_solution(arrays, on_all_tiers(arrays, CutModel(pair).solve(pair).tiers), NAME)

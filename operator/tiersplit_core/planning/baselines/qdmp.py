"""QDMP: the minimum cut of the optimised network between the first and the last tier.

Paper: Zhang, Li, Ota et al., "Towards Real-time Cooperative Deep Inference over the Cloud and Edge End Devices", IMWUT
2020; AUTO-SPLIT §2.2: QDMP cuts the graph after batch norms are folded and activations fused.
The graph is the problem's: the optimised one (what `tiersplit import` makes) makes this QDMP.
It assumes that the whole network fits the edge.
Complexity: O(V² E) worst case (Dinic).
"""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution, first_and_last, on_all_tiers

NAME = "qdmp"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The placement of least latency on two tiers; for throughput it is only judged by it."""
    pair = first_and_last(arrays)
    return baseline_solution(arrays, on_all_tiers(arrays, CutModel(pair).solve(pair).tiers), NAME)

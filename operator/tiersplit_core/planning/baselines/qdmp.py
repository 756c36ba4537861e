"""QDMP: the minimum cut of the optimised network between the first and the last tier.

Paper: Zhang, Li, Ota et al., "Towards Real-time Cooperative Deep Inference over the Cloud and Edge End Devices", IMWUT
2020; AUTO-SPLIT §2.2: QDMP cuts the graph after batch norms are folded and activations fused.
The graph is the problem's: the optimised one (what `tiersplit import` makes) makes this QDMP.
It keeps the whole network on the edge, to divide it anew as the link changes (AUTO-SPLIT §2.2).
Complexity: O(V² E) worst case (Dinic).
"""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution, first_and_last, on_all_tiers

NAME = "qdmp"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The placement of least latency on two tiers; for throughput it is only judged by it."""
    pair = first_and_last(arrays)
    if 0 in exceeded_tiers(pair, np.zeros(pair.layers, dtype=np.int64)):
        tier = arrays.problem.tiers[0]
        whole = f"{NAME} keeps the whole network on {tier.name}, which needs more than {tier.memory_bytes} bytes"
        return infeasible(NAME, f"tiers[0].memory_bytes: {whole}; qdmp-e stores its edge part alone")
    return baseline_solution(arrays, on_all_tiers(arrays, CutModel(pair).solve(pair).tiers), NAME)

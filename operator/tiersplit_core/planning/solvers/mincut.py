"""Exact latency over M ordered tiers as one minimum cut.

Papers: Hu, Bao, Wang, Liu, "Dynamic Adaptive DNN Surgery for Inference Acceleration on the Edge" (DADS, INFOCOM 2019)
for two tiers and tensors with several readers; Ishikawa (PAMI 2003) for ordered labels; Picard (1976) for precedence.
Complexity: O(V² E) worst case (Dinic) on V = O(L M) nodes and E = O(reads · M) arcs; near-linear on networks met here.
Guarantee: optimal for latency without memory limits; a relaxed optimum that happens to fit the limits is optimal, too.
"""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.answer import solution_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution

NAME = "min-cut"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The plan of least latency.

    Raises:
        ProblemError: the objective is throughput, or a memory limit binds: other solvers answer those.
    """
    if arrays.throughput:
        raise ProblemError("min-cut minimises latency; use milp, dp, exhaustive or auto for throughput", "objective")
    answer = CutModel(arrays).solve(arrays)
    exceeded = exceeded_tiers(arrays, answer.tiers)
    if exceeded:
        raise ProblemError(
            "the minimum cut does not fit this memory; use milp, dp, exhaustive or auto",
            f"tiers[{exceeded[0]}].memory_bytes",
        )
    return solution_of(arrays, answer.tiers, NAME, answer.lower_s)

"""QDMP + mixed precision: QDMP's split first, then widths for its edge part (AUTO-SPLIT §5.4)."""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.quantised_answer import candidate_solution
from tiersplit_core.planning.autosplit.sequential import split_then_quantise
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution

NAME = "qdmp-mixed"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The minimum cut of the network as it is, and the fastest widths for its head within memory and E."""
    search, best = split_then_quantise(arrays)
    if best is None:
        return infeasible(NAME, f"with the split of qdmp: {failing_constraint(arrays)}")
    return candidate_solution(search, best, NAME, None)

"""Neurosurgeon: the best single split point between the first and the last tier.

Paper: Kang et al., "Neurosurgeon: Collaborative Intelligence Between the Cloud and Mobile Edge", ASPLOS 2017. It knows
chains alone; AUTO-SPLIT §5.3 gives it a topologically sorted network; so it is here.
Complexity: O(L²).
"""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.split_points import best_split_points
from tiersplit_core.planning.two_tiers import baseline_solution, first_and_last, on_all_tiers

NAME = "neurosurgeon"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The best split point of the execution order, judged by the problem's own objective."""
    pair = first_and_last(arrays)
    tiers = best_split_points(pair)
    if tiers is None:
        return infeasible(NAME, failing_constraint(pair))
    return baseline_solution(arrays, on_all_tiers(arrays, tiers), NAME)

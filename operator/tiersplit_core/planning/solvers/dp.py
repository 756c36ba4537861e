"""Dynamic programming over split points.

Papers: Kang et al., "Neurosurgeon", ASPLOS 2017, tries all split points of a chain between two tiers; this is the same
for M tiers, memory limits and both objectives (Bellman 1957).
Complexity: O(M L²).
Guarantee: optimal on chains; on other graphs the best division of the execution order, which is feasible.
"""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.split_points import best_split_points, is_chain

NAME = "dp"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The best split points of the execution order."""
    tiers = best_split_points(arrays)
    chain = is_chain(arrays)
    if tiers is None:
        scope = "" if chain else "along the execution order: "
        return infeasible(NAME, scope + failing_constraint(arrays))
    return solution_of(arrays, tiers, NAME, objective_s(arrays, tiers) if chain else None)

"""Mixed-integer program by HiGHS, for memory limits and throughput.

Papers: Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018 (HiGHS); rows of the working set are
added only when a placement breaks them (lazy constraints, as in Benders 1962).
Complexity: exponential in the worst case; stops at the time limit.
Guarantee: optimal where the re-evaluated plan meets the proven bound, else feasible with its gap.
"""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.widths import one_width
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.milp_search import PlanSearch
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.split_points import best_split_points

NAME = "milp"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The best plan within the time limit, with its gap."""
    deadline = options.clock() + options.time_limit_s
    search = _start(arrays)
    if not search.run(options, deadline):
        return infeasible(NAME, failing_constraint(arrays))
    if search.tiers is None:
        return infeasible(NAME, f"nothing found within {options.time_limit_s} s: {failing_constraint(arrays)}")
    return solution_of(arrays, search.tiers, NAME, min(search.lower_s, search.upper_s))


def _start(arrays: ProblemArrays) -> PlanSearch:
    """Placements along the execution order, and the bound that the minimum cut gives."""
    widths = one_width(arrays)
    search = PlanSearch(arrays, widths, widths.usable(None))
    as_they_are = np.zeros(arrays.layers, dtype=np.int64)
    along = best_split_points(arrays)
    if along is not None:
        search.offer(along, as_they_are)
    if not arrays.throughput:
        cut = CutModel(arrays).solve(arrays)
        search.lower_s = cut.lower_s
        search.offer(cut.tiers, as_they_are)
    return search

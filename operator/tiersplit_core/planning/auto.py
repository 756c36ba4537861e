"""The solver `auto`: the fastest one that can prove its answer."""

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.planning.answer import solution_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution, Status

_NAME = "min-cut"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The minimum cut for latency where it is proven and fits the memory, else the mixed-integer program."""
    if not arrays.throughput:
        cut = CutModel(arrays).solve(arrays)
        if not exceeded_tiers(arrays, cut.tiers):
            solution = solution_of(arrays, cut.tiers, _NAME, cut.lower_s)
            if solution.status is Status.OPTIMAL:
                return solution
    from tiersplit_core.planning.solvers import milp  # noqa: PLC0415 - 0.5 s that the minimum cut need not pay

    return milp.solve(arrays, options)

"""The solver `auto`: the fastest one that can prove its answer."""

from dataclasses import replace

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.planning.answer import solution_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import OPTIMAL_GAP, Solution, Status

_NAME = "min-cut"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The best plan for layers as they are, or with bit widths where the problem lists any and they are faster."""
    as_they_are = _as_they_are(arrays, options)
    if not arrays.quantised:
        return as_they_are
    from tiersplit_core.planning.autosplit import exact  # noqa: PLC0415 - most problems list no bit widths

    with_widths = exact.solve(arrays, options)
    if _seconds(with_widths) <= _seconds(as_they_are):
        return with_widths
    return _with_gap_of(as_they_are, with_widths)


def _with_gap_of(as_they_are: Solution, with_widths: Solution) -> Solution:
    """A plan for layers as they are with what is proven for all widths; its own proof leaves those aside."""
    gap = None
    if with_widths.gap is not None and as_they_are.objective_s:
        lower_s = _seconds(with_widths) * (1 - with_widths.gap)
        gap = max(1 - lower_s / as_they_are.objective_s, 0.0)
    proven = gap is not None and gap <= OPTIMAL_GAP
    status = Status.OPTIMAL if proven else Status.FEASIBLE
    return replace(as_they_are, status=status, gap=gap, distortion=0.0)


def _seconds(solution: Solution) -> float:
    return np.inf if solution.objective_s is None else solution.objective_s


def _as_they_are(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The minimum cut for latency where it is proven and fits the memory, else the mixed-integer program."""
    if not arrays.throughput:
        cut = CutModel(arrays).solve(arrays)
        if not exceeded_tiers(arrays, cut.tiers):
            solution = solution_of(arrays, cut.tiers, _NAME, cut.lower_s)
            if solution.status is Status.OPTIMAL:
                return solution
    from tiersplit_core.planning.solvers import milp  # noqa: PLC0415 - 0.5 s that the minimum cut need not pay

    return milp.solve(arrays, options)

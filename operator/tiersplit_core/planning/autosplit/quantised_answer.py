"""From a candidate to a solution: its placement and widths, re-evaluated."""

from dataclasses import replace

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.widths import MEETS, WidthArrays, at_widths, named_widths
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.autosplit.solutions import Candidate, WidthSearch
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution


def candidate_solution(search: WidthSearch, candidate: Candidate, name: str, lower_s: float | None) -> Solution:
    """The solution that a candidate is; `lower_s` as for `solution_of`."""
    return plan_solution(search.arrays, search.widths, candidate.split.tiers, candidate.choice, name, lower_s)


def plan_solution(
    arrays: ProblemArrays, widths: WidthArrays, tiers: Ints, choice: Ints, name: str, lower_s: float | None
) -> Solution:
    """The solution that a placement and widths, shape (L,) each, are; `lower_s` as for `solution_of`."""
    answer = solution_of(at_widths(arrays, widths, choice), tiers, name, lower_s)
    return _with_widths(arrays, widths, choice, answer)


def quantised_baseline(arrays: ProblemArrays, widths: WidthArrays, tiers: Ints, choice: Ints, name: str) -> Solution:
    """A baseline's placement and widths, shape (L,) each; infeasible where it breaks privacy, a memory limit or E."""
    distortion, limit = widths.total_distortion(choice), arrays.problem.max_distortion
    if limit is not None and distortion > limit * (1 + MEETS):
        return infeasible(name, f"max_distortion: {name} has {distortion:.6g}, more than {limit:.6g}")
    at = at_widths(arrays, widths, choice)
    answer = baseline_solution(at, tiers, name)
    return answer if answer.plan is None else _with_widths(arrays, widths, choice, answer)


def _with_widths(arrays: ProblemArrays, widths: WidthArrays, choice: Ints, solution: Solution) -> Solution:
    placement = solution.plan.placement if solution.plan else {}
    plan = Plan(placement, named_widths(arrays.problem.layers, choice))
    return replace(solution, plan=plan, distortion=widths.total_distortion(choice))

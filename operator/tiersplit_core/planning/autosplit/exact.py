"""The joint problem (5) exactly: the second solver, which closes the gap that the Lagrangian search leaves.

Between two tiers, with widths on the first one and no more than `MAX_HEADS` heads, splits are taken in the order of
what no widths of theirs can beat; each is solved by `exact_widths` until the next one's bound is no better than the
best plan found. All other problems are one mixed-integer program (`whole_program`): more tiers, widths and memory
limits on any of them, more heads, throughput.
Complexity: exponential in the worst case; stops at the time limit.
Guarantee: optimal, or at the time limit the best plan found with its gap; never worse than what `autosplit` finds in a
quarter of that time, nor than the first or the last tier alone at any widths that it tries.
"""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.widths import width_arrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.exact_widths import Minimised, exact_widths
from tiersplit_core.planning.autosplit.infeasible import missing_words
from tiersplit_core.planning.autosplit.joint import JointSearch, joint_search
from tiersplit_core.planning.autosplit.quantised_answer import candidate_solution, plan_solution
from tiersplit_core.planning.autosplit.solutions import Candidate, candidate
from tiersplit_core.planning.autosplit.splits import Split, latencies
from tiersplit_core.planning.autosplit.whole_program import plan_search
from tiersplit_core.planning.milp_search import PlanSearch
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import OPTIMAL_GAP, Solution

NAME = "autosplit-exact"
_SEARCH_SHARE = 0.25
"""Share of the time limit that the Lagrangian search may take."""


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The best split and widths within memory and `max_distortion`."""
    deadline = options.clock() + options.time_limit_s
    found = joint_search(arrays, options) if arrays.tiers == 2 else None
    if found is None or not found.provable:
        return _whole(arrays, options, deadline, found)
    best, lower_s = _improved(found, found.best(), options, deadline)
    if best is None:
        return infeasible(NAME, missing_words(found.search, found.splits))
    return candidate_solution(found.search, best, NAME, min(lower_s, best.objective_s))


def _whole(arrays: ProblemArrays, options: SolverOptions, deadline: float, found: JointSearch | None) -> Solution:
    """One program for placement and widths; `autosplit` looks for a plan only where that leaves a gap.

    Args:
        arrays: the problem.
        options: of the solver.
        deadline: on its clock.
        found: the Lagrangian search, where it was made already.
    """
    search = plan_search(arrays, width_arrays(arrays))
    if search.tiers is None:
        return _from_nothing(search, options, deadline, found)
    search.run(options, deadline - options.time_limit_s * _SEARCH_SHARE)
    if not search.done:
        _offered(search, options, found)
    return _answer(search, "")


def _from_nothing(search: PlanSearch, options: SolverOptions, deadline: float, found: JointSearch | None) -> Solution:
    """The same where no minimum cut gave a plan, which mostly is for want of memory."""
    found = _offered(search, options, found)
    late = search.run(options, deadline)
    words = f"nothing found within {options.time_limit_s} s: " if late else ""
    return _answer(search, words + missing_words(found.search, found.splits))


def _answer(search: PlanSearch, constraint: str) -> Solution:
    """The best plan; without one, the constraint that fails."""
    if search.tiers is None or search.choice is None:
        return infeasible(NAME, constraint)
    lower_s = min(search.lower_s, search.upper_s)
    return plan_solution(search.arrays, search.widths, search.tiers, search.choice, NAME, lower_s)


def _offered(search: PlanSearch, options: SolverOptions, found: JointSearch | None) -> JointSearch:
    """The Lagrangian search in its share of the time, its plan offered to the other one."""
    end = options.clock() + options.time_limit_s * _SEARCH_SHARE
    found = found or joint_search(search.arrays, options, lambda: options.clock() < end)
    best = found.best(lambda: options.clock() < end)
    if best is not None:
        search.offer(best.split.tiers, best.choice)
    return found


def _improved(
    found: JointSearch, best: Candidate | None, options: SolverOptions, deadline: float
) -> tuple[Candidate | None, float]:
    """The best candidate over all splits, and seconds that nothing beats."""
    lower_s = np.inf
    for bound, i in sorted((bound, i) for i, bound in enumerate(found.lower_s)):
        best_s = np.inf if best is None else best.objective_s
        if bound >= best_s * (1 - OPTIMAL_GAP / 10):
            return best, min(lower_s, max(bound, best_s * (1 - OPTIMAL_GAP / 10)))
        left = deadline - options.clock()
        if left <= 0:
            return best, min(lower_s, bound)
        better, proven_s = _solved(found, found.splits[i], left)
        lower_s = min(lower_s, proven_s)
        if better is not None and better.objective_s < best_s:
            best = better
    return best, lower_s


def _solved(found: JointSearch, split: Split, time_limit_s: float) -> tuple[Candidate | None, float]:
    """The fastest widths of a split, and seconds that none of its widths beats."""
    search = found.search
    limit = search.arrays.problem.max_distortion
    left = np.inf if limit is None else limit - search.widths.total_distortion(split.later)
    answer = exact_widths(search.widths, split, search.budget, left, Minimised.LATENCY, time_limit_s)
    if answer.choice is None:
        return None, np.inf if answer.closed else split.rest_s
    seconds = float(latencies(search.widths, split, answer.choice[None])[0])
    proven_s = seconds if answer.closed else split.rest_s + answer.lower
    return candidate(search, split, answer.choice, seconds), proven_s

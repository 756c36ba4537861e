"""The joint problem (5) exactly: the second solver, which closes the gap that the Lagrangian search leaves.

Splits are taken in the order of what no widths of theirs can beat; each is solved by `exact_widths` until the next
one's bound is no better than the best plan found.
Complexity: exponential in the worst case; stops at the time limit.
Guarantee: optimal for latency over two tiers with widths on the first one and no more than `MAX_HEADS` heads, else the
best plan found, never worse than `autosplit`'s; the status says which.
"""

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.exact_widths import Minimised, exact_widths
from tiersplit_core.planning.autosplit.infeasible import missing_words
from tiersplit_core.planning.autosplit.joint import JointSearch, joint_search
from tiersplit_core.planning.autosplit.quantised_answer import candidate_solution
from tiersplit_core.planning.autosplit.solutions import Candidate, candidate
from tiersplit_core.planning.autosplit.splits import Split, latencies
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import OPTIMAL_GAP, Solution

NAME = "autosplit-exact"


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The fastest split and widths within memory and `max_distortion`; throughput is answered as `autosplit` does."""
    deadline = options.clock() + options.time_limit_s
    found = joint_search(arrays, options)
    best, lower_s = found.best(), 0.0
    if not arrays.throughput:
        best, lower_s = _improved(found, best, options, deadline)
    if best is None:
        return infeasible(NAME, missing_words(found.search, found.splits))
    return candidate_solution(found.search, best, NAME, min(lower_s, best.objective_s) if found.provable else None)


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

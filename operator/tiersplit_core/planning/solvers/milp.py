"""Mixed-integer program by HiGHS, for memory limits and throughput.

Papers: Huangfu and Hall, "Parallelizing the dual revised simplex method", 2018 (HiGHS); rows of the working set are
added only when a placement breaks them (lazy constraints, as in Benders 1962).
Complexity: exponential in the worst case; stops at the time limit.
Guarantee: optimal where the re-evaluated plan meets the proven bound, else feasible with its gap.
"""

from dataclasses import dataclass, field

import numpy as np

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.cost.memory import exceeded_tiers, stage_live_bytes
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.milp_model import MilpModel, MilpStatus
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import NOTHING_S, OPTIMAL_GAP, Solution
from tiersplit_core.planning.split_points import best_split_points

NAME = "milp"
_SCALED_OBJECTIVE = 1e4
"""Seconds are scaled so that the objective is about this: HiGHS stops at an absolute gap of 1e-6."""
_FASTER = 1 - OPTIMAL_GAP / 20
"""Share of the best placement's seconds that a program looks below: HiGHS takes 1 - 1e-6 for a whole number, so that
it often cannot prove the best placement itself; that nothing is faster it can."""


@dataclass
class _Search:
    """The best placement so far and what is proven."""

    arrays: ProblemArrays
    tiers: Ints | None = None
    upper_s: float = np.inf
    lower_s: float = 0.0
    steps: set[tuple[int, int]] = field(default_factory=set)

    def offer(self, tiers: Ints) -> bool:
        """Whether a placement fits; the best one is kept."""
        if self.arrays.limited and exceeded_tiers(self.arrays, tiers):
            return False
        found = objective_s(self.arrays, tiers)
        if found < self.upper_s:
            self.tiers, self.upper_s = tiers, found
        return True

    @property
    def done(self) -> bool:
        return self.tiers is not None and self.upper_s - self.lower_s <= max(OPTIMAL_GAP / 10 * self.upper_s, NOTHING_S)


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The best plan within the time limit, with its gap."""
    deadline = options.clock() + options.time_limit_s
    search = _start(arrays)
    if not search.done and not _run(search, options, deadline):
        return infeasible(NAME, failing_constraint(arrays))
    if search.tiers is None:
        return infeasible(NAME, f"nothing found within {options.time_limit_s} s: {failing_constraint(arrays)}")
    return solution_of(arrays, search.tiers, NAME, min(search.lower_s, search.upper_s))


def _start(arrays: ProblemArrays) -> _Search:
    """Placements along the execution order, and the bound that the minimum cut gives."""
    search = _Search(arrays)
    along = best_split_points(arrays)
    if along is not None:
        search.offer(along)
    if not arrays.throughput:
        cut = CutModel(arrays).solve(arrays)
        search.lower_s = cut.lower_s
        search.offer(cut.tiers)
    return search


def _run(search: _Search, options: SolverOptions, deadline: float) -> bool:
    """Solve, and add the rows that the answer breaks, until nothing is broken; False where nothing can fit."""
    model = _model(search)
    while not search.done and options.clock() < deadline:
        result = model.solve(deadline - options.clock())
        if result.status is MilpStatus.INFEASIBLE:
            search.lower_s = max(search.lower_s, model.upper_s)
            return search.tiers is not None
        search.lower_s = max(search.lower_s, min(result.lower_s, model.upper_s))
        if result.tiers is None:
            break
        if not search.offer(result.tiers):
            _add_broken(search, model, result.tiers)
        elif result.status is not MilpStatus.OPTIMAL or result.columns is None:
            break
        elif search.upper_s < model.upper_s:
            model = _model(search)
        elif not model.forbid_slow(result.columns):
            break
    return True


def _model(search: _Search) -> MilpModel:
    """The program for what is faster than the best placement so far, scaled to it, with the working-set rows so far."""
    arrays = search.arrays
    reference = search.upper_s if np.isfinite(search.upper_s) else _longest_s(arrays)
    scale = _SCALED_OBJECTIVE / max(reference, NOTHING_S)
    model = MilpModel(arrays, scale, search.upper_s * _FASTER)
    for tier, layer in sorted(search.steps):
        model.add_working_set(tier, layer)
    return model


def _longest_s(arrays: ProblemArrays) -> float:
    """Seconds that no placement exceeds: every layer on its slowest tier, and every value over every link."""
    trips = 2 if arrays.way_back else 1
    link_s = arrays.used_s + np.maximum(arrays.sent_bytes, arrays.value_bytes).sum() * arrays.s_per_byte
    return float(arrays.request_s.sum() + arrays.seconds.max(axis=1).sum() + trips * link_s.sum())


def _add_broken(search: _Search, model: MilpModel, tiers: Ints) -> None:
    """Add the rows that a placement breaks; where they are there already, rounding broke them: forbid the placement."""
    arrays = search.arrays
    fresh = False
    for tier in exceeded_tiers(arrays, tiers):
        live = stage_live_bytes(arrays, tiers, tier)
        layer = int(np.flatnonzero(tiers == tier)[np.argmax(live)])
        if (tier, layer) not in search.steps:
            search.steps.add((tier, layer))
            model.add_working_set(tier, layer)
            fresh = True
    if not fresh:
        model.forbid(tiers)

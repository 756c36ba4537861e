"""The mixed-integer program asked again and again: for what is better than the best plan so far, until nothing is.

Rows of the working set are added only when a plan breaks them (lazy constraints, as in Benders 1962).
"""

from dataclasses import dataclass, field

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.cost.memory import exceeded_tiers, stage_live_bytes
from tiersplit_core.cost.widths import MEETS, WidthArrays, at_widths
from tiersplit_core.planning.milp_model import MilpModel
from tiersplit_core.planning.milp_program import MilpStatus
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import NOTHING_S, OPTIMAL_GAP

_SCALED_OBJECTIVE = 1e4
"""Seconds are scaled so that the objective is about this: HiGHS stops at an absolute gap of 1e-6."""
_FASTER = 1 - OPTIMAL_GAP / 20
"""Share of the best plan's seconds that a program looks below: HiGHS takes 1 - 1e-6 for a whole number, so that it
often cannot prove the best plan itself; that nothing is faster it can."""


@dataclass
class PlanSearch:
    """The best plan so far and what is proven.

    Attributes:
        arrays: the problem.
        widths: what its layers may run as.
        usable: which of that each tier may run, shape (L, V, M).
        tiers: tier per layer of the best plan, shape (L,); None until there is one.
        choice: its width per layer as `cost.widths` numbers them, shape (L,).
        upper_s: its seconds.
        lower_s: no plan is better.
        floors: no plan that has a layer on a tier at a width is faster, in seconds, shape (L, V, M).
    """

    arrays: ProblemArrays
    widths: WidthArrays
    usable: Bools
    tiers: Ints | None = None
    choice: Ints | None = None
    upper_s: float = np.inf
    lower_s: float = 0.0
    floors: Floats | float = 0.0
    _steps: set[tuple[int, int]] = field(default_factory=set)

    @property
    def done(self) -> bool:
        """Whether the best plan is proven."""
        return self.tiers is not None and self.upper_s - self.lower_s <= max(OPTIMAL_GAP / 10 * self.upper_s, NOTHING_S)

    def offer(self, tiers: Ints, choice: Ints) -> bool:
        """Whether a plan, shape (L,) each, keeps memory and distortion; the best one is kept."""
        at = at_widths(self.arrays, self.widths, choice)
        if self._errs(choice) or (at.limited and exceeded_tiers(at, tiers)):
            return False
        found = objective_s(at, tiers)
        if found < self.upper_s:
            self.tiers, self.choice, self.upper_s = tiers, choice, found
        return True

    def run(self, options: SolverOptions, deadline: float) -> bool:
        """Solve, and add the rows that the answer breaks, until nothing is broken; False where nothing can fit."""
        if self.done:
            return True
        model = self._model()
        while not self.done and options.clock() < deadline:
            result = model.solve(deadline - options.clock())
            if result.status is MilpStatus.INFEASIBLE:
                self.lower_s = max(self.lower_s, model.upper_s)
                return self.tiers is not None
            self.lower_s = max(self.lower_s, min(result.lower_s, model.upper_s))
            if result.tiers is None or result.choice is None:
                break
            if not self.offer(result.tiers, result.choice):
                self._add_broken(model, result.tiers, result.choice)
            elif result.status is not MilpStatus.OPTIMAL or result.columns is None:
                break
            elif self.upper_s < model.upper_s:
                model = self._model()
            elif not model.forbid_slow(result.columns):
                break
        return True

    def _errs(self, choice: Ints) -> bool:
        most = self.arrays.problem.max_distortion
        return most is not None and self.widths.total_distortion(choice) > most * (1 + MEETS)

    def _model(self) -> MilpModel:
        """The program for what is faster than the best plan so far, scaled to it, with the working-set rows so far."""
        reference = self.upper_s if np.isfinite(self.upper_s) else self._longest_s()
        scale = _SCALED_OBJECTIVE / max(reference, NOTHING_S)
        usable = self.usable & (self.floors < self.upper_s)
        model = MilpModel(self.arrays, self.widths, usable, scale, self.upper_s * _FASTER)
        for tier, layer in sorted(self._steps):
            model.add_working_set(tier, layer)
        return model

    def _longest_s(self) -> float:
        """Seconds that no plan exceeds: every layer as slow as it can be, and every value over every link."""
        arrays = self.arrays
        trips = 2 if arrays.way_back else 1
        sent_bytes = np.append(
            arrays.sent_bytes[0], np.where(self.widths.exists, self.widths.sent_bytes, 0).max(axis=1)
        )
        link_s = arrays.used_s + np.maximum(sent_bytes, arrays.value_bytes).sum() * arrays.s_per_byte
        slowest_s = np.where(self.usable, self.widths.seconds, 0.0).max(axis=(1, 2)).sum()
        return float(arrays.request_s.sum() + slowest_s + trips * link_s.sum())

    def _add_broken(self, model: MilpModel, tiers: Ints, choice: Ints) -> None:
        """Add the rows that a plan breaks; where they are there already, rounding broke them: forbid the plan."""
        if self._errs(choice):
            model.forbid_error(choice)
            return
        at, fresh = at_widths(self.arrays, self.widths, choice), False
        for tier in exceeded_tiers(at, tiers):
            live = stage_live_bytes(at, tiers, tier)
            layer = int(np.flatnonzero(tiers == tier)[np.argmax(live)])
            if (tier, layer) not in self._steps:
                self._steps.add((tier, layer))
                model.add_working_set(tier, layer)
                fresh = True
        if not fresh:
            model.forbid(tiers, choice)

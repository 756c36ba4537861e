"""Exact plans for one batch size under changing conditions, and the planes that their costs are."""

from dataclasses import dataclass, field, replace

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays, arrays_of
from tiersplit_core.cost.latency import objective_of, terms_of
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.conditions import SurfaceBox
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.look_up import PlanTerms
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.planner import solve_arrays


@dataclass(frozen=True)
class Parameters:
    """The parameters that vary, each scaled to 0..1: first links (1/bandwidth), then tiers (load).

    Attributes:
        low: value of every link's 1/bandwidth and every tier's load at 0, shape (M - 1 + M,).
        width: how much it grows up to 1, shape (M - 1 + M,).
    """

    low: Floats
    width: Floats

    @property
    def varying(self) -> Ints:
        """Positions of those that vary."""
        return np.flatnonzero(self.width > 0)

    def at(self, point: Floats) -> Floats:
        """All values at a point of the unit box, shape (d,)."""
        full = self.low.copy()
        full[self.varying] += self.width[self.varying] * point
        return full


def parameters_of(box: SurfaceBox) -> Parameters:
    """The parameters of a box whose ranges are complete."""
    inverse = [(1 / most, 1 / least) for least, most in box.bandwidth_bps]
    low, high = np.array([*inverse, *box.load], dtype=np.float64).T
    return Parameters(low, high - low)


@dataclass
class Oracle:
    """Plans one problem again and again under other conditions.

    Attributes:
        arrays: the problem as given.
        parameters: what varies.
        time_limit_s: bound for one plan.
        solves: how many plans were made.
    """

    arrays: ProblemArrays
    parameters: Parameters
    time_limit_s: float
    solves: int = 0
    _model: CutModel = field(init=False)

    def __post_init__(self) -> None:
        self._model = CutModel(self.arrays)

    def under(self, point: Floats) -> ProblemArrays:
        """The problem at a point of the unit box, shape (d,)."""
        full = self.parameters.at(point)
        links = self.arrays.tiers - 1
        return replace(self.arrays.under_loads(full[links:]), bandwidth_bps=1.0 / full[:links])

    def solve(self, point: Floats) -> tuple[Ints | None, float]:
        """The best placement (tier per layer; None where none is found) at a point, and a proven lower bound."""
        self.solves += 1
        arrays = self.under(point)
        if not arrays.throughput:
            cut = self._model.solve(arrays)
            if not exceeded_tiers(arrays, cut.tiers) and cut.gap <= 1e-9:
                return cut.tiers, cut.lower_s
        solution = solve_arrays(arrays, "milp", SolverOptions(self.time_limit_s))
        if solution.plan is None or solution.objective_s is None:
            return None, np.inf
        return arrays.tiers_of(solution.plan.placement), solution.objective_s * (1 - (solution.gap or 0.0))

    def terms(self, tiers: Ints) -> PlanTerms:
        """A placement's terms as profiled."""
        terms = terms_of(self.arrays, tiers)
        return PlanTerms(
            tuple(terms.tier_s.tolist()), tuple(terms.link_bytes.tolist()), tuple(terms.link_trips.tolist())
        )

    def plane(self, tiers: Ints) -> Floats:
        """A placement's latency as a plane over the unit box: constant and slopes, shape (d + 1,)."""
        terms = terms_of(self.arrays, tiers)
        factors = np.concatenate((8.0 * terms.link_bytes, terms.tier_s))
        constant = float(terms.link_trips @ self.arrays.latency_s + factors @ self.parameters.low)
        varying = self.parameters.varying
        return np.concatenate(([constant], factors[varying] * self.parameters.width[varying]))

    def scores(self, tiers: Ints, points: Floats) -> Floats:
        """A placement's objective at points of the unit box, shape (N,)."""
        if not self.arrays.throughput:
            plane = self.plane(tiers)
            return np.asarray(plane[0] + points @ plane[1:])
        terms, links = terms_of(self.arrays, tiers), self.arrays.tiers - 1
        loads = [self.parameters.at(point)[links:] for point in points]
        return np.array(
            [
                objective_of(
                    self.under(point),
                    replace(terms, compute_s=terms.compute_s * load, serving_s=terms.serving_s * load),
                )
                for point, load in zip(points, loads, strict=True)
            ]
        )


def oracle_of(problem: Problem, box: SurfaceBox, time_limit_s: float) -> Oracle:
    """The oracle of a problem over a box whose ranges are complete."""
    return Oracle(arrays_of(problem), parameters_of(box), time_limit_s)

"""What a solver answers: its status apart from its value."""

from dataclasses import dataclass
from enum import StrEnum

from tiersplit_core.cost.breakdown import StageCost, Transmission
from tiersplit_core.planning.plan import Plan

OPTIMAL_GAP = 1e-9
"""The largest proven relative gap that is still called optimal."""
NOTHING_S = 1e-18
"""Seconds that no clock can tell from none: plans this close to each other cost the same."""


class Status(StrEnum):
    """How good the answer is; `OPTIMAL` is a proven relative gap of at most 1e-9 on the re-evaluated plan."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True)
class Solution:
    """A solver's answer.

    Attributes:
        status: optimal, feasible or infeasible.
        solver: the solver's name.
        plan: the plan, or None where infeasible.
        objective_s: seconds of the objective, re-evaluated; None where infeasible.
        stages: per tier that has layers.
        transmissions: per link that carries bytes.
        gap: proven relative distance to the optimum; None where nothing is proven.
        constraint: why nothing is feasible, in words.
        request_s: seconds of the objective that every plan spends on its client.
        distortion: the plan's summed quantisation error; None where the solver leaves bit widths aside.
    """

    status: Status
    solver: str
    plan: Plan | None = None
    objective_s: float | None = None
    stages: tuple[StageCost, ...] = ()
    transmissions: tuple[Transmission, ...] = ()
    gap: float | None = None
    constraint: str | None = None
    request_s: float = 0.0
    distortion: float | None = None


__all__ = ["NOTHING_S", "OPTIMAL_GAP", "Solution", "StageCost", "Status", "Transmission"]

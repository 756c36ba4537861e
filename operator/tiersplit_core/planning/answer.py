"""From tier positions to a `Solution`, and from a `Solution` to the answer of design §4.1."""

from typing import Any

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.latency import breakdown
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.solution import NOTHING_S, OPTIMAL_GAP, Solution, Status, Transmission


def solution_of(arrays: ProblemArrays, tiers: Ints, solver: str, lower_s: float | None) -> Solution:
    """The solution for a placement that fits, re-evaluated.

    Args:
        arrays: the problem.
        tiers: tier per layer, shape (L,).
        solver: the solver's name.
        lower_s: no plan is better than this; None where nothing is proven. The status follows from it.
    """
    objective, stages, transmissions = breakdown(arrays, tiers)
    gap = None
    if lower_s is not None:
        missing_s = objective - lower_s
        gap = missing_s / objective if missing_s > NOTHING_S else 0.0
    status = Status.OPTIMAL if gap is not None and gap <= OPTIMAL_GAP else Status.FEASIBLE
    plan = Plan(arrays.placement_of(tiers))
    request_s = float(arrays.request_s.sum())
    return Solution(status, solver, plan, objective, stages, transmissions, gap, request_s=request_s)


def infeasible(solver: str, constraint: str) -> Solution:
    """The solution that says that no plan satisfies `constraint`."""
    return Solution(Status.INFEASIBLE, solver, constraint=constraint)


def answer_to_json(solution: Solution) -> dict[str, Any]:
    """The answer of design §4.1; `gap`, `plan`, `constraint` and the seconds of serving come on top of its fields."""
    answer: dict[str, Any] = {
        "status": solution.status.value,
        "objective_s": solution.objective_s,
        "request_s": solution.request_s,
        "solver": solution.solver,
        "gap": solution.gap,
        "plan": solution.plan.digest if solution.plan else None,
        "placement": dict(solution.plan.placement) if solution.plan else {},
        "stages": [
            {
                "tier": stage.tier,
                "layers": list(stage.layers),
                "compute_s": stage.compute_s,
                "memory_bytes": stage.memory_bytes,
            }
            for stage in solution.stages
        ],
        "transmissions": [_transmission_to_json(transmission) for transmission in solution.transmissions],
    }
    if solution.distortion is not None:
        answer["widths"] = {} if solution.plan is None else {k: list(v) for k, v in solution.plan.widths.items()}
        answer["distortion"] = solution.distortion
    if solution.constraint is not None:
        answer["constraint"] = solution.constraint
    return answer


def _transmission_to_json(transmission: Transmission) -> dict[str, Any]:
    return {
        "from": transmission.source,
        "to": transmission.target,
        "tensors": list(transmission.tensors),
        "bytes": transmission.payload_bytes,
        "seconds": transmission.seconds,
        "serving_s": transmission.serving_s,
        "way_back": transmission.way_back,
    } | ({"bits": dict(transmission.bits)} if transmission.bits else {})

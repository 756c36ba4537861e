"""Gathers everything that explains one plan: its parts, its neighbours, and where it stops being the best."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tiersplit_cli.explain.neighbours import Neighbour, neighbours_of
from tiersplit_cli.explain.splits import SplitCost, cost_of, split_costs
from tiersplit_cli.explain.sweep import PlanLine, Sweep, line_of, sweep_link, with_bandwidth
from tiersplit_core.cost.arrays import Ints, ProblemArrays, arrays_of
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Problem
from tiersplit_core.planning.solution import Solution

RANGE = 1000.0
"""Bandwidths are looked at from a thousandth to a thousand times what they are."""
_REGION_SOLVES = 9


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one plan is the best.

    Attributes:
        arrays: the problem.
        solution: the planner's answer.
        plan: the plan and its parts.
        splits: the same for every split point of the execution order.
        neighbours: the nearest other plans, and each tier alone.
        sweeps: the best plan at every bandwidth, one link at a time.
        regions: the plans that are best somewhere when the first two links change together; empty for one link.
    """

    arrays: ProblemArrays
    solution: Solution
    plan: SplitCost
    splits: tuple[SplitCost, ...]
    neighbours: tuple[Neighbour, ...]
    sweeps: tuple[Sweep, ...]
    regions: tuple[PlanLine, ...]


def explain_problem(problem: Problem, time_limit_s: float, step: Callable[[str], None] = lambda _: None) -> Explanation:
    """Explain the best plan of a problem.

    Args:
        problem: the problem.
        time_limit_s: bound for each solve that searches.
        step: told what is being computed, for a progress display.

    Raises:
        InfeasibleError: no plan satisfies the constraints.
    """
    step("the plan")
    arrays = arrays_of(problem)
    solution = solve(problem, "auto", time_limit_s)
    if solution.plan is None:
        raise InfeasibleError(solution.constraint or "no plan satisfies the constraints")
    tiers = arrays.tiers_of(solution.plan.placement)

    def best(changed: Problem) -> Ints:
        found = solve(changed, "auto", time_limit_s).plan
        return arrays.tiers_of(found.placement) if found else tiers

    sweeps = []
    for i, link in enumerate(problem.links):
        step(f"the bandwidth of {link.source}:{link.target}")
        low, high = link.bandwidth_bps / RANGE, link.bandwidth_bps * RANGE
        sweeps.append(sweep_link(problem, i, low, high, best))
    step("the split points")
    return Explanation(
        arrays=arrays,
        solution=solution,
        plan=cost_of(arrays, tiers),
        splits=split_costs(arrays),
        neighbours=neighbours_of(arrays, tiers),
        sweeps=tuple(sweeps),
        regions=_regions(problem, sweeps, best, step) if len(problem.links) > 1 else (),
    )


def _regions(
    problem: Problem, sweeps: list[Sweep], best: Callable[[Problem], Ints], step: Callable[[str], None]
) -> tuple[PlanLine, ...]:
    """Plans that are best at some pair of bandwidths of the first two links."""
    step("both bandwidths together")
    arrays = arrays_of(problem)
    pool = {interval.line.tiers: interval.line for sweep in sweeps[:2] for interval in sweep.intervals}
    factors = np.geomspace(1 / RANGE, RANGE, _REGION_SOLVES)
    for first in factors:
        changed = with_bandwidth(problem, 0, problem.links[0].bandwidth_bps * float(first))
        for second in factors:
            bandwidth = problem.links[1].bandwidth_bps * float(second)
            line = line_of(arrays, best(with_bandwidth(changed, 1, bandwidth)))
            pool.setdefault(line.tiers, line)
    return tuple(pool.values())

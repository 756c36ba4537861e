"""Gathers everything that explains one plan: its parts, its neighbours, and where it stops being the best."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from tiersplit_cli.explain.neighbours import Neighbour, neighbours_of
from tiersplit_cli.explain.splits import SplitCost, cost_of, split_costs
from tiersplit_cli.explain.sweep import PlanLine, Sweep, line_of, sweep_link, with_bandwidth
from tiersplit_core.cost.arrays import Ints, ProblemArrays, arrays_of
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.guidelines import ModelFacts, facts_of_problem
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Problem
from tiersplit_core.planning.solution import Solution, Status

RANGE = 1000.0
"""Bandwidths are looked at from a thousandth to a thousand times what they are."""
_SWEEP_LIMIT_S = 1.0
"""Bound of a solve that searches, other than the first one."""
_REGION_FACTORS = (1.0, 1e-3, 1e3, 0.03, 30.0, 0.2, 5.0, 1e-2, 1e2)
_REGION_BUDGET_S = 10.0
"""Where each solve searches, the map of two bandwidths is made of the plans that are found in this time."""


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
        facts: the model's sizes, which guidelines look at.
    """

    arrays: ProblemArrays
    solution: Solution
    plan: SplitCost
    splits: tuple[SplitCost, ...]
    neighbours: tuple[Neighbour, ...]
    sweeps: tuple[Sweep, ...]
    regions: tuple[PlanLine, ...]
    facts: ModelFacts


def explain_problem(
    problem: Problem,
    time_limit_s: float,
    step: Callable[[str], None] = lambda _: None,
    facts: ModelFacts | None = None,
) -> Explanation:
    """Explain the best plan of a problem.

    Args:
        problem: the problem.
        time_limit_s: bound for the plan's solve, where it searches.
        step: told what is being computed, for a progress display.
        facts: the model's sizes; None: those that the problem says.

    Raises:
        InfeasibleError: no plan satisfies the constraints.
    """
    step("the plan")
    arrays = arrays_of(problem)
    solution = solve(problem, "auto", time_limit_s)
    if solution.plan is None:
        raise InfeasibleError(solution.constraint or "no plan satisfies the constraints")
    tiers = arrays.tiers_of(solution.plan.placement)

    proven = [True]

    def best(changed: Problem) -> Ints:
        found = solve(changed, "auto", min(time_limit_s, _SWEEP_LIMIT_S))
        proven[0] = proven[0] and found.status is Status.OPTIMAL
        return arrays.tiers_of(found.plan.placement) if found.plan else tiers

    sweeps = []
    for i, link in enumerate(problem.links):
        step(f"the bandwidth of {link.source}:{link.target}")
        low, high = link.bandwidth_bps / RANGE, link.bandwidth_bps * RANGE
        sweep = sweep_link(problem, i, low, high, best)
        sweeps.append(replace(sweep, exact=sweep.exact and proven[0]))
    step("the split points")
    return Explanation(
        arrays=arrays,
        solution=solution,
        plan=cost_of(arrays, tiers),
        splits=split_costs(arrays),
        neighbours=neighbours_of(arrays, tiers),
        sweeps=tuple(sweeps),
        regions=_regions(problem, sweeps, best, step) if len(problem.links) > 1 else (),
        facts=facts or facts_of_problem(problem),
    )


def _regions(
    problem: Problem, sweeps: list[Sweep], best: Callable[[Problem], Ints], step: Callable[[str], None]
) -> tuple[PlanLine, ...]:
    """Plans that are best at some pair of bandwidths of the first two links."""
    step("both bandwidths together")
    arrays = arrays_of(problem)
    pool = {interval.line.tiers: interval.line for sweep in sweeps[:2] for interval in sweep.intervals}
    deadline = time.monotonic() + _REGION_BUDGET_S
    for first, second in sorted(product(range(len(_REGION_FACTORS)), repeat=2), key=sum):
        if time.monotonic() > deadline:
            break
        changed = problem
        for link, factor in enumerate((_REGION_FACTORS[first], _REGION_FACTORS[second])):
            changed = with_bandwidth(changed, link, problem.links[link].bandwidth_bps * factor)
        line = line_of(arrays, best(changed))
        pool.setdefault(line.tiers, line)
    return tuple(pool.values())

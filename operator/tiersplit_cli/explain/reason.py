"""Gathers everything that explains one plan: its parts, its neighbours, and where it stops being the best."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

from tiersplit_cli.explain.costs import Costs, choice_of
from tiersplit_cli.explain.narrow import Narrow, narrow_of
from tiersplit_cli.explain.neighbours import Neighbour, neighbours_of
from tiersplit_cli.explain.splits import SplitCost
from tiersplit_cli.explain.sweep import PlanKey, PlanLine, Sweep, line_of, sweep_link, with_bandwidth
from tiersplit_cli.planned import Given, Planned, plan_given, solve_again
from tiersplit_core.cost.arrays import ProblemArrays, arrays_of
from tiersplit_core.cost.widths import at_widths, width_arrays
from tiersplit_core.errors import InfeasibleError
from tiersplit_core.planning.guidelines import ModelFacts, facts_of_problem
from tiersplit_core.planning.plan import Plan
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
        arrays: the problem, with layers as they are.
        planned: the planner's answer.
        plan: the plan and its parts.
        choice: the variant that each layer of the plan runs, 0 where it runs as it is.
        splits: the same for every split point of the execution order.
        neighbours: the nearest other plans, and each tier alone.
        sweeps: the best plan at every bandwidth, one link at a time.
        regions: the plans that are best somewhere when the first two links change together; empty for one link.
        facts: the model's sizes, which guidelines look at.
        narrow: the plan's bit widths; None where all layers run as they are.
    """

    arrays: ProblemArrays
    planned: Planned
    plan: SplitCost
    choice: tuple[int, ...]
    splits: tuple[SplitCost, ...]
    neighbours: tuple[Neighbour, ...]
    sweeps: tuple[Sweep, ...]
    regions: tuple[PlanLine, ...]
    facts: ModelFacts
    narrow: Narrow | None

    @property
    def solution(self) -> Solution:
        """The planner's answer itself."""
        return self.planned.solution

    @property
    def key(self) -> PlanKey:
        """What tells the plan from others."""
        return self.plan.tiers, self.choice


def explain_problem(
    problem: Problem,
    time_limit_s: float,
    step: Callable[[str], None] = lambda _: None,
    facts: ModelFacts | None = None,
) -> Explanation:
    """Explain the best plan of a problem; arguments and errors as `explain_given`."""
    return explain_given(Given(problem), time_limit_s, step, facts)


def explain_given(
    given: Given, time_limit_s: float, step: Callable[[str], None] = lambda _: None, facts: ModelFacts | None = None
) -> Explanation:
    """Explain the best plan.

    Where it has bit widths, every other plan that it is compared with has those that are fastest for it, with no more
    error than was allowed.

    Args:
        given: what is planned.
        time_limit_s: bound for the plan's solve, where it searches.
        step: told what is being computed, for a progress display.
        facts: the model's sizes; None: those that the problem says.

    Raises:
        InfeasibleError: no plan satisfies the constraints.
    """
    step("the plan")
    planned = plan_given(given, time_limit_s=time_limit_s)
    solution, problem = planned.solution, planned.problem
    if solution.plan is None:
        raise InfeasibleError(solution.constraint or "no plan satisfies the constraints")
    arrays, best = arrays_of(problem), _Best(planned, solution.plan, min(time_limit_s, _SWEEP_LIMIT_S))
    sweeps = [_swept(problem, link, best, step) for link in range(len(problem.links))]
    step("the split points")
    tiers, costs = arrays.tiers_of(solution.plan.placement), Costs(arrays, solution.plan)
    return Explanation(
        arrays=arrays,
        planned=planned,
        plan=costs.of(tiers),
        choice=tuple(costs.choice(tiers).tolist()),
        splits=costs.split_points(),
        neighbours=neighbours_of(costs, tiers),
        sweeps=tuple(sweeps),
        regions=_regions(problem, sweeps, best, step) if len(problem.links) > 1 else (),
        facts=facts or facts_of_problem(problem),
        narrow=narrow_of(planned, arrays, costs.at(tiers)),
    )


class _Best:
    """Finds the best plan's line at changed bandwidths, in the way in which the plan itself was found.

    Args:
        planned: the plan.
        plan: what is taken where nothing else is found.
        time_limit_s: bound of each solve.

    Attributes:
        proven: whether all that was found is proven to be the best.
    """

    def __init__(self, planned: Planned, plan: Plan, time_limit_s: float) -> None:
        self._planned, self._plan, self._time_limit_s = planned, plan, time_limit_s
        self.proven = True

    def __call__(self, changed: Problem) -> PlanLine:
        found = solve_again(self._planned, changed, self._time_limit_s)
        self.proven = self.proven and found.status is Status.OPTIMAL
        return plan_line(changed, found.plan or self._plan)


def plan_line(problem: Problem, plan: Plan) -> PlanLine:
    """The line of a plan of a problem."""
    arrays, choice = arrays_of(problem), choice_of(problem, plan)
    at = at_widths(arrays, width_arrays(arrays), choice) if choice.any() else arrays
    return line_of(at, arrays.tiers_of(plan.placement), choice)


def _swept(problem: Problem, link: int, best: _Best, step: Callable[[str], None]) -> Sweep:
    about = problem.links[link]
    step(f"the bandwidth of {about.source}:{about.target}")
    best.proven = True
    sweep = sweep_link(problem, link, about.bandwidth_bps / RANGE, about.bandwidth_bps * RANGE, best)
    return replace(sweep, exact=sweep.exact and best.proven)


def _regions(problem: Problem, sweeps: list[Sweep], best: _Best, step: Callable[[str], None]) -> tuple[PlanLine, ...]:
    """Plans that are best at some pair of bandwidths of the first two links."""
    step("both bandwidths together")
    pool = {interval.line.key: interval.line for sweep in sweeps[:2] for interval in sweep.intervals}
    deadline = time.monotonic() + _REGION_BUDGET_S
    for first, second in sorted(product(range(len(_REGION_FACTORS)), repeat=2), key=sum):
        if time.monotonic() > deadline:
            break
        changed = problem
        for link, factor in enumerate((_REGION_FACTORS[first], _REGION_FACTORS[second])):
            changed = with_bandwidth(changed, link, problem.links[link].bandwidth_bps * factor)
        line = best(changed)
        pool.setdefault(line.key, line)
    return tuple(pool.values())

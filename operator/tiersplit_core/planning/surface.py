"""Building a surface: the planner's answer for every bandwidth, load and batch size of a box."""

from collections.abc import Mapping, Sequence

import numpy as np

from tiersplit_core.cost.arrays import Ints
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.problem import Problem
from tiersplit_core.errors import InfeasibleError, ProblemError
from tiersplit_core.planning.conditions import Conditions, SurfaceBox, checked_box
from tiersplit_core.planning.feasibility import failing_constraint
from tiersplit_core.planning.look_up import Breakpoint, PlanTerms, Surface, SurfaceEntry
from tiersplit_core.planning.oracle import oracle_of
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.pool import Pool, edge_only, latency_pool, throughput_pool
from tiersplit_core.planning.prune import loss_of, select
from tiersplit_core.planning.surface_json import surface_from_json, surface_to_json

DEFAULT_MAX_PLANS = 8
DEFAULT_MAX_SOLVES = 400
THROUGHPUT_SOLVES = 16
_SOLVE_LIMIT_S = 5.0


def build_surface(
    problems: Mapping[int, Problem],
    box: SurfaceBox,
    epsilon: float = 0.0,
    max_plans: int = DEFAULT_MAX_PLANS,
    max_solves: int = DEFAULT_MAX_SOLVES,
    keep: Sequence[Plan] = (),
) -> Surface:
    """The surface of a network.

    Args:
        problems: one per batch size, over the same layers, tiers and links.
        box: bandwidths and loads that it covers; link latencies are the problems'.
        epsilon: relative loss that may be paid for fewer plans.
        max_plans: how many plans may stay.
        max_solves: how many exact plans may be made per batch size.
        keep: plans that stay in any case, unless they break a rule of the problems; they count among `max_plans`.

    Returns:
        The surface; its `epsilon` is what is proven, pruning and an early end included. The plan that needs no link
        is always among its plans where it fits the first tier.

    Raises:
        ProblemError: the problems or the box do not belong together.
        InfeasibleError: no plan fits at some batch size.
    """
    sizes = _checked_sizes(problems, max_plans)
    first = problems[sizes[0]]
    box = checked_box(box, len(first.links), len(first.tiers))
    pools = [_pool(problems[size], box, max_solves) for size in sizes]
    kept = _kept(pools, keep)
    merged = {tiers.tobytes(): tiers for pool in pools for tiers in pool.placements.values()}
    for tiers in kept:
        merged.pop(tiers.tobytes(), None)
    candidates = [*kept, *merged.values()]
    usable = [c for c in candidates if any(_fits(pool, c) for pool in pools)]
    chosen = select(pools, usable, len(kept), epsilon, max_plans)
    return Surface(
        objective=first.objective,
        tiers=tuple(tier.name for tier in first.tiers),
        links=first.links,
        batches=sizes,
        box=box,
        entries=tuple(_entry(pools, sizes, usable[c]) for c in chosen),
        epsilon=max(loss_of(pool, usable, chosen) for pool in pools),
        scope=_scope(pools),
        solves=sum(pool.oracle.solves for pool in pools),
    )


def _checked_sizes(problems: Mapping[int, Problem], max_plans: int) -> tuple[int, ...]:
    if not problems or max_plans < 1:
        raise ProblemError("at least one batch size and one plan are needed", "problems")
    sizes = tuple(sorted(problems))
    first = problems[sizes[0]]
    for size in sizes:
        other = problems[size]
        same = (
            [layer.name for layer in other.layers] == [layer.name for layer in first.layers]
            and [tier.name for tier in other.tiers] == [tier.name for tier in first.tiers]
            and other.links == first.links
            and other.objective is first.objective
        )
        if not same:
            raise ProblemError(
                "layers, tiers, links and objective must be those of every batch size", f"problems[{size}]"
            )
    return sizes


def _pool(problem: Problem, box: SurfaceBox, max_solves: int) -> Pool:
    oracle = oracle_of(problem, box, _SOLVE_LIMIT_S)
    throughput = oracle.arrays.throughput
    pool = (
        throughput_pool(oracle, min(max_solves, THROUGHPUT_SOLVES)) if throughput else latency_pool(oracle, max_solves)
    )
    if not pool.placements:
        raise InfeasibleError(f"batch size {problem.batch}: {failing_constraint(oracle.arrays)}")
    return pool


def _kept(pools: Sequence[Pool], keep: Sequence[Plan]) -> list[Ints]:
    """Edge-only where it fits, and those of `keep` that can run, fit some batch size and keep a private input."""
    arrays, alone = pools[0].oracle.arrays, edge_only(pools[0].oracle)
    wanted = [arrays.tiers_of(plan.placement) for plan in keep]
    allowed = [
        tiers
        for tiers in wanted
        if any(_fits(pool, tiers) for pool in pools) and not np.any(tiers[arrays.forced_first])
        if not len(arrays.misplaced(tiers))
    ]
    first = [] if alone is None else [alone]
    return list({tiers.tobytes(): tiers for tiers in [*first, *allowed]}.values())


def _fits(pool: Pool, tiers: Ints) -> bool:
    return not exceeded_tiers(pool.oracle.arrays, tiers)


def _entry(pools: Sequence[Pool], sizes: Sequence[int], tiers: Ints) -> SurfaceEntry:
    terms = {size: pool.oracle.terms(tiers) for size, pool in zip(sizes, pools, strict=True) if _fits(pool, tiers)}
    plan = Plan(pools[0].oracle.arrays.placement_of(tiers))
    return SurfaceEntry(plan, terms, fallback=not np.any(tiers))


def _scope(pools: Sequence[Pool]) -> str:
    if pools[0].oracle.arrays.throughput:
        return f"at {len(pools[0].points)} grid points per batch size"
    return "everywhere in the box, at each batch size"


__all__ = [
    "Breakpoint",
    "Conditions",
    "PlanTerms",
    "Surface",
    "SurfaceBox",
    "SurfaceEntry",
    "build_surface",
    "surface_from_json",
    "surface_to_json",
]

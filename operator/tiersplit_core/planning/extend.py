"""More plans for a surface: ones that are wanted whatever they cost, such as cloud-only to compare with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays, arrays_of
from tiersplit_core.cost.latency import terms_of
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.look_up import PlanTerms, Surface, SurfaceEntry
from tiersplit_core.planning.plan import Plan


def with_plans(surface: Surface, problems: Mapping[int, Problem], plans: Sequence[Plan]) -> Surface:
    """The surface and those of `plans` that it lacks and that keep the rules of their problems.

    Args:
        surface: made by `build_surface` from the same problems.
        problems: one per batch size.
        plans: what should be deployable too; one that fits no batch size is left out.
    """
    known = {entry.plan.digest for entry in surface.entries}
    arrays = {size: arrays_of(problem) for size, problem in problems.items()}
    wanted = {plan.digest: plan for plan in plans if plan.digest not in known}
    entries = [SurfaceEntry(plan, _terms(arrays, plan)) for plan in wanted.values()]
    return replace(surface, entries=(*surface.entries, *(entry for entry in entries if entry.terms)))


def single_tier(problem: Problem, tier: str) -> Plan:
    """The plan that runs every layer on one tier."""
    return Plan({layer.name: tier for layer in problem.layers})


def _terms(arrays: Mapping[int, ProblemArrays], plan: Plan) -> dict[int, PlanTerms]:
    """The plan's terms at the batch sizes at which it keeps the rules."""
    found = {}
    for size, array in arrays.items():
        tiers = array.tiers_of(plan.placement)
        if not exceeded_tiers(array, tiers) and not np.any(tiers[array.forced_first]):
            terms = terms_of(array, tiers)
            found[size] = PlanTerms(
                tuple(terms.compute_s.tolist()), tuple(terms.link_bytes.tolist()), tuple(terms.link_trips.tolist())
            )
    return found

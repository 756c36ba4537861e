"""The fastest accurate plan at each of several bandwidths (AUTO-SPLIT, remark 4), from accuracies measured so far.

Accuracy is measured elsewhere, on what gets deployed. So the search tells which measurements it lacks, and is called
again once they are there: the same measurements always give the same answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.problem import Problem
from tiersplit_core.cost.widths import named_widths
from tiersplit_core.planning.autosplit.choice import that_matter
from tiersplit_core.planning.autosplit.joint import JointSearch, joint_search
from tiersplit_core.planning.autosplit.solutions import Candidate
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class AccuratePlans:
    """What is known about the fastest accurate plans.

    Attributes:
        chosen: plans with bit widths that are accurate enough and the fastest somewhere.
        unrated: plans whose accuracy must be measured before more can be said.
    """

    chosen: tuple[Plan, ...] = ()
    unrated: tuple[Plan, ...] = ()


def accurate_plans(
    problems: Iterable[Problem], form: RunForm, accuracies: Mapping[str, float], least: float, options: SolverOptions
) -> AccuratePlans:
    """The fastest accurate plan of each problem, if it has bit widths.

    Candidates are bisected in the order of their seconds, in which those that matter fall in distortion.

    Args:
        problems: the same layers under several conditions, with variants of one form.
        form: that form.
        accuracies: what was measured so far, by the plan's digest; plans without bit widths are accurate.
        least: the accuracy that must be reached.
        options: as for any solver.
    """
    chosen: dict[str, Plan] = {}
    unrated: dict[str, Plan] = {}
    for problem in problems:
        found = joint_search(arrays_of(problem), options)
        plans = [plan_of(found, candidate, form) for candidate in that_matter(found.candidates)]
        rated, plan = _bisected(plans, accuracies, least)
        if plan is not None and plan.widths:
            (chosen if rated else unrated)[plan.digest] = plan
    return AccuratePlans(tuple(chosen.values()), tuple(unrated.values()))


def plan_of(found: JointSearch, candidate: Candidate, form: RunForm) -> Plan:
    """The plan that a candidate is."""
    arrays = found.search.arrays
    return Plan(arrays.placement_of(candidate.split.tiers), named_widths(arrays.problem.layers, candidate.choice), form)


def _bisected(plans: Sequence[Plan], accuracies: Mapping[str, float], least: float) -> tuple[bool, Plan | None]:
    """(True, the fastest accurate plan or None), or (False, the plan whose accuracy is asked for)."""
    low, high = 0, len(plans)
    while low < high:
        middle = (low + high) // 2
        plan = plans[middle]
        if plan.widths and plan.digest not in accuracies:
            return False, plan
        accurate = not plan.widths or accuracies[plan.digest] >= least - _ROUNDING
        low, high = (low, middle) if accurate else (middle + 1, high)
    return True, plans[high] if high < len(plans) else None

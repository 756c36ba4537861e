"""The fastest accurate plan at each of several bandwidths (AUTO-SPLIT, remark 4), from accuracies measured so far.

Accuracy is measured elsewhere, on what gets deployed. So the search tells which measurements it lacks, and is called
again once they are there: the same measurements always give the same answer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.autosplit.joint import NAME, joint_search
from tiersplit_core.planning.autosplit.ladder import (
    MOST_AT_ONCE,
    Ladder,
    ladder_of,
    next_to_measure,
    open_range,
    verdicts,
)
from tiersplit_core.planning.autosplit.quantised_answer import candidate_solution
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.solution import Solution
from tiersplit_core.quantization.forms import RunForm


@dataclass(frozen=True, slots=True)
class AccuratePlans:
    """What is known about the fastest accurate plans.

    Attributes:
        chosen: plans with bit widths that are accurate enough and the fastest somewhere.
        unrated: plans whose accuracy must be measured before more can be said.
    """

    chosen: tuple[Plan, ...] = ()
    unrated: tuple[Plan, ...] = ()


@dataclass(frozen=True, slots=True)
class FastestRated:
    """The fastest plan with bit widths that is known to be accurate.

    Attributes:
        solution: that plan; None where none is, or layers as they are cost no more.
        unrated: how many plans with bit widths may be faster, but were not measured.
    """

    solution: Solution | None
    unrated: int


def accurate_plans(
    problems: Iterable[Problem], form: RunForm, accuracies: Mapping[str, float], least: float, options: SolverOptions
) -> AccuratePlans:
    """The fastest accurate plan of each problem, if it has bit widths.

    Args:
        problems: the same layers under several conditions, with variants of one form.
        form: that form.
        accuracies: what was measured so far, by the plan's digest; plans without bit widths are accurate.
        least: the accuracy that must be reached.
        options: as for any solver.
    """
    return decided([ladder_of(joint_search(arrays_of(p), options), form) for p in problems], accuracies, least)


def decided(ladders: Iterable[Ladder], accuracies: Mapping[str, float], least: float) -> AccuratePlans:
    """The fastest accurate plan of each ladder, as far as measurements allow; arguments as `accurate_plans`.

    What is chosen was measured itself: a plan that computes the same as a measured one is still asked for, as its own
    answers are what its stages are checked against.
    """
    ladders = list(ladders)
    known = verdicts(ladders, accuracies, least)
    fastest = {}
    for ladder in ladders:
        opened = open_range(ladder, known)
        if not opened and opened.stop < len(ladder):
            plan = ladder[opened.stop].plan
            fastest[plan.digest] = plan
    narrow = [plan for plan in fastest.values() if plan.widths]
    chosen = tuple(plan for plan in narrow if plan.digest in accuracies)
    lacking = (plan for plan in narrow if plan.digest not in accuracies)
    return AccuratePlans(chosen, (*lacking, *next_to_measure(ladders, known))[:MOST_AT_ONCE])


def fastest_rated(
    problem: Problem, form: RunForm, accuracies: Mapping[str, float], least: float, options: SolverOptions
) -> FastestRated:
    """What is known of one problem without measuring anything; arguments as `accurate_plans`."""
    found = joint_search(arrays_of(problem), options)
    ladder = ladder_of(found, form)
    opened = open_range(ladder, verdicts([ladder], accuracies, least))
    best = next(iter(found.that_matter[opened.stop :]), None)
    if best is None or not best.choice.any():
        return FastestRated(None, len(opened))
    solution = candidate_solution(found.search, best, NAME, None)
    return FastestRated(replace(solution, plan=found.plan_of(best, form)), len(opened))

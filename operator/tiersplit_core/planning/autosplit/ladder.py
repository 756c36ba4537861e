"""Candidates of one condition in the order of their seconds, and which of them to measure next.

Accuracy falls as distortion rises, which is what equation (4) of AUTO-SPLIT stands for. So of candidates that all
matter, those behind an accurate one need no measurement, nor do those before an inaccurate one. Measuring goes in
rounds, and a round takes long however little is measured in it. So each names several candidates, spread over what is
open in all ladders together: the same distortion is believed to cost the same accuracy in each. That belief decides
what is measured, never what is chosen: the chosen one was measured to be accurate, and the one before it not to be.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.autosplit.joint import JointSearch
from tiersplit_core.planning.autosplit.solutions import Candidate
from tiersplit_core.planning.plan import Plan
from tiersplit_core.quantization.forms import RunForm

MOST_SPREAD = 12
"""Computations that one round spreads over the ladders: with these, 168 distinct ones are decided in two rounds."""
MOST_AT_ONCE = 24
"""Plans that one round names: each is cut, and runs the model once per sample."""
_ROUNDING = 1e-9

Computation = tuple[frozenset[tuple[str, tuple[int, int]]], frozenset[tuple[str, str]]]
"""What decides a plan's accuracy: the widths of its layers, and which of them read values that a link made narrower."""
Verdicts = Mapping[Computation, bool]
"""Whether a computation is accurate enough, where that is known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One candidate of a ladder.

    Attributes:
        plan: the candidate.
        distortion: its summed quantisation error.
        computation: what it computes; plans of equal computations are equally accurate.
    """

    plan: Plan
    distortion: float
    computation: Computation


Ladder = tuple[Step, ...]
"""The candidates of one condition that matter, fastest first: each has less distortion than all before it."""


def ladder_of(found: JointSearch, form: RunForm) -> Ladder:
    """The ladder of a search whose layers have variants in one form."""
    problem = found.search.arrays.problem
    return tuple(_step(problem, found.plan_of(candidate, form), candidate) for candidate in found.that_matter)


def _step(problem: Problem, plan: Plan, candidate: Candidate) -> Step:
    return Step(plan, candidate.distortion, computation_of(problem, plan))


def computation_of(problem: Problem, plan: Plan) -> Computation:
    """What a plan computes: where layers run matters no more than that narrow values are rounded on links."""
    place = plan.placement
    rounded = (
        (value, layer.name)
        for layer in problem.layers
        for value in layer.inputs
        if value in plan.widths and plan.sent_bits(value) is not None and place[value] != place[layer.name]
    )
    return frozenset(plan.widths.items()), frozenset(rounded)


def verdicts(ladders: Iterable[Ladder], accuracies: Mapping[str, float], least: float) -> dict[Computation, bool]:
    """What is known of the ladders' candidates.

    Args:
        ladders: the candidates; those without bit widths compute what the model computes, and are accurate.
        accuracies: what was measured so far, by the plan's digest.
        least: the accuracy that must be reached.
    """
    found = {}
    for step in (step for ladder in ladders for step in ladder):
        if not step.plan.widths:
            found[step.computation] = True
        elif step.plan.digest in accuracies:
            found[step.computation] = accuracies[step.plan.digest] >= least - _ROUNDING
    return found


def open_range(ladder: Ladder, known: Verdicts) -> range:
    """Where the fastest accurate candidate may be: before the first that is known to be accurate, behind all others.

    The range ends at that first one (or the ladder's end); where it is empty, that one is the fastest accurate one.
    """
    said = [known.get(step.computation) for step in ladder]
    end = next((i for i, accurate in enumerate(said) if accurate), len(ladder))
    return range(max((i + 1 for i in range(end) if said[i] is False), default=0), end)


def next_to_measure(ladders: Sequence[Ladder], known: Verdicts) -> tuple[Plan, ...]:
    """Plans to measure in the next round, at most `MOST_AT_ONCE`; none where no ladder is open.

    Where accuracy falls with distortion over all ladders together, two rounds decide all of them, as long as they have
    no more than 168 distinct computations.
    """
    ranges = [open_range(ladder, known) for ladder in ladders]
    believed = _believed(ladders, known)
    chosen = _spread(ladders, ranges, believed)
    for ladder, opened in zip(ladders, ranges, strict=True):
        chosen |= _edges(ladder, opened, believed)
        if opened and not any(ladder[i].computation in chosen for i in opened):
            chosen[ladder[opened[len(opened) // 2]].computation] = None
    return tuple(_plans(ladders, ranges, chosen))[:MOST_AT_ONCE]


def _believed(ladders: Sequence[Ladder], known: Verdicts) -> tuple[float, float]:
    """The distortion up to which candidates are believed to be accurate, and from which on they are not.

    Where measurements contradict each other, nothing is believed of what lies between them.
    """
    steps = [step for ladder in ladders for step in ladder if step.computation in known]
    accurate = max((step.distortion for step in steps if known[step.computation]), default=-inf)
    inaccurate = min((step.distortion for step in steps if not known[step.computation]), default=inf)
    return min(accurate, inaccurate), max(accurate, inaccurate)


def _spread(
    ladders: Sequence[Ladder], ranges: Sequence[range], believed: tuple[float, float]
) -> dict[Computation, None]:
    """Of the open computations of which nothing is believed, as many as leave no more than that for a second round."""
    every = {step.computation for ladder in ladders for step in ladder}
    most = min(MOST_SPREAD, ceil(sqrt(len(every) + 1)) - 1)
    opened = (ladder[i] for ladder, where in zip(ladders, ranges, strict=True) for i in where)
    doubtful = {step.computation: step.distortion for step in opened if believed[0] < step.distortion < believed[1]}
    ordered = sorted(doubtful, key=lambda computation: doubtful[computation])
    if len(ordered) <= most:
        return dict.fromkeys(ordered)
    return dict.fromkeys(ordered[(k + 1) * (len(ordered) + 1) // (most + 1) - 1] for k in range(most))


def _edges(ladder: Ladder, opened: range, believed: tuple[float, float]) -> dict[Computation, None]:
    """The first open candidate that is believed to be accurate, and the last that is believed not to be."""
    accurate = [i for i in opened if ladder[i].distortion <= believed[0]]
    inaccurate = [i for i in opened if ladder[i].distortion >= believed[1]]
    return dict.fromkeys(ladder[i].computation for i in (*accurate[:1], *inaccurate[-1:]))


def _plans(ladders: Sequence[Ladder], ranges: Sequence[range], chosen: Iterable[Computation]) -> Iterator[Plan]:
    """A plan of each computation, then others of the same, which take no run of the model beyond its own."""
    plans: dict[Computation, dict[str, Plan]] = {computation: {} for computation in chosen}
    for ladder, opened in zip(ladders, ranges, strict=True):
        for step in (ladder[i] for i in opened):
            if step.computation in plans:
                plans[step.computation][step.plan.digest] = step.plan
    ranked = [(i, plan) for same in plans.values() for i, plan in enumerate(same.values())]
    return (plan for _, plan in sorted(ranked, key=lambda entry: entry[0]))

"""What a command line asks to plan, and the planner's answer with what is known of its accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Any

from tiersplit_core.cost.problem import Problem
from tiersplit_core.planning.answer import answer_to_json
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.planner import DEFAULT_TIME_LIMIT_S, solve
from tiersplit_core.planning.solution import Solution, Status
from tiersplit_core.quantization.forms import RunForm

if TYPE_CHECKING:
    from tiersplit_bundle.accuracies import Accuracies

AUTO, _SEARCH = "auto", "autosplit"


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be planned.

    Attributes:
        problem: a document's; of a bundle, with layers as they are.
        forms: of a calibrated bundle, the same with variants, per form in which the first tier was measured.
        accuracies: what was measured of the bundle's model and plans; None where nothing was, or error decides.
        max_drop: the accuracy that plans with bit widths may lose, as a fraction.
        max_distortion: the error that they may add instead (AUTO-SPLIT, equation 4); None: the solver's own limit.
    """

    problem: Problem
    forms: Mapping[RunForm, Problem] = field(default_factory=dict)
    accuracies: "Accuracies | None" = None
    max_drop: float = 0.0
    max_distortion: float | None = None

    @property
    def decided_by_accuracy(self) -> bool:
        """Whether measured accuracies decide which bit widths a plan may have, not their error."""
        return bool(self.forms) and self.accuracies is not None and self.max_distortion is None


@dataclass(frozen=True, slots=True)
class Planned:
    """A planner's answer.

    Attributes:
        problem: what it answers: with variants, and the error that it allows, where the plan has bit widths.
        solution: the answer.
        given: what was asked.
        form: how quantised layers run; None where there are none, or nothing says it.
        unrated: how many plans with bit widths may be faster, but were not measured.
    """

    problem: Problem
    solution: Solution
    given: Given
    form: RunForm | None = None
    unrated: int = 0

    @property
    def accuracy(self) -> float | None:
        """What the metric says of the plan; one that runs layers as they are has the model's own accuracy."""
        known, plan = self.given.accuracies, self.solution.plan
        if known is None or plan is None:
            return None
        return known.plans.get(plan.digest) if plan.widths else known.whole


def plan_given(given: Given, solver: str = AUTO, time_limit_s: float = DEFAULT_TIME_LIMIT_S, seed: int = 0) -> Planned:
    """Plan with a solver or baseline.

    Where plans of the bundle were rated, `auto` finds the fastest that is known to be accurate enough. Else it allows
    plans as much error as all layers at their widest bits have together. Other solvers know no limit but a given one.

    Raises:
        ProblemError: there is no such solver, or it does not answer this kind of problem.
    """
    if not given.forms:
        return Planned(given.problem, solve(given.problem, solver, time_limit_s, seed), given)
    if solver == AUTO and given.accuracies is not None and given.decided_by_accuracy:
        return _by_accuracy(given, given.accuracies, SolverOptions(time_limit_s, seed))
    found = [_in_form(given, form, solver, SolverOptions(time_limit_s, seed)) for form in given.forms]
    return _fastest(found)


def _fastest(every: Sequence[Planned]) -> Planned:
    return min(every, key=lambda planned: _seconds(planned.solution))


def _seconds(solution: Solution) -> float:
    return inf if solution.objective_s is None else solution.objective_s


def _in_form(given: Given, form: RunForm, solver: str, options: SolverOptions) -> Planned:
    problem, limit = given.forms[form], given.max_distortion
    if limit is None and solver == AUTO:
        limit = _least_error(problem)
    problem = replace(problem, max_distortion=limit)
    return _planned(given, problem, solve(problem, solver, options.time_limit_s, options.seed), form)


def _least_error(problem: Problem) -> float:
    """The error of all layers together, each at the variant that errs least."""
    return sum(min(variant.distortion for variant in layer.variants) for layer in problem.layers if layer.variants)


def _planned(given: Given, problem: Problem, solution: Solution, form: RunForm, unrated: int = 0) -> Planned:
    if solution.plan is None or not solution.plan.widths:
        return Planned(problem, solution, given, None, unrated)
    return Planned(problem, replace(solution, plan=replace(solution.plan, form=form)), given, form, unrated)


def _by_accuracy(given: Given, known: "Accuracies", options: SolverOptions) -> Planned:
    """The fastest plan that is known to be accurate; other plans are compared with it at no more error than it has."""
    from tiersplit_core.planning.autosplit.accurate import fastest_rated  # noqa: PLC0415 - most problems list no widths

    least = known.whole - given.max_drop
    rated = {form: fastest_rated(p, form, known.plans, least, options) for form, p in given.forms.items()}
    unrated = sum(found.unrated for found in rated.values())
    as_it_is = solve(given.problem, AUTO, options.time_limit_s, options.seed)
    if as_it_is.plan is not None:
        # That nothing is faster was proven for layers as they are alone.
        as_it_is = replace(as_it_is, status=Status.FEASIBLE, gap=None, distortion=0.0)
    every = [Planned(given.problem, as_it_is, given, None, unrated)]
    for form, found in rated.items():
        if found.solution is not None:
            problem = replace(given.forms[form], max_distortion=found.solution.distortion)
            every.append(_planned(given, problem, found.solution, form, unrated))
    return _fastest(every)


def solve_again(planned: Planned, changed: Problem, time_limit_s: float) -> Solution:
    """The best plan under other conditions, found as a plan was, with no more error than that was allowed.

    Args:
        planned: how it was found; its solver is `auto`.
        changed: its problem under other conditions.
        time_limit_s: bound of the search.
    """
    if planned.form is None or not planned.given.decided_by_accuracy:
        return solve(changed, AUTO, time_limit_s)
    bare = replace(changed, layers=tuple(replace(layer, variants=()) for layer in changed.layers))
    every = (solve(changed, _SEARCH, time_limit_s), solve(bare, AUTO, time_limit_s))
    best = min(every, key=_seconds)
    return replace(best, status=Status.FEASIBLE) if best.plan is not None else best


def planned_to_json(planned: Planned) -> dict[str, Any]:
    """The answer of design §4.1; beside it the plan's run form, and what is known of accuracy."""
    answer, known = answer_to_json(planned.solution), planned.given.accuracies
    if planned.form is not None:
        answer["form"] = planned.form.value
    if known is not None:
        said = {"metric": known.metric, "plan": planned.accuracy, "model": known.whole}
        answer["accuracy"] = said | {"max_drop": planned.given.max_drop, "unrated": planned.unrated}
    return answer

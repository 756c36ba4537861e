"""The joint search for a split and the first tier's bit widths: AUTO-SPLIT as a solver.

Paper: Banitalebi-Dehkordi, Vedula, Pei, Xia, Wang, Zhang, "Auto-Split: A General Framework of Collaborative Edge-Cloud
AI", KDD 2021, §4. It gives one of two tiers bit widths; here later tiers follow as `continuations` says.
Complexity: O(H · |B|² · L · working set) for H heads.
Guarantee: never slower than the last tier alone or the first tier alone at any widths that it tries, where they are
allowed (remark 5). For latency the gap to the optimum is reported: where all heads of two tiers were looked at against
their bounds, else against minimum cuts with a price on distortion (`relaxed`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tiersplit_core.cost.arrays import Bools, ProblemArrays
from tiersplit_core.cost.widths import at_widths, named_widths, width_arrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.bounds import latency_bounds
from tiersplit_core.planning.autosplit.choice import Accuracies, bisected, that_matter, within_distortion
from tiersplit_core.planning.autosplit.continuations import later_widths, splits_behind
from tiersplit_core.planning.autosplit.infeasible import missing_words
from tiersplit_core.planning.autosplit.potential_splits import (
    all_heads,
    cut_heads,
    heads_in_order,
    sends_no_more_than_input,
    useless_first,
)
from tiersplit_core.planning.autosplit.quantised_answer import candidate_solution
from tiersplit_core.planning.autosplit.relaxed import relaxed_s
from tiersplit_core.planning.autosplit.solutions import (
    Candidate,
    WidthSearch,
    potential_solutions,
    width_search,
)
from tiersplit_core.planning.autosplit.splits import Split, least_memory
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import first_and_last
from tiersplit_core.quantization.forms import RunForm

NAME = "autosplit"


def _always() -> bool:
    return True


@dataclass(frozen=True)
class JointSearch:
    """Everything that is looked at for one problem.

    Attributes:
        search: problems (8) and (9).
        splits: every head that keeps what must be on the first tier, with what later tiers do.
        potential: which of them satisfy (6), shape (S,).
        provable: whether the splits are all there are, so that a bound over them is one of the problem.
    """

    search: WidthSearch
    splits: tuple[Split, ...]
    potential: Bools
    provable: bool

    @cached_property
    def lower_s(self) -> tuple[float, ...]:
        """Seconds that no widths of each split can beat."""
        bounds = latency_bounds(self.search.arrays, self.search.widths)
        return tuple(bounds.of(split) for split in self.splits)

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The list S of Algorithm 1, without splits that cannot be faster than an element of S without any error."""
        found: list[Candidate] = []
        exact_s = np.inf
        for bound, split in self._ordered():
            if bound >= exact_s:
                break
            here = list(potential_solutions(self.search, [split]))
            found += here
            exact_s = min([exact_s, *(candidate.objective_s for candidate in here if candidate.distortion == 0)])
        return tuple(found)

    @cached_property
    def that_matter(self) -> tuple[Candidate, ...]:
        """The candidates, fastest first, without those that are no faster than one of less distortion."""
        return tuple(that_matter(self.candidates))

    def best(self, in_time: Callable[[], bool] = _always) -> Candidate | None:
        """The fastest element of S that satisfies equation (4); None where none does.

        Splits are looked at no further than one can still be better; once time is over, only those on one tier.
        """
        best = None
        for bound, split in self._ordered():
            if best is not None and bound >= best.objective_s:
                break
            if not (in_time() or (split.tiers == split.tiers[0]).all()):
                continue
            found = [*potential_solutions(self.search, [split]), *([] if best is None else [best])]
            best = next(iter(within_distortion(found, self.search.arrays.problem.max_distortion)), None)
        return best

    def proven_s(self, best: Candidate) -> float | None:
        """Seconds that no plan beats, where the best candidate is given; None where nothing is known."""
        if self.search.arrays.throughput:
            return None
        bounds = self.lower_s if self.provable else (relaxed_s(self.search.arrays, self.search.widths),)
        return min(*bounds, best.objective_s)

    def plan_of(self, candidate: Candidate, form: RunForm = RunForm.INT8) -> Plan:
        """The plan that a candidate is, its quantised layers in a form."""
        arrays = self.search.arrays
        return Plan(
            arrays.placement_of(candidate.split.tiers), named_widths(arrays.problem.layers, candidate.choice), form
        )

    def _ordered(self) -> Iterator[tuple[float, Split]]:
        """The potential splits in the order of their bounds, which are 0 where they hold for latency alone."""
        bounds = np.zeros(len(self.splits)) if self.search.arrays.throughput else np.array(self.lower_s)
        return ((bounds[i], self.splits[i]) for i in np.argsort(bounds, kind="stable").tolist() if self.potential[i])


def joint_search(arrays: ProblemArrays, options: SolverOptions, in_time: Callable[[], bool] = _always) -> JointSearch:
    """The splits of a problem and the search over their widths.

    Args:
        arrays: the problem.
        options: as for any solver.
        in_time: whether the rest may be placed behind more heads, which takes long over more than two tiers; the
            smallest and the largest head are there in any case.
    """
    widths = width_arrays(arrays)
    search = width_search(arrays, widths)
    every = all_heads(arrays, widths.able & ~useless_first(arrays, widths))
    heads = _fewer_heads(search) if every is None else every
    splits, of_head = [], []
    for i, head in enumerate(heads):
        if 0 < i < len(heads) - 1 and arrays.tiers > 2 and not in_time():
            continue
        behind = list(splits_behind(arrays, widths, head, options))
        splits += behind
        of_head += [i] * len(behind)
    small = np.array([least_memory(widths, split) <= search.budget for split in splits], dtype=bool)
    potential = sends_no_more_than_input(arrays, widths, heads)[np.array(of_head, dtype=np.int64)] & small
    two_tiers = arrays.tiers == 2 and len(later_widths(arrays, widths)) == 1
    provable = every is not None and two_tiers and not arrays.throughput
    return JointSearch(search, tuple(splits), potential, provable)


def _fewer_heads(search: WidthSearch) -> Bools:
    """The heads along the execution order and those of minimum cuts at uniform and at searched widths."""
    arrays, widths = search.arrays, search.widths
    bits = np.unique(widths.activation_bits[widths.activation_bits > 0]).tolist()
    networks = (first_and_last(at_widths(arrays, widths, choice)) for choice in search.whole_network)
    searched = [CutModel(network).solve(network).tiers == 0 for network in networks]
    heads = np.concatenate((heads_in_order(arrays), cut_heads(arrays, widths, bits), searched))
    return np.unique(heads[~heads[:, ~widths.able].any(axis=1)], axis=0)


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:
    """The fastest potential solution within the first tier's memory and the problem's `max_distortion`."""
    end = options.clock() + options.time_limit_s
    found = joint_search(arrays, options, lambda: options.clock() < end)
    best = found.best(lambda: options.clock() < end)
    if best is None:
        return infeasible(NAME, missing_words(found.search, found.splits))
    return candidate_solution(found.search, best, NAME, found.proven_s(best))


def solve_accurately(
    arrays: ProblemArrays, options: SolverOptions, accuracy: Callable[[Plan], float], least: float
) -> Solution:
    """The fastest potential solution that is measured to be accurate enough (remark 4).

    Args:
        arrays: the problem; its `max_distortion` is left aside.
        options: as for any solver.
        accuracy: measures a plan's accuracy, larger is better; called for few plans, for each one once.
        least: the accuracy that must be reached.
    """
    found = joint_search(replace(arrays, problem=replace(arrays.problem, max_distortion=None)), options)
    accuracies = Accuracies(lambda candidate: accuracy(found.plan_of(candidate)))
    best = bisected(found.candidates, accuracies, least)
    if best is None:
        tried = f"accuracy: none of {accuracies.measured} measured plans reaches {least:.6g}"
        return infeasible(NAME, tried if found.candidates else missing_words(found.search, found.splits))
    return candidate_solution(found.search, best, NAME, None)

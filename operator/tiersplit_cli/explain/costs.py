"""What placements cost, each with the bit widths that make it fastest."""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from tiersplit_cli.explain.splits import SplitCost, continuations, cost_of, tiers_from
from tiersplit_core.cost.arrays import Bools, Ints, ProblemArrays
from tiersplit_core.cost.problem import Problem
from tiersplit_core.cost.widths import at_widths, width_arrays
from tiersplit_core.planning.autosplit.choice import within_distortion
from tiersplit_core.planning.autosplit.continuations import splits_behind
from tiersplit_core.planning.autosplit.solutions import Candidate, WidthSearch, potential_solutions, width_search
from tiersplit_core.planning.autosplit.splits import Split, split_of
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan


class Costs:
    """Costs of a problem's placements.

    Where layers list variants, each placement has those widths that are fastest within the first tier's memory and the
    problem's `max_distortion`; layers as they are where none fit.

    Args:
        arrays: the problem.
        plan: a plan whose own widths its placement keeps.

    Attributes:
        arrays: the problem.
    """

    def __init__(self, arrays: ProblemArrays, plan: Plan | None = None) -> None:
        self.arrays = arrays
        self._choices: dict[bytes, Ints] = {}
        if plan is not None:
            self._choices[_key(arrays.tiers_of(plan.placement))] = choice_of(arrays.problem, plan)

    def choice(self, tiers: Ints) -> Ints:
        """The variant of each layer (0: as it is) in a placement given as a tier per layer, shape (L,) both."""
        if not self.arrays.quantised:
            return np.zeros(self.arrays.layers, dtype=np.int64)
        key = _key(tiers)
        if key not in self._choices:
            best = self._fastest([split_of(self.arrays, self._search.widths, tiers)])
            self._choices[key] = np.zeros(self.arrays.layers, dtype=np.int64) if best is None else best.choice
        return self._choices[key]

    def at(self, tiers: Ints) -> ProblemArrays:
        """The problem at the widths that a placement has."""
        if not self.arrays.quantised:
            return self.arrays
        return at_widths(self.arrays, self._search.widths, self.choice(tiers))

    def of(self, tiers: Ints, position: int | None = None) -> SplitCost:
        """What a placement costs; `position` as `cost_of` has it."""
        return cost_of(self.at(tiers), tiers, position)

    def split_points(self) -> tuple[SplitCost, ...]:
        """For each k = 0 … L: the first k layers on the first tier, the rest divided as well as split points can."""
        then = continuations(self.arrays)
        return tuple(self.of(self._behind(tiers_from(self.arrays, then, k)), k) for k in range(self.arrays.layers + 1))

    def _behind(self, tiers: Ints) -> Ints:
        """The best placement with the same head: bit widths may make another division of the rest better."""
        if not self.arrays.quantised:
            return tiers
        widths, head = self._search.widths, np.asarray(tiers == 0)
        if head[~widths.able].any():
            return tiers
        splits = [split_of(self.arrays, widths, tiers), *self._others_behind(head)]
        best = self._fastest(splits)
        if best is None:
            return tiers
        self._choices.setdefault(_key(best.split.tiers), best.choice)
        return best.split.tiers

    def _others_behind(self, head: Bools) -> Iterable[Split]:
        return splits_behind(self.arrays, self._search.widths, head, SolverOptions())

    def _fastest(self, splits: Iterable[Split]) -> Candidate | None:
        limit = self.arrays.problem.max_distortion
        return next(iter(within_distortion(potential_solutions(self._search, splits), limit)), None)

    @cached_property
    def _search(self) -> WidthSearch:
        return width_search(self.arrays, width_arrays(self.arrays))


def choice_of(problem: Problem, plan: Plan) -> Ints:
    """The variant of each layer that a plan runs, 0 for those that it runs as they are, shape (L,)."""
    found = np.zeros(len(problem.layers), dtype=np.int64)
    for i, layer in enumerate(problem.layers):
        pairs = [(variant.weight_bits, variant.activation_bits) for variant in layer.variants]
        if layer.name in plan.widths:
            found[i] = pairs.index(plan.widths[layer.name]) + 1
    return found


def _key(tiers: Ints) -> bytes:
    return np.asarray(tiers, dtype=np.int64).tobytes()

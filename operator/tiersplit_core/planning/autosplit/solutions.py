"""The list of potential solutions: Algorithm 1 of AUTO-SPLIT.

For each split n, each weight budget M_k^wgt solves (8), each activation budget M_k^act solves (9), and the pairs that
satisfy (5b) are kept. The algorithm as printed computes the budgets before its loop over n, where n has no value; here
they belong to each split: M_k^wgt = Σ_{i<=n} s_i^w B[k] and M_k^act the working set of the split at B[k] throughout.

Additions make the list at least as good as simpler searches under the same budget: what an activation budget leaves of
M is a weight budget, too; uniform widths are candidates of every split; so are the widths that the whole network was
given when it was quantised before it was split; and so are those that trade latency against distortion, the Lagrangian
of equations (1) and (4): with many multipliers, for (8) and (9) leave the seconds of widths aside.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.cost.widths import WidthArrays, at_widths, uniform_choice
from tiersplit_core.planning.autosplit.bit_widths import Axis, activation_axis, assign, held_sum, weight_axis
from tiersplit_core.planning.autosplit.splits import Split, distortions, latencies, memories, split_of

UNLIMITED = 2**62
_MULTIPLIERS = 24
_DECADES = 100.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One element (b^w, b^a, n) of the list S.

    Attributes:
        split: where the network is divided.
        choice: the width of each layer as `cost.widths` numbers them, shape (L,).
        objective_s: its seconds.
        distortion: its summed quantisation error.
        memory_bytes: what the first tier needs.
    """

    split: Split
    choice: Ints
    objective_s: float
    distortion: float
    memory_bytes: int


@dataclass(frozen=True)
class WidthSearch:
    """Problems (8) and (9) of one problem.

    Attributes:
        arrays: the problem.
        widths: its layers at all widths.
        weights: the axis of (8).
        activations: the axis of (9).
        table: the variant per layer, weight position and activation position, shape (L, K, K').
    """

    arrays: ProblemArrays
    widths: WidthArrays
    weights: Axis
    activations: Axis
    table: Ints

    @property
    def budget(self) -> int:
        """M, the first tier's memory in bytes."""
        limit = self.arrays.limits[0]
        return UNLIMITED if limit is None else limit

    def choices(self, weights: Ints, activations: Ints, members: Ints) -> Ints:
        """Variants for positions on both axes, shape (C, n) each."""
        return np.asarray(self.table[members, weights, activations])

    @cached_property
    def uniform(self) -> Ints:
        """The network as it is, and at every pair of uniform bit widths, shape (C, L)."""
        pairs = product([0, *self.weights.bits.tolist()], [0, *self.activations.bits.tolist()])
        as_it_is = np.zeros(self.arrays.layers, dtype=np.int64)
        return np.unique([as_it_is, *(uniform_choice(self.widths, w, a) for w, a in pairs)], axis=0)

    def mixed(self, split: Split) -> Ints:
        """Algorithm 1's inner loops for one split, feasible or not: widths for each pair of budgets, shape (C, n)."""
        members, steps = split.members, len(split.fixed)
        if not steps:
            return np.zeros((1, 0), dtype=np.int64)
        act_sizes = self.activations.sizes[members]
        act_budgets = np.array(
            [(split.fixed + held_sum(sizes, split.first, split.last, steps)).max() for sizes in act_sizes.T]
        )
        own_budgets = self.weights.sizes[members].sum(axis=0)
        wgt_budgets = np.concatenate((own_budgets, np.maximum(self.budget - act_budgets, 0)))
        always, nothing = np.zeros(len(members), dtype=np.int64), np.zeros(1, dtype=np.int64)
        by_weight = assign(self.weights, members, always, always, nothing, wgt_budgets)
        by_activation = assign(self.activations, members, split.first, split.last, split.fixed, act_budgets)
        pairs = np.argwhere(wgt_budgets[:, None] + act_budgets <= self.budget)
        if not len(pairs):
            pairs = np.zeros((1, 2), dtype=np.int64)
        return self.choices(by_weight[pairs[:, 0]], by_activation[pairs[:, 1]], members)

    def traded(self, split: Split) -> Ints:
        """Per multiplier μ the widths that minimise Σ L_i^edge + L_n^tr + μ Σ (D_i^w + D_i^a), shape (μ, n)."""
        widths, members = self.widths, split.members
        seconds = widths.seconds[members, :, 0] + widths.sent_bytes[members] * split.sent_s[:, None]
        seconds = np.where(widths.on_first[members], seconds, np.inf)
        weighted = self.multipliers[:, None, None] * widths.distortion[members]
        return np.asarray((seconds + weighted).argmin(axis=2))

    @cached_property
    def multipliers(self) -> Floats:
        """Seconds per distortion: 0, and from what the cheapest to what the dearest layer pays for it, shape (μ,)."""
        seconds, send_s = self.widths.seconds[:, :, 0], self.widths.sent_bytes * float(self.arrays.s_per_byte.sum())
        spread_s = np.concatenate((self._spread(seconds), self._spread(seconds + send_s)))
        spread = np.tile(self._spread(self.widths.distortion), 2)
        # A layer that errs a billionth of another one has no say, and its price could be any number.
        counts = (spread > 1e-9 * spread.max(initial=0.0)) & (spread_s > 0)
        if not counts.any():
            return np.zeros(1)
        prices = np.clip(np.log10(spread_s[counts]) - np.log10(spread[counts]), -_DECADES, _DECADES)
        return np.concatenate(([0.0], np.logspace(prices.min() - 1, prices.max() + 1, _MULTIPLIERS)))

    def _spread(self, amounts: Floats) -> Floats:
        """How far each layer's widths lie apart, shape (L,); 0 where the first tier cannot run it."""
        usable = self.widths.on_first
        low, high = (np.where(usable, amounts, end) for end in (np.inf, -np.inf))
        return np.where(self.widths.able, high.max(axis=1) - low.min(axis=1), 0.0)

    @cached_property
    def whole_network(self) -> Ints:
        """Widths of all that the first tier can run, as if it were quantised before it is split, shape (C, L)."""
        able = self.widths.able
        choices = self.mixed(split_of(self.arrays, self.widths, np.where(able, 0, self.arrays.tiers - 1)))
        full = np.zeros((len(choices), self.arrays.layers), dtype=np.int64)
        full[:, able] = choices
        return full


def width_search(arrays: ProblemArrays, widths: WidthArrays) -> WidthSearch:
    """The search over widths of a problem."""
    weights, activations = weight_axis(widths), activation_axis(widths)
    return WidthSearch(arrays, widths, weights, activations, _table(widths, weights, activations))


def _table(widths: WidthArrays, weights: Axis, activations: Axis) -> Ints:
    """Per layer and pair of positions the variant of least distortion that is no larger, else that of least bytes."""
    table = np.zeros((*weights.sizes.shape, activations.sizes.shape[1]), dtype=np.int64)
    size = np.where(widths.on_first, widths.weight_bytes + widths.own_bytes, np.iinfo(np.int64).max)
    for k in range(weights.sizes.shape[1]):
        light = widths.on_first & (widths.weight_bytes <= weights.sizes[:, k, None])
        for j in range(activations.sizes.shape[1]):
            fits = light & (widths.own_bytes <= activations.sizes[:, j, None])
            table[:, k, j] = np.where(fits.any(axis=1), _least(widths, fits), size.argmin(axis=1))
    return table


def _least(widths: WidthArrays, allowed: Bools) -> Ints:
    """The allowed variant of least distortion per layer, the fastest of several, shape (L,)."""
    distortion = np.where(allowed, widths.distortion, np.inf)
    ties = allowed & (distortion <= distortion.min(axis=1, keepdims=True))
    return np.asarray(np.where(ties, widths.seconds[:, :, 0], np.inf).argmin(axis=1))


def potential_solutions(search: WidthSearch, splits: Iterable[Split]) -> Iterator[Candidate]:
    """S: per split the candidates within the first tier's memory (5b) that no other one of the split beats."""
    as_one = np.concatenate((search.whole_network, search.uniform))
    for split in splits:
        choices = np.concatenate((search.mixed(split), search.traded(split), as_one[:, split.members]))
        yield from _best_of(search, split, np.unique(choices, axis=0))


def _best_of(search: WidthSearch, split: Split, choices: Ints) -> Iterator[Candidate]:
    """The feasible choices of a split, shape (C, n), that are not both slower and worse than another one."""
    widths = search.widths
    memory = memories(widths, split, choices)
    able = widths.on_first[split.members, choices].all(axis=1) & (memory <= search.budget)
    choices, memory = choices[able], memory[able]
    distortion = distortions(widths, split, choices)
    seconds = objectives(search, split, choices)
    least = np.inf
    for i in np.lexsort((memory, distortion, seconds)).tolist():
        if distortion[i] < least:
            least = distortion[i]
            yield candidate(search, split, choices[i], float(seconds[i]))


def objectives(search: WidthSearch, split: Split, choices: Ints) -> Floats:
    """Seconds of the problem's objective per choice (C, n), shape (C,)."""
    if not search.arrays.throughput:
        return latencies(search.widths, split, choices)
    full = (_full(split, choice) for choice in choices)
    return np.array([objective_s(at_widths(search.arrays, search.widths, choice), split.tiers) for choice in full])


def candidate(search: WidthSearch, split: Split, choice: Ints, seconds: float) -> Candidate:
    """The candidate of a split with a choice for its members, shape (n,)."""
    one = choice[None]
    distortion, memory = distortions(search.widths, split, one)[0], memories(search.widths, split, one)[0]
    return Candidate(split, _full(split, choice), seconds, float(distortion), int(memory))


def _full(split: Split, choice: Ints) -> Ints:
    full = split.later.copy()
    full[split.members] = choice
    return full

"""Bit widths of one split exactly: problems (5) and (7) of AUTO-SPLIT at a fixed n, as a mixed-integer program.

One binary per layer and variant, one variant per layer. Memory is one row per step of the working set: weights and held
activations of all layers together, so that nothing is decoupled. Equation (4) is one more row. It is the
multiple-choice knapsack with several constraints; HiGHS (Huangfu and Hall, 2018) solves it.
Complexity: exponential in the worst case; stops at the time limit.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints
from tiersplit_core.cost.widths import MEETS, WidthArrays
from tiersplit_core.planning.autosplit.splits import Split, memories

_MOST_ROUNDS = 50
_SCALED_OBJECTIVE = 1e4


class Minimised(StrEnum):
    """What the widths of a split minimise."""

    LATENCY = "latency"
    """Problem (5) at a fixed n."""
    DISTORTION = "distortion"
    """Problem (7)."""


@dataclass(frozen=True, slots=True)
class ExactWidths:
    """What is proven about a split.

    Attributes:
        choice: the best widths found, shape (n,); None where there are none.
        lower: no widths do better than this, in seconds (without `rest_s`) or in distortion.
        closed: the search ended by itself: `choice` is optimal, or there are no widths.
    """

    choice: Ints | None
    lower: float
    closed: bool


def exact_widths(
    widths: WidthArrays, split: Split, memory: int, max_distortion: float, minimised: Minimised, time_limit_s: float
) -> ExactWidths:
    """The best widths of a split's head.

    Args:
        widths: the layers.
        split: where the network is divided.
        memory: the first tier's bytes.
        max_distortion: E of equation (4), infinite for none; it counts the head's layers.
        minimised: latency or distortion.
        time_limit_s: seconds that HiGHS may take.
    """
    if not len(split.members):
        return ExactWidths(np.zeros(0, dtype=np.int64), 0.0, closed=True)
    program = _Program(widths, split, memory, max_distortion, minimised)
    for _ in range(_MOST_ROUNDS):
        choice, lower, ended = program.solve(time_limit_s)
        if choice is None or program.meets(choice):
            return ExactWidths(choice, lower, closed=ended)
        program.forbid(choice)
    return ExactWidths(None, lower, closed=False)


class _Program:
    """The mixed-integer program of one split; columns are the variants of its layers one after another."""

    def __init__(
        self, widths: WidthArrays, split: Split, memory: int, max_distortion: float, minimised: Minimised
    ) -> None:
        self._widths, self._split, self._memory, self._max_distortion = widths, split, memory, max_distortion
        self._exists: Bools = widths.on_first[split.members]
        self._layer, self._variant = np.nonzero(self._exists)
        cost = self._of(widths.distortion)
        if minimised is Minimised.LATENCY:
            sent_s = widths.sent_bytes[split.members] * split.sent_s[:, None]
            cost = (widths.seconds[split.members, :, 0] + sent_s)[self._exists]
        self._cost: Floats = cost
        self._rows: list[Floats] = []
        self._bounds: list[float] = []
        self._add_memory()
        if np.isfinite(max_distortion):
            scale = 1.0 / max(max_distortion, float(self._of(widths.distortion).max()), 1e-300)
            self._add(self._of(widths.distortion) * scale, max_distortion * (1 + MEETS) * scale)

    def _of(self, amounts: Floats | Ints) -> Floats:
        """Amounts per layer and variant, shape (L, V), as amounts per column."""
        return amounts[self._split.members][self._exists].astype(np.float64)

    def _add(self, row: Floats, bound: float) -> None:
        self._rows.append(row)
        self._bounds.append(bound)

    def _add_memory(self) -> None:
        """One row per step whose tensors are not all held at another step as well, in shares of the memory."""
        weights, own = self._of(self._widths.weight_bytes), self._of(self._widths.own_bytes)
        scale = 2.0 ** -max(self._memory, 1).bit_length()
        held = np.column_stack((self._split.held, self._split.fixed > 0))
        for step in np.flatnonzero(~_contained(held)).tolist():
            row = np.minimum(weights + own * held[step, self._layer], self._memory + 1.0)
            self._add(row * scale, (self._memory - int(self._split.fixed[step]) + 0.5) * scale)

    def forbid(self, choice: Ints) -> None:
        """Demand other widths."""
        self._add((self._variant == choice[self._layer]).astype(np.float64), len(choice) - 1.0)

    def meets(self, choice: Ints) -> bool:
        """Whether widths satisfy (3) to the byte and (4)."""
        memory = memories(self._widths, self._split, choice[None])[0]
        error = self._widths.distortion[self._split.members, choice].sum()
        return bool(memory <= self._memory and error <= self._max_distortion * (1 + MEETS))

    def solve(self, time_limit_s: float) -> tuple[Ints | None, float, bool]:
        """Widths, a lower bound, and whether the search ended by itself."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - 0.5 s that other solvers need not pay

        one_each = (self._layer == np.arange(len(self._split.members))[:, None]).astype(np.float64)
        constraints = [LinearConstraint(one_each, 1.0, 1.0)]
        if self._rows:
            constraints.append(LinearConstraint(np.array(self._rows), -np.inf, np.array(self._bounds)))
        scale = _SCALED_OBJECTIVE / max(float(self._cost.sum()), 1e-300)
        result = milp(
            self._cost * scale,
            integrality=np.ones(len(self._cost)),
            bounds=Bounds(0.0, 1.0),
            constraints=constraints,
            options={"time_limit": max(time_limit_s, 0.01), "mip_rel_gap": 0.0},
        )
        ended = result.status in {0, 2}
        if result.x is None:
            return None, np.inf if ended else 0.0, ended
        chosen = np.zeros(len(self._split.members), dtype=np.int64)
        taken = result.x > 0.5
        chosen[self._layer[taken]] = self._variant[taken]
        return chosen, float(result.mip_dual_bound) / scale, ended


def _contained(held: Bools) -> Bools:
    """Steps whose set is contained in another step's, an equal later one's included, shape (S,)."""
    sizes = held.sum(axis=1)
    common = held.astype(np.int64) @ held.T.astype(np.int64)
    inside = common == sizes[:, None]
    later = np.arange(len(held))[None, :] > np.arange(len(held))[:, None]
    return np.asarray(
        (inside & ((sizes[None, :] > sizes[:, None]) | later & (sizes[None, :] == sizes[:, None]))).any(axis=1)
    )

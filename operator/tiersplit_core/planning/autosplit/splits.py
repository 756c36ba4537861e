"""One split: everything about a head, and about what later tiers do, that its bit widths do not change."""

from dataclasses import dataclass, replace

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.latency import crossings, objective_s
from tiersplit_core.cost.widths import WidthArrays, at_widths
from tiersplit_core.graph.working_set import live_steps


@dataclass(frozen=True, slots=True)
class Split:
    """A head of n layers that run in S steps, and a placement of all others.

    Attributes:
        tiers: tier per layer, shape (L,); the head is what is on tier 0.
        later: the choice of widths on later tiers, 0 for the head, shape (L,).
        members: the head's layers, shape (n,).
        first: the step from which each member's value is held, shape (n,).
        last: the step up to which it is held, shape (n,).
        fixed: bytes that any widths hold at each step, shape (S,): the input where it counts.
        sent_s: seconds per byte of each member's value over all links that it crosses, shape (n,).
        rest_s: latency of everything else.
    """

    tiers: Ints
    later: Ints
    members: Ints
    first: Ints
    last: Ints
    fixed: Ints
    sent_s: Floats
    rest_s: float

    @property
    def held(self) -> Bools:
        """Whether each step holds each member's value, shape (S, n)."""
        steps = np.arange(len(self.fixed))[:, None]
        return np.asarray((self.first <= steps) & (steps <= self.last))


def split_of(arrays: ProblemArrays, widths: WidthArrays, tiers: Ints, later: Ints | None = None) -> Split:
    """The split of a placement, shape (L,), with widths on later tiers, shape (L,)."""
    later = np.zeros(arrays.layers, dtype=np.int64) if later is None else later
    members = np.flatnonzero(tiers == 0)
    first, last = live_steps(0, tiers, arrays.read_value, arrays.read_layer, after=arrays.counts_as_paper)
    fixed = np.zeros(len(members), dtype=np.int64)
    if not arrays.counts_as_paper and first[0] >= 0:
        fixed[first[0] : last[0] + 1] = arrays.own_bytes[0]
    sent_s = arrays.s_per_byte @ crossings(arrays, tiers)[:, members + 1]
    rest_s = _rest_s(at_widths(arrays, widths, later), tiers, members)
    return Split(tiers, later, members, first[members + 1], last[members + 1], fixed, sent_s, rest_s)


def _rest_s(arrays: ProblemArrays, tiers: Ints, members: Ints) -> float:
    seconds, sent_bytes = arrays.seconds.copy(), arrays.sent_bytes.copy()
    seconds[members, 0] = 0.0
    sent_bytes[members + 1] = 0
    return objective_s(replace(arrays, seconds=seconds, sent_bytes=sent_bytes), tiers)


def latencies(widths: WidthArrays, split: Split, choices: Ints) -> Floats:
    """Equation (1), L(b^w, b^a, n) = Σ_{i<=n} L_i^edge + L_n^tr + Σ_{i>n} L_i^cloud, per choice (C, n); shape (C,)."""
    compute_s = widths.seconds[split.members, choices, 0].sum(axis=1)
    return np.asarray(split.rest_s + compute_s + widths.sent_bytes[split.members, choices] @ split.sent_s)


def memories(widths: WidthArrays, split: Split, choices: Ints) -> Ints:
    """The left side of equation (3), M^w + M^a, per choice (C, n); shape (C,); a tier without layers needs none."""
    if not len(split.members):
        return np.zeros(len(choices), dtype=np.int64)
    held = widths.own_bytes[split.members, choices] @ split.held.T.astype(np.int64)
    return np.asarray(widths.weight_bytes[split.members, choices].sum(axis=1) + (held + split.fixed).max(axis=1))


def distortions(widths: WidthArrays, split: Split, choices: Ints) -> Floats:
    """The left side of equation (4), Σ_{i<=n} (D_i^w + D_i^a), per choice (C, n); shape (C,)."""
    later = widths.total_distortion(split.later)
    return np.asarray(later + widths.distortion[split.members, choices].sum(axis=1))


def least_memory(widths: WidthArrays, split: Split) -> int:
    """b_min (Σ s_i^w + M^a) of equation (6): bytes below which no widths of the first tier fit."""
    if not len(split.members):
        return 0
    most = np.iinfo(np.int64).max
    usable = widths.on_first[split.members]
    weights = np.where(usable, widths.weight_bytes[split.members], most).min(axis=1)
    held = split.held @ np.where(usable, widths.own_bytes[split.members], most).min(axis=1)
    return int(weights.sum() + (held + split.fixed).max())

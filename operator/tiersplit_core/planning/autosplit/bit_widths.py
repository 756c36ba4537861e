"""Bit widths under a memory budget: problems (8) and (9) of AUTO-SPLIT §4.2, by the Lagrangian method.

    min Σ D_i^w  s.t.  M^w = Σ s_i^w b_i^w <= M^wgt        (8)
    min Σ D_i^a  s.t.  M^a <= M^act                        (9)

Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", 1988, minimise D + λ·R: each layer
takes the point of its convex hull whose slope λ is. As λ falls from infinity, layers are widened one after another in
the order of the distortion that a byte takes away. That order is walked here once for all budgets; a widening that does
not fit is passed over, so that what is left of a budget goes to later ones. M^a is a maximum over steps (the working
set of figure 4 or of design §4.1), so a widening must fit at every step that holds the tensor; on chains as the paper
counts them every step holds one tensor, and (9) is solved exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints
from tiersplit_core.cost.widths import WidthArrays

OWN_BITS = 64
"""Stands for a layer's own width, which is wider than all variants."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The widths of weights alone, or of activations alone, as in (8) and (9).

    Attributes:
        bits: the bit widths that any layer has, ascending, and `OWN_BITS`, shape (K,).
        sizes: bytes per layer and width; those of its next narrower width (else its narrowest) where it lacks one.
        distortion: D_i^w or D_i^a likewise, shape (L, K).
        steps: every widening of a layer to its next useful width, best return first.
    """

    bits: Ints
    sizes: Ints
    distortion: Floats
    steps: tuple["Widening", ...]

    def narrowest(self) -> Ints:
        """The position of each layer's least bytes, of several that of least distortion, shape (L,)."""
        least = self.sizes == self.sizes.min(axis=1, keepdims=True)
        return np.asarray(np.where(least, self.distortion, np.inf).argmin(axis=1))


@dataclass(frozen=True, slots=True)
class Widening:
    """A layer goes from one width to the next: positions on its axis, and the bytes that takes."""

    layer: int
    before: int
    after: int
    size: int


def weight_axis(widths: WidthArrays) -> Axis:
    """The axis of problem (8): D_i^w is the least distortion that a layer has with those weight bits."""
    return _axis(widths.weight_bits, widths.weight_bytes, widths)


def activation_axis(widths: WidthArrays) -> Axis:
    """The axis of problem (9): D_i^a is the least distortion that a layer has with those activation bits."""
    return _axis(widths.activation_bits, widths.own_bytes, widths)


def _axis(bits: Ints, sizes: Ints, widths: WidthArrays) -> Axis:
    usable = widths.on_first
    bits = np.where(bits == 0, OWN_BITS, bits)
    known = np.union1d(bits[usable], [OWN_BITS])
    shape = (len(bits), len(known))
    found_sizes, found_distortion = np.full(shape, -1, dtype=np.int64), np.full(shape, np.inf)
    for k, width in enumerate(known.tolist()):
        here = usable & (bits == width)
        rows = here.any(axis=1)
        found_sizes[rows, k] = np.where(here, sizes, np.iinfo(np.int64).max).min(axis=1)[rows]
        found_distortion[rows, k] = np.where(here, widths.distortion, np.inf).min(axis=1)[rows]
    source = _next_narrower(found_sizes >= 0)
    rows = np.arange(len(bits))[:, None]
    found_sizes, found_distortion = np.maximum(found_sizes[rows, source], 0), found_distortion[rows, source]
    return Axis(known, found_sizes, found_distortion, tuple(_widenings(found_sizes, found_distortion)))


def _next_narrower(known: Bools) -> Ints:
    """The position of the widest known width at or below each, else of the narrowest known one, shape (L, K)."""
    last = np.maximum.accumulate(np.where(known, np.arange(known.shape[1]), -1), axis=1)
    return np.where(last >= 0, last, known.argmax(axis=1)[:, None])


def _widenings(sizes: Ints, distortion: Floats) -> Iterator[Widening]:
    """All widenings in the order in which a falling λ makes them; those of one layer in ascending order."""
    ranked = []
    for layer in range(len(sizes)):
        points = _useful(sizes[layer].tolist(), distortion[layer].tolist())
        slopes = _hull_slopes([sizes[layer, p] for p in points], [distortion[layer, p] for p in points])
        for i, slope in enumerate(slopes):
            before, after = points[i], points[i + 1]
            step = Widening(layer, before, after, int(sizes[layer, after] - sizes[layer, before]))
            ranked.append((-slope, layer, i, step))
    return (step for *_, step in sorted(ranked, key=lambda entry: entry[:3]))


def _useful(sizes: list[int], distortion: list[float]) -> list[int]:
    """Positions by rising bytes, each with less distortion than all before it."""
    order = sorted(range(len(sizes)), key=lambda k: (sizes[k], distortion[k], k))
    kept: list[int] = []
    for k in order:
        if not kept or distortion[k] < distortion[kept[-1]]:
            kept.append(k)
    return kept


def _hull_slopes(sizes: list[int], distortion: list[float]) -> list[float]:
    """Per step between points the slope of the lower convex hull above it: steps under one edge share its slope."""
    edges: list[tuple[float, float, int]] = []
    for i in range(len(sizes) - 1):
        gain, cost, count = distortion[i] - distortion[i + 1], float(sizes[i + 1] - sizes[i]), 1
        while edges and gain * edges[-1][1] > edges[-1][0] * cost:
            earlier = edges.pop()
            gain, cost, count = gain + earlier[0], cost + earlier[1], count + earlier[2]
        edges.append((gain, cost, count))
    return [gain / max(cost, 1e-300) for gain, cost, count in edges for _ in range(count)]


def assign(axis: Axis, members: Ints, first: Ints, last: Ints, fixed: Ints, budgets: Ints) -> Ints:
    """Widths of a head's layers within each budget.

    Complexity: O(steps of the axis · budgets · working set).

    Args:
        axis: weights or activations.
        members: the head's layers, shape (n,).
        first: the first step that holds each member's bytes, shape (n,).
        last: the last one, shape (n,).
        fixed: bytes that every choice holds at each step, shape (steps,).
        budgets: bytes, shape (B,).

    Returns:
        Positions on the axis, shape (B, n); the narrowest ones where not even they fit.
    """
    position = np.full(len(axis.sizes), -1, dtype=np.int64)
    position[members] = np.arange(len(members))
    chosen = np.tile(axis.narrowest()[members], (len(budgets), 1))
    room = budgets[:, None] - fixed - held_sum(axis.sizes[members, chosen[0]], first, last, len(fixed))
    for step in axis.steps:
        k = position[step.layer]
        if k < 0:
            continue
        held = room[:, first[k] : last[k] + 1]
        fits = (held.min(axis=1) >= step.size) & (chosen[:, k] == step.before)
        held[fits] -= step.size
        chosen[fits, k] = step.after
    return chosen


def held_sum(sizes: Ints, first: Ints, last: Ints, steps: int) -> Ints:
    """Bytes held at each step, for bytes per member held from `first` to `last`; shape (steps,)."""
    change = np.zeros(steps + 1, dtype=np.int64)
    np.add.at(change, first, sizes)
    np.subtract.at(change, last + 1, sizes)
    return np.cumsum(change[:-1])

"""What no bit widths of a split can beat, from one relaxation: the multiple-choice knapsack in fractions.

Seconds, or bytes of weights, may be saved by distortion, layer by layer along its lower convex hull (Sinha and
Zoltners, "The multiple-choice knapsack problem", 1979): start with the least of every layer, and take distortion away
where it costs least until E is met, the last step in part. Seconds are bounded so with memory left aside; a split whose
weights and least activations cannot fit under E has no widths at all.
"""

from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.widths import WidthArrays
from tiersplit_core.planning.autosplit.splits import Split, least_memory

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Hulls:
    """The lower convex hulls of an amount against distortion, of all layers on the first tier.

    Attributes:
        least: each layer's least amount, shape (L,).
        distortion: the distortion of that, shape (L,).
        layer: the layer of each step along a hull, cheapest first, shape (steps,).
        extra: what the step costs, shape (steps,).
        gain: the distortion that it takes away, shape (steps,).
    """

    least: Floats
    distortion: Floats
    layer: Ints
    extra: Floats
    gain: Floats

    def total(self, inside: Bools, limit: float) -> float:
        """The least total of the layers inside, shape (L,), with a distortion of at most `limit`; infinite if none."""
        total, missing = float(self.least[inside].sum()), float(self.distortion[inside].sum()) - limit
        if missing <= 0:
            return total
        steps = inside[self.layer]
        gain, extra = np.cumsum(self.gain[steps]), np.cumsum(self.extra[steps])
        if not len(gain) or gain[-1] < missing - _ROUNDING * (abs(limit) + gain[-1]):
            return np.inf
        return total + float(np.interp(missing, np.append(0.0, gain), np.append(0.0, extra)))


@dataclass(frozen=True, slots=True)
class LatencyBounds:
    """Lower bounds of splits' latencies.

    Attributes:
        widths: the layers.
        seconds: hulls of seconds.
        weights: hulls of bytes of weights.
        memory: M, infinite where there is no limit.
        limit: E, infinite where there is none.
    """

    widths: WidthArrays
    seconds: Hulls
    weights: Hulls
    memory: float
    limit: float

    def of(self, split: Split) -> float:
        """Seconds that no widths of a split can beat; infinite where none fits."""
        members = split.members
        inside = np.zeros(len(self.seconds.least), dtype=bool)
        inside[members] = True
        limit = self.limit - self.widths.total_distortion(split.later)
        least_weights = float(self.weights.least[inside].sum())
        activations = least_memory(self.widths, split) - least_weights
        if self.weights.total(inside, limit) + activations > self.memory * (1 + _ROUNDING):
            return np.inf
        sent = np.where(self.widths.on_first[members], self.widths.sent_bytes[members], np.iinfo(np.int64).max)
        return split.rest_s + self.seconds.total(inside, limit) + float(sent.min(axis=1, initial=2**62) @ split.sent_s)


def latency_bounds(arrays: ProblemArrays, widths: WidthArrays) -> LatencyBounds:
    """The bounds of a problem's splits."""
    memory, limit = arrays.limits[0], arrays.problem.max_distortion
    return LatencyBounds(
        widths=widths,
        seconds=_hulls(widths, widths.seconds[:, :, 0]),
        weights=_hulls(widths, widths.weight_bytes.astype(np.float64)),
        memory=np.inf if memory is None else float(memory),
        limit=np.inf if limit is None else limit,
    )


def _hulls(widths: WidthArrays, amounts: Floats) -> Hulls:
    usable = np.where(widths.on_first, amounts, np.inf)
    hulls = [_hull(row, distortion) for row, distortion in zip(usable, widths.distortion, strict=True)]
    steps = [
        (extra / gain, i, extra, gain)
        for i, hull in enumerate(hulls)
        for extra, gain in zip(np.diff([a for a, _ in hull]), -np.diff([d for _, d in hull]), strict=True)
    ]
    steps.sort(key=lambda step: step[0])
    return Hulls(
        least=np.array([hull[0][0] if hull else np.inf for hull in hulls]),
        distortion=np.array([hull[0][1] if hull else np.inf for hull in hulls]),
        layer=np.array([layer for _, layer, _, _ in steps], dtype=np.int64),
        extra=np.array([extra for _, _, extra, _ in steps]),
        gain=np.array([gain for _, _, _, gain in steps]),
    )


def _hull(amounts: Floats, distortion: Floats) -> list[tuple[float, float]]:
    """The lower left convex hull of (amount, distortion), the least amount first; empty where there is none."""
    points: list[tuple[float, float]] = []
    for point in sorted(zip(amounts.tolist(), distortion.tolist(), strict=True)):
        if not np.isfinite(point[0]) or (points and point[1] >= points[-1][1]):
            continue
        while len(points) > 1 and _above(points[-2], points[-1], point):
            points.pop()
        points.append(point)
    return points


def _above(before: tuple[float, float], middle: tuple[float, float], after: tuple[float, float]) -> bool:
    """Whether the middle point lies on or above the line between its neighbours."""
    rise = (middle[1] - before[1]) * (after[0] - before[0])
    return rise >= (after[1] - before[1]) * (middle[0] - before[0])

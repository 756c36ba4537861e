"""What no bit widths of a split can beat, from one relaxation: the multiple-choice knapsack in fractions.

Latency may be bought with distortion, layer by layer along its lower convex hull (Sinha and Zoltners, "The
multiple-choice knapsack problem", 1979): start with every layer at its fastest, and take the distortion away where it
costs the least seconds until E is met, the last step in part. Memory is left aside.
"""

from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.widths import WidthArrays
from tiersplit_core.planning.autosplit.splits import Split


@dataclass(frozen=True, slots=True)
class LatencyBounds:
    """The hulls of all layers on the first tier.

    Attributes:
        widths: the layers.
        fastest_s: each layer's fewest seconds, shape (L,).
        distortion: the distortion of that, shape (L,).
        layer: the layer of each step along a hull, cheapest first, shape (steps,).
        extra_s: what the step costs, shape (steps,).
        gain: the distortion that it takes away, shape (steps,).
        limit: E, infinite where there is none.
    """

    widths: WidthArrays
    fastest_s: Floats
    distortion: Floats
    layer: Ints
    extra_s: Floats
    gain: Floats
    limit: float

    def of(self, split: Split) -> float:
        """Seconds that no widths of a split can beat; infinite where none meets E."""
        inside = np.zeros(len(self.fastest_s), dtype=bool)
        inside[split.members] = True
        sent = np.where(self.widths.on_first, self.widths.sent_bytes, np.iinfo(np.int64).max)[split.members]
        seconds = split.rest_s + float(self.fastest_s[inside].sum() + sent.min(axis=1, initial=2**62) @ split.sent_s)
        missing = self.widths.total_distortion(split.later) + float(self.distortion[inside].sum()) - self.limit
        return seconds + (self._price(inside[self.layer], missing) if missing > 0 else 0.0)

    def _price(self, steps: Bools, missing: float) -> float:
        gain, extra = np.cumsum(self.gain[steps]), np.cumsum(self.extra_s[steps])
        if not len(gain) or gain[-1] < missing * (1 - 1e-9):
            return np.inf
        return float(np.interp(missing, np.concatenate(([0.0], gain)), np.concatenate(([0.0], extra))))


def latency_bounds(arrays: ProblemArrays, widths: WidthArrays) -> LatencyBounds:
    """The hulls of a problem's layers."""
    limit = arrays.problem.max_distortion
    seconds = np.where(widths.on_first, widths.seconds[:, :, 0], np.inf)
    hulls = [_hull(seconds[i], widths.distortion[i]) for i in range(arrays.layers)]
    steps = [
        (extra / gain, i, extra, gain)
        for i, hull in enumerate(hulls)
        for extra, gain in zip(np.diff([s for s, _ in hull]), -np.diff([d for _, d in hull]), strict=True)
    ]
    steps.sort(key=lambda step: step[0])
    return LatencyBounds(
        widths=widths,
        fastest_s=np.array([hull[0][0] for hull in hulls]),
        distortion=np.array([hull[0][1] for hull in hulls]),
        layer=np.array([layer for _, layer, _, _ in steps], dtype=np.int64),
        extra_s=np.array([extra for _, _, extra, _ in steps]),
        gain=np.array([gain for _, _, _, gain in steps]),
        limit=np.inf if limit is None else limit,
    )


def _hull(seconds: Floats, distortion: Floats) -> list[tuple[float, float]]:
    """The lower left convex hull of (seconds, distortion), fastest first."""
    points: list[tuple[float, float]] = []
    for point in sorted(zip(seconds.tolist(), distortion.tolist(), strict=True)):
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

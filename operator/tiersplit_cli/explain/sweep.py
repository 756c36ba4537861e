"""At which bandwidth another plan would be better: the lower envelope over one link's bandwidth."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays, arrays_of
from tiersplit_core.cost.latency import terms_of
from tiersplit_core.planning.problem import Problem

PlanKey = tuple[tuple[int, ...], tuple[int, ...]]
"""What a plan is: the tier of each layer, and the variant that each runs."""

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A plan's seconds as a function of the links' inverse bandwidths: the parts that the objective is made of.

    Attributes:
        tiers: tier per layer.
        choice: variant per layer, 0 where it runs as it is.
        compute_s: per tier, of layers and of serving, shape (M,).
        fixed_s: propagation latency per link, shape (M - 1,).
        bits: bits per link, shape (M - 1,).
        throughput: whether the largest part counts instead of their sum.
    """

    tiers: tuple[int, ...]
    choice: tuple[int, ...]
    compute_s: Floats
    fixed_s: Floats
    bits: Floats
    throughput: bool

    @property
    def key(self) -> PlanKey:
        """What tells the plan from others."""
        return self.tiers, self.choice

    def seconds(self, inverse_bandwidth: Floats) -> Floats:
        """The objective at inverse bandwidths, shape (…, M - 1) -> (…)."""
        links = self.fixed_s + self.bits * inverse_bandwidth
        if self.throughput:
            return np.asarray(np.maximum(links.max(axis=-1), self.compute_s.max()))
        return np.asarray(links.sum(axis=-1) + self.compute_s.sum())


Solve = Callable[[Problem], PlanLine]
"""Answers a problem with the best plan's line."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where one plan is best: from `low_bps` to `high_bps` of the link."""

    low_bps: float
    high_bps: float
    line: PlanLine


@dataclass(frozen=True, slots=True)
class Sweep:
    """The best plan at every bandwidth of one link, the other links as they are.

    Attributes:
        link: the link's position.
        intervals: from the lowest bandwidth to the highest; neighbours have different plans.
        exact: the breakpoints are proven; otherwise they come from a grid, or from plans that are not proven optimal.
    """

    link: int
    intervals: tuple[Interval, ...]
    exact: bool

    @property
    def breakpoints_bps(self) -> tuple[float, ...]:
        """The bandwidths at which the best plan changes, ascending."""
        return tuple(interval.high_bps for interval in self.intervals[:-1])


def line_of(arrays: ProblemArrays, tiers: Ints, choice: Ints | None = None) -> PlanLine:
    """The line of a placement given as a tier per layer, shape (L,), at the widths of a choice, shape (L,)."""
    variants = np.zeros_like(tiers) if choice is None else choice
    terms = terms_of(arrays, tiers)
    fixed = terms.link_trips * arrays.latency_s
    bits = np.asarray(8.0 * terms.link_bytes, dtype=np.float64)
    key = tuple(tiers.tolist()), tuple(variants.tolist())
    return PlanLine(*key, terms.tier_s, fixed, bits, arrays.throughput)


def with_bandwidth(problem: Problem, link: int, bandwidth_bps: float) -> Problem:
    """The same problem with another bandwidth of one link."""
    changed = replace(problem.links[link], bandwidth_bps=bandwidth_bps)
    return replace(problem, links=(*problem.links[:link], changed, *problem.links[link + 1 :]))


def sweep_link(problem: Problem, link: int, low_bps: float, high_bps: float, solve: Solve) -> Sweep:
    """The lower envelope over one link's bandwidth from `low_bps` to `high_bps`.

    Latency is linear in 1/bandwidth, so the best plans form a concave envelope. Eisner and Severance (1976): solve at
    both ends; where two lines meet, solve again; a better plan there divides the interval, none proves the breakpoint.
    One solve per plan and per breakpoint. A throughput objective is no sum: its breakpoints come from a grid.
    """
    arrays = arrays_of(problem)
    base = 1.0 / arrays.bandwidth_bps

    def at(inverse: float) -> Floats:
        point = base.copy()
        point[link] = inverse
        return point

    def best(inverse: float) -> PlanLine:
        return solve(with_bandwidth(problem, link, 1.0 / inverse))

    start, end = 1.0 / high_bps, 1.0 / low_bps
    if arrays.throughput:
        pool = [best(inverse) for inverse in np.geomspace(start, end, 11)]
    else:
        pool = _meet(best, at, link, (start, best(start)), (end, best(end)))
    return Sweep(link, _intervals(pool, at, start, end), exact=not arrays.throughput)


def _meet(
    best: Callable[[float], PlanLine],
    at: Callable[[float], Floats],
    link: int,
    left: tuple[float, PlanLine],
    right: tuple[float, PlanLine],
) -> list[PlanLine]:
    """The lines of the envelope between two points whose best lines are known."""
    (start, first), (end, last) = left, right
    slope = first.bits[link] - last.bits[link]
    if first.key == last.key or slope <= 0:
        return [first] if _same(first, last, at(end)) else [first, last]
    middle = float((last.seconds(at(0.0)) - first.seconds(at(0.0))) / slope)
    if not start < middle < end:
        return [first, last]
    found = best(middle)
    if _same(first, found, at(middle)):
        return [first, last]
    return [*_meet(best, at, link, left, (middle, found)), *_meet(best, at, link, (middle, found), right)]


def _same(one: PlanLine, other: PlanLine, point: Floats) -> bool:
    return bool(one.seconds(point) <= other.seconds(point) * (1 + _TOLERANCE))


def _intervals(pool: list[PlanLine], at: Callable[[float], Floats], start: float, end: float) -> tuple[Interval, ...]:
    """Who is lowest where, read from a fine grid whose changes are narrowed by bisection."""
    lines = list({line.key: line for line in pool}.values())
    grid = np.geomspace(start, end, 2001)
    points = np.stack([at(float(value)) for value in grid])
    winner = np.stack([line.seconds(points) for line in lines]).argmin(axis=0)
    found, low = [], start
    for i in np.flatnonzero(np.diff(winner)):
        edge = _crossing(lines[winner[i]], lines[winner[i + 1]], at, float(grid[i]), float(grid[i + 1]))
        found.append(Interval(1.0 / edge, 1.0 / low, lines[winner[i]]))
        low = edge
    found.append(Interval(1.0 / end, 1.0 / low, lines[winner[-1]]))
    return tuple(reversed(found))


def _crossing(one: PlanLine, other: PlanLine, at: Callable[[float], Floats], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low * high) ** 0.5
        if one.seconds(at(middle)) <= other.seconds(at(middle)):
            low = middle
        else:
            high = middle
    return float(np.sqrt(low * high))

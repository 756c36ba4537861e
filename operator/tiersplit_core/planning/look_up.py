"""The surface: the few plans that are best somewhere, and which one is best now."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import mul

from tiersplit_core.cost.problem import Link, Objective
from tiersplit_core.errors import InfeasibleError, ProblemError
from tiersplit_core.planning.conditions import Conditions, SurfaceBox, loads_of
from tiersplit_core.planning.plan import Plan


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What a plan's seconds are made of at one batch size.

    Attributes:
        compute_s: seconds per tier as profiled, of its layers and of serving the request.
        link_bytes: bytes per link, the way back included.
        link_trips: how often each link's latency is paid.
    """

    compute_s: tuple[float, ...]
    link_bytes: tuple[int, ...]
    link_trips: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SurfaceEntry:
    """One plan of a surface.

    Attributes:
        plan: the plan.
        terms: per batch size at which it fits the memory.
        fallback: whether it needs no link, and so serves when links are down.
    """

    plan: Plan
    terms: Mapping[int, PlanTerms]
    fallback: bool = False


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Where the best plan changes along one link's bandwidth: `below` is best just below it, `above` just above it."""

    bandwidth_bps: float
    below: SurfaceEntry
    above: SurfaceEntry


@dataclass(frozen=True, slots=True)
class _Row:
    entry: SurfaceEntry
    factors: tuple[float, ...]
    trips: tuple[float, ...]


@dataclass(frozen=True)
class Surface:
    """The plans of a network and the conditions in which each is best.

    Attributes:
        objective: what is minimised.
        tiers: tier names in order.
        links: the links with the latencies (and bandwidths) that the surface was made for.
        batches: the batch sizes that it was made for, ascending; between them seconds are interpolated.
        box: the conditions that it covers.
        entries: the plans.
        epsilon: the best entry is at most 1 + epsilon times the optimum.
        scope: where that holds, in words.
        solves: how many exact plans were made for it.
    """

    objective: Objective
    tiers: tuple[str, ...]
    links: tuple[Link, ...]
    batches: tuple[int, ...]
    box: SurfaceBox
    entries: tuple[SurfaceEntry, ...]
    epsilon: float
    scope: str
    solves: int = 0

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plans of all entries."""
        return tuple(entry.plan for entry in self.entries)

    def entry(self, digest: str) -> SurfaceEntry:
        """The entry of a plan.

        Raises:
            ProblemError: no entry has this digest.
        """
        for entry in self.entries:
            if entry.plan.digest == digest:
                return entry
        raise ProblemError(f"no plan of the surface has the digest {digest}", "plans")

    def best(self, conditions: Conditions) -> SurfaceEntry:
        """The plan with the least objective among those that cross no link that is down.

        Raises:
            InfeasibleError: every plan crosses a link that is down.
        """
        found, least = None, float("inf")
        for row, seconds in self._scores(conditions):
            if seconds < least:
                found, least = row.entry, seconds
        if found is None:
            raise InfeasibleError("every plan of the surface crosses a link that is down")
        return found

    def ranked(self, conditions: Conditions) -> tuple[tuple[float, SurfaceEntry], ...]:
        """(objective in seconds, entry) of every plan that can serve, best first."""
        scored = [(seconds, row.entry) for row, seconds in self._scores(conditions) if seconds < float("inf")]
        return tuple(sorted(scored, key=lambda pair: pair[0]))

    def objective_s(self, digest: str, conditions: Conditions) -> float:
        """The objective of a plan in seconds; infinite where it cannot serve."""
        entry = self.entry(digest)
        return next((seconds for row, seconds in self._scores(conditions) if row.entry is entry), float("inf"))

    def latency_s(self, digest: str, conditions: Conditions) -> float:
        """The seconds of one request under a plan, whatever the objective; infinite where it cannot serve."""
        entry = self.entry(digest)
        weights, down = self._weights(conditions)
        for row in self._rows(conditions.batch):
            if row.entry is entry and not any(row.trips[link] for link in down):
                return float(sum(map(mul, row.factors, weights)))
        return float("inf")

    def breakpoints(self, link: int, conditions: Conditions) -> tuple[Breakpoint, ...]:
        """Where the best plan changes along one link's bandwidth, exactly, the other conditions as given.

        Args:
            link: the link's position.
            conditions: the other conditions; its bandwidth of `link` does not matter.

        Returns:
            Ascending in bandwidth, within the box.
        """
        least, most = self.box.bandwidth_bps[link]
        pieces = [self._pieces(row, link, conditions) for row in self._usable(link, conditions)]
        lines = [line for _, lines in pieces for line in lines]
        ends = [1 / most, 1 / least]
        crossings = {u for i, p in enumerate(lines) for q in lines[:i] if (u := _crossing(p, q)) is not None}
        grid = [ends[0], *sorted(u for u in crossings if ends[0] < u < ends[1]), ends[1]]
        best = [_lowest(pieces, (a + b) / 2) for a, b in pairwise(grid)]
        found = [
            Breakpoint(1 / grid[i + 1], below=best[i + 1], above=best[i])
            for i in range(len(best) - 1)
            if best[i] is not best[i + 1]
        ]
        return tuple(reversed(found))

    def _usable(self, link: int, conditions: Conditions) -> list[_Row]:
        _, down = self._weights(conditions)
        others = [k for k in down if k != link]
        return [row for row in self._rows(conditions.batch) if not any(row.trips[k] for k in others)]

    def _pieces(self, row: _Row, link: int, conditions: Conditions) -> tuple[SurfaceEntry, list[tuple[float, float]]]:
        """A plan's objective over u = 1/bandwidth of `link` as the maximum of lines (value at u = 0, slope)."""
        weights, _ = self._weights(conditions)
        place = len(self.tiers) + link
        weights[place] = 0.0
        if self.objective is Objective.LATENCY:
            return row.entry, [(sum(map(mul, row.factors, weights)), row.factors[place])]
        own = weights[place + len(self.links)] * row.trips[link]
        return row.entry, [(self._largest(row, weights), 0.0), (own, row.factors[place])]

    def _scores(self, conditions: Conditions) -> list[tuple[_Row, float]]:
        weights, down = self._weights(conditions)
        rows = self._rows(conditions.batch)
        if down:
            rows = [row for row in rows if not any(row.trips[link] for link in down)]
        if self.objective is Objective.LATENCY:
            return [(row, sum(map(mul, row.factors, weights))) for row in rows]
        return [(row, self._largest(row, weights)) for row in rows]

    def _largest(self, row: _Row, weights: list[float]) -> float:
        parts = list(map(mul, row.factors, weights))
        tiers, links = len(self.tiers), len(self.links)
        sent = [parts[tiers + k] + parts[tiers + links + k] for k in range(links)]
        return float(max([*parts[:tiers], *sent]))

    def _weights(self, conditions: Conditions) -> tuple[list[float], list[int]]:
        """What a row's factors are multiplied by, and the links that are down."""
        down = [k for k, bandwidth in enumerate(conditions.bandwidth_bps) if not bandwidth]
        weights = list(loads_of(conditions, len(self.tiers)))
        weights += [1.0 / bandwidth if bandwidth else 0.0 for bandwidth in conditions.bandwidth_bps]
        weights += conditions.latency_s or self._latency
        return weights, down

    @cached_property
    def _latency(self) -> tuple[float, ...]:
        return tuple(link.latency_s for link in self.links)

    @cached_property
    def _by_batch(self) -> dict[int, list[_Row]]:
        return {}

    def _rows(self, batch: int) -> list[_Row]:
        rows = self._by_batch.get(batch)
        if rows is None:
            size = min(max(batch, self.batches[0]), self.batches[-1])
            made = [(entry, terms_at(entry.terms, self.batches, size)) for entry in self.entries]
            rows = [_row(entry, terms) for entry, terms in made if terms is not None]
            if size == batch:
                # Only batch sizes within the surface's are kept, so that what is kept is bounded.
                self._by_batch[batch] = rows
        return rows


def terms_at(terms: Mapping[int, PlanTerms], batches: tuple[int, ...], batch: int) -> PlanTerms | None:
    """A plan's terms at a batch size between the surface's, interpolated; None where it does not fit the memory.

    Args:
        terms: per batch size at which the plan fits.
        batches: the surface's batch sizes, ascending.
        batch: within them.
    """
    below = max(size for size in batches if size <= batch)
    above = min(size for size in batches if size >= batch)
    if below not in terms or above not in terms:
        return None
    low, high = terms[below], terms[above]
    share = (batch - below) / (above - below) if above > below else 0.0
    return PlanTerms(
        tuple(a + share * (b - a) for a, b in zip(low.compute_s, high.compute_s, strict=True)),
        tuple(round(a + share * (b - a)) for a, b in zip(low.link_bytes, high.link_bytes, strict=True)),
        low.link_trips,
    )


def _row(entry: SurfaceEntry, terms: PlanTerms) -> _Row:
    bits = tuple(8.0 * size for size in terms.link_bytes)
    trips = tuple(float(count) for count in terms.link_trips)
    return _Row(entry, (*terms.compute_s, *bits, *trips), trips)


def _crossing(one: tuple[float, float], other: tuple[float, float]) -> float | None:
    slope = one[1] - other[1]
    return (other[0] - one[0]) / slope if slope else None


def _lowest(pieces: list[tuple[SurfaceEntry, list[tuple[float, float]]]], at: float) -> SurfaceEntry:
    return min(pieces, key=lambda piece: max(value + slope * at for value, slope in piece[1]))[0]

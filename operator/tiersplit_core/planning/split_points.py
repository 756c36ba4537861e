"""Dynamic programming over split points of the execution order, for any number of tiers.

A placement along the execution order gives tier t the layers from split point p[t-1] up to p[t]. What crosses link t
then depends on p[t] alone, and what a stage holds at a layer depends on that layer alone, so the best split points
follow tier by tier (Bellman 1957).
"""

from dataclasses import dataclass

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays


@dataclass(frozen=True, slots=True)
class _Tables:
    """Prefix sums of the execution order.

    Attributes:
        seconds: per tier, seconds of the first p layers, shape (M, L + 1).
        weights: weight bytes of the first p layers, shape (L + 1,).
        live: bytes held while layer j runs, shape (L,).
        link_s: seconds of link k when it is crossed at split point p, shape (M - 1, L + 1).
        request_s: per tier, what it spends on any request, shape (M,).
        send_s: what tier k spends on handing on over it, shape (M - 1, L + 1).
        receive_s: what tier k + 1 spends on being handed it, shape (M - 1, L + 1).
    """

    seconds: Floats
    weights: Ints
    live: Ints
    link_s: Floats
    request_s: Floats
    send_s: Floats
    receive_s: Floats

    def stage_s(self, tier: int, end: int) -> Floats:
        """Seconds of the tier that runs the layers from each start up to `end`, shape (end + 1,)."""
        found = self.request_s[tier] + self.seconds[tier, end] - self.seconds[tier, : end + 1]
        if tier > 0:
            found = found + self.receive_s[tier - 1, : end + 1]
        sent_s = self.send_s[tier, end] if tier < len(self.send_s) else 0.0
        return np.asarray(found + sent_s)


def is_chain(arrays: ProblemArrays) -> bool:
    """Whether every layer reads exactly the value before it, so that all placements follow the execution order."""
    return len(arrays.read_layer) == arrays.layers and bool((arrays.read_value == arrays.read_layer).all())


def best_split_points(arrays: ProblemArrays) -> Ints | None:
    """The best placement along the execution order, for either objective, within memory and privacy.

    Complexity: O(M L²) time, O(M L) memory.

    Returns:
        Tier per layer, shape (L,); None where no split points fit.
    """
    tables = _tables_of(arrays)
    last = arrays.tiers - 1
    earliest = int(np.flatnonzero(arrays.forced_first).max(initial=-1)) + 1
    cost = np.where(np.arange(arrays.layers + 1) == 0, 0.0, np.inf)
    choices = []
    for tier in range(arrays.tiers):
        targets = range(earliest, arrays.layers + 1) if tier < last else range(arrays.layers, arrays.layers + 1)
        cost, choice = _extend(arrays, tables, tier, cost, targets)
        choices.append(choice)
    if not np.isfinite(cost[-1]):
        return None
    tiers = np.zeros(arrays.layers, dtype=np.int64)
    end = arrays.layers
    for tier in range(last, -1, -1):
        start = int(choices[tier][end])
        tiers[start:end] = tier
        end = start
    return tiers


def _extend(arrays: ProblemArrays, tables: _Tables, tier: int, before: Floats, targets: range) -> tuple[Floats, Ints]:
    """The best cost of the tiers up to `tier` per end of its stage, and the start of the stage that gives it."""
    cost = np.full(arrays.layers + 1, np.inf)
    choice = np.zeros(arrays.layers + 1, dtype=np.int64)
    for end in targets:
        stage = tables.stage_s(tier, end)
        total = np.maximum(before[: end + 1], stage) if arrays.throughput else before[: end + 1] + stage
        limit = arrays.limits[tier]
        if limit is not None:
            total = np.where(_memory_of_starts(tables, end) <= limit, total, np.inf)
        choice[end] = int(np.argmin(total))
        link = tables.link_s[tier, end] if tier < arrays.tiers - 1 else 0.0
        cost[end] = max(total[choice[end]], link) if arrays.throughput else total[choice[end]] + link
    return cost, choice


def _memory_of_starts(tables: _Tables, end: int) -> Ints:
    """Memory of the stage [start, end) per start, shape (end + 1,); an empty stage needs none."""
    peak = np.maximum.accumulate(tables.live[:end][::-1])[::-1]
    return np.append(tables.weights[end] - tables.weights[:end] + peak, 0)


def _tables_of(arrays: ProblemArrays) -> _Tables:
    crossing_bytes = _crossing(arrays, arrays.sent_bytes)
    crossing = _crossing(arrays, np.ones_like(arrays.sent_bytes))
    trips, sizes = (crossing > 0).astype(np.int64), crossing_bytes
    if arrays.way_back:
        back = np.zeros(arrays.layers + 1, dtype=np.int64)
        back[arrays.outputs] = arrays.value_bytes[arrays.outputs + 1]
        trips = trips + (np.arange(arrays.layers + 1) <= arrays.outputs.max())
        sizes = sizes + np.cumsum(back[::-1])[::-1]
    link = np.arange(arrays.tiers - 1)

    def spent(tier: Ints) -> Floats:
        return arrays.hop_s[tier, link, None] * (crossing > 0) + arrays.hop_s_per_byte[tier, link, None] * sizes

    return _Tables(
        seconds=np.hstack((np.zeros((arrays.tiers, 1)), np.cumsum(arrays.seconds.T, axis=1))),
        weights=np.concatenate(([0], np.cumsum(arrays.weight_bytes))),
        live=_held_along(arrays),
        link_s=trips * arrays.latency_s[:, None] + sizes * (8.0 / arrays.bandwidth_bps[:, None]),
        request_s=arrays.request_s,
        send_s=spent(link),
        receive_s=spent(link + 1),
    )


def _held_along(arrays: ProblemArrays) -> Ints:
    """Bytes held while each layer runs, shape (L,)."""
    if not arrays.counts_as_paper:
        return _crossing(arrays, arrays.value_bytes)[:-1] + arrays.value_bytes[1:]
    held = np.concatenate(([0], arrays.value_bytes[1:]))
    unread = ~np.isin(np.arange(1, arrays.layers + 1), arrays.read_value)
    return _crossing(arrays, held)[1:] + np.where(unread, arrays.value_bytes[1:], 0)


def _crossing(arrays: ProblemArrays, amount: Ints) -> Ints:
    """The sum of `amount` over the values that cross at each split point, shape (L + 1,)."""
    last_reader = np.full(arrays.layers + 1, -1, dtype=np.int64)
    np.maximum.at(last_reader, arrays.read_value, arrays.read_layer)
    read = np.flatnonzero(last_reader >= 0)
    change = np.zeros(arrays.layers + 2, dtype=np.int64)
    np.add.at(change, read, amount[read])
    np.subtract.at(change, last_reader[read] + 1, amount[read])
    return np.cumsum(change[:-1])

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
    """

    seconds: Floats
    weights: Ints
    live: Ints
    link_s: Floats


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
        stage = tables.seconds[tier, end] - tables.seconds[tier, : end + 1]
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
    crossing_bytes, crossing = _crossing_tables(arrays)
    per_byte = 8.0 / arrays.bandwidth_bps[:, None]
    link_s = (crossing > 0) * arrays.latency_s[:, None] + crossing_bytes * per_byte
    if arrays.way_back:
        back = np.zeros(arrays.layers + 1, dtype=np.int64)
        back[arrays.outputs] = arrays.value_bytes[arrays.outputs + 1]
        used = np.arange(arrays.layers + 1) <= arrays.outputs.max()
        link_s = link_s + used * arrays.latency_s[:, None] + np.cumsum(back[::-1])[::-1] * per_byte
    start = np.zeros((arrays.tiers, 1))
    return _Tables(
        seconds=np.hstack((start, np.cumsum(arrays.seconds.T, axis=1))),
        weights=np.concatenate(([0], np.cumsum(arrays.weight_bytes))),
        live=crossing_bytes[:-1] + arrays.value_bytes[1:],
        link_s=link_s,
    )


def _crossing_tables(arrays: ProblemArrays) -> tuple[Ints, Ints]:
    """Bytes and number of the values that cross at each split point, shapes (L + 1,)."""
    last_reader = np.full(arrays.layers + 1, -1, dtype=np.int64)
    np.maximum.at(last_reader, arrays.read_value, arrays.read_layer)
    read = np.flatnonzero(last_reader >= 0)
    totals = []
    for amount in (arrays.value_bytes, np.ones_like(arrays.value_bytes)):
        change = np.zeros(arrays.layers + 2, dtype=np.int64)
        np.add.at(change, read, amount[read])
        np.subtract.at(change, last_reader[read] + 1, amount[read])
        totals.append(np.cumsum(change[:-1]))
    return totals[0], totals[1]

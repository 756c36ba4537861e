"""Fewer layers for the minimum cut: those that some fastest plan keeps on one tier with their only reader.

Take a layer whose value has one reader, is no smaller than all it reads together and is no result, and that no later
tier runs slower. Moved to its reader's tier, it costs no more: its value need not be sent, what it reads is sent
instead over links that are used anyway, and it runs no slower. Done from the last such layer to the first, that turns
a fastest plan into one that keeps them all with their readers. Memory limits are left aside, as the cut does.
"""

from dataclasses import dataclass, replace

import numpy as np

from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.planning.maxflow import sorted_unique


@dataclass(frozen=True, slots=True)
class Contraction:
    """Layers in groups that stay together.

    Attributes:
        group: the group of each layer, shape (L,).
        moved: layers that go wherever their only reader goes.
        arrays: the problem with one layer per group.
    """

    group: Ints
    moved: Ints
    arrays: ProblemArrays

    def holds(self, seconds: Floats) -> bool:
        """Whether the groups hold for other seconds per layer and tier, shape (L, M)."""
        return not _slower_later(seconds[self.moved]).any()

    def under(self, arrays: ProblemArrays) -> ProblemArrays:
        """The problem of groups with the seconds, bandwidths, latencies and serving of `arrays`."""
        return replace(
            self.arrays,
            seconds=_sums(self.group, arrays.seconds),
            bandwidth_bps=arrays.bandwidth_bps,
            latency_s=arrays.latency_s,
            request_s=arrays.request_s,
            hop_s=arrays.hop_s,
            hop_s_per_byte=arrays.hop_s_per_byte,
        )


def contraction_of(arrays: ProblemArrays) -> Contraction:
    """The groups of a problem."""
    moved = _moved(arrays)
    only_reader = np.zeros(arrays.layers + 1, dtype=np.int64)
    only_reader[arrays.read_value] = arrays.read_layer
    last = np.where(moved, only_reader[1:], np.arange(arrays.layers))
    while moved[last].any():
        last = last[last]
    # A group's layers but the last are read inside it alone: by their last layers, groups are in execution order.
    group = np.cumsum(~moved)[last] - 1
    return Contraction(group, np.flatnonzero(moved), _grouped(arrays, group, moved))


def _moved(arrays: ProblemArrays) -> Bools:
    readers = np.bincount(arrays.read_value, minlength=arrays.layers + 1)[1:]
    read_bytes = np.bincount(arrays.read_layer, arrays.sent_bytes[arrays.read_value], arrays.layers)
    moved = (readers == 1) & (arrays.sent_bytes[1:] >= read_bytes) & ~_slower_later(arrays.seconds)
    moved[arrays.outputs] = False
    return np.asarray(moved & ~arrays.forced_first)


def _slower_later(seconds: Floats) -> Bools:
    return np.asarray((seconds[:, 1:] > seconds[:, :-1]).any(axis=1))


def _grouped(arrays: ProblemArrays, group: Ints, moved: Bools) -> ProblemArrays:
    """The problem of groups; a group's value is that of its last layer, the only one that is not moved."""
    last = np.flatnonzero(~moved)
    values = np.concatenate(([0], last + 1))
    outside = np.concatenate(([True], ~moved))[arrays.read_value]
    value_of = np.concatenate(([0], group + 1))
    keys = group[arrays.read_layer[outside]] * (len(last) + 1) + value_of[arrays.read_value[outside]]
    read_layer, read_value = np.divmod(sorted_unique(keys), len(last) + 1)
    return replace(
        arrays,
        seconds=_sums(group, arrays.seconds),
        value_bytes=arrays.value_bytes[values],
        own_bytes=arrays.own_bytes[values],
        sent_bytes=arrays.sent_bytes[values],
        sent_bits=arrays.sent_bits[values],
        weight_bytes=_sums(group, arrays.weight_bytes[:, None])[:, 0].astype(np.int64),
        read_value=read_value,
        read_layer=read_layer,
        outputs=group[arrays.outputs],
    )


def _sums(group: Ints, amounts: Floats | Ints) -> Floats:
    """Sums per group and column, shape (groups, columns)."""
    return np.array([np.bincount(group, column) for column in amounts.T]).T

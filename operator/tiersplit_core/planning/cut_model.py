"""Latency over M ordered tiers as one minimum cut.

One binary x[v, k] per layer v and link k says that v runs beyond link k. A layer's seconds are the arcs of its chain
through the binaries (the layered construction of Ishikawa, "Exact optimization for Markov random fields with convex
priors", PAMI 2003; the precedence arcs are those of Picard, "Maximal closure of a graph", 1976). A tensor with several
readers crosses a link once: an auxiliary node is beyond the link when any reader is. A link's latency, and what both
its ends spend on using it, is paid when anything crosses it: whatever runs beyond link k got there through a tensor
that crossed k, so one auxiliary node per link that is beyond it when any last layer is pays it exactly. The result's
way back is paid by the outputs themselves.
"""

from dataclasses import dataclass, replace

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.cost.problem import Objective
from tiersplit_core.planning.contraction import contraction_of
from tiersplit_core.planning.implied import needed_reads
from tiersplit_core.planning.maxflow import SINK, SOURCE, Network, cuts, network_of

_TARGET_GAP = 1e-12


@dataclass(frozen=True, slots=True)
class CutAnswer:
    """A placement with its proof.

    Attributes:
        tiers: tier per layer, shape (L,).
        objective_s: latency of the placement in seconds.
        lower_s: no placement is faster than this.
    """

    tiers: Ints
    objective_s: float
    lower_s: float

    @property
    def gap(self) -> float:
        """Relative distance to the lower bound."""
        return max(self.objective_s - self.lower_s, 0.0) / self.objective_s if self.objective_s > 0 else 0.0


class CutModel:
    """The network of a problem's structure; seconds, bandwidths and latencies may change between solves.

    Args:
        arrays: a problem; its graph, tiers, privacy and result tier make the structure. What it minimises does not
            count: the capacity that no cut may use is an upper bound of latency.
    """

    def __init__(self, arrays: ProblemArrays) -> None:
        problem = replace(arrays.problem, objective=Objective.LATENCY)
        self._contraction = contraction_of(replace(arrays, problem=problem))
        arrays = self._contraction.arrays
        self._links = arrays.tiers - 1
        self._layers = arrays.layers
        self._arcs: list[tuple[Ints, Ints]] = []
        self._nodes = 2 + self._layers * self._links
        self._ordering, self._sending = needed_reads(arrays)
        self._value = arrays.read_value[self._sending]
        self._readers = np.bincount(self._value, minlength=self._layers + 1)
        self._sinks = np.setdiff1d(np.arange(self._layers), arrays.read_value - 1)
        self._add_structure(arrays)
        tails, heads = (np.concatenate(ends) for ends in zip(*self._arcs, strict=True))
        self._network: Network = network_of(self._nodes, tails, heads)

    def solve(self, arrays: ProblemArrays) -> CutAnswer:
        """The placement of least latency for the numbers of `arrays`, memory limits aside."""
        if not self._contraction.holds(arrays.seconds):
            return CutModel(arrays).solve(arrays)
        answer = self._solve(self._contraction.under(arrays))
        return replace(answer, tiers=answer.tiers[self._contraction.group])

    def _solve(self, arrays: ProblemArrays) -> CutAnswer:
        """As `solve`, for layers that are groups."""
        seconds = self._layer_seconds(arrays)
        base = float(seconds.min(axis=1).sum() + arrays.request_s.sum())
        best = _best_single_tier(arrays)
        if best.objective_s <= base:
            return CutAnswer(best.tiers, best.objective_s, min(base, best.objective_s))
        lower = base
        for cut in cuts(self._network, self._capacities(arrays, seconds), best.objective_s - base):
            tiers = self._tiers_of(cut.sink_side)
            found = objective_s(arrays, tiers)
            lower = max(lower, base + cut.lower)
            if found < best.objective_s:
                best = CutAnswer(tiers, found, lower)
            if best.objective_s - lower <= _TARGET_GAP * best.objective_s:
                break
        return CutAnswer(best.tiers, best.objective_s, min(lower, best.objective_s))

    def _binary(self, layers: Ints, link: int) -> Ints:
        return 2 + layers * self._links + link

    def _new_nodes(self, count: int) -> Ints:
        first = self._nodes
        self._nodes += count
        return np.arange(first, self._nodes)

    def _add(self, tails: Ints | int, heads: Ints | int) -> None:
        tails, heads = np.broadcast_arrays(tails, heads)
        self._arcs.append((tails.astype(np.int64), heads.astype(np.int64)))

    def _add_structure(self, arrays: ProblemArrays) -> None:
        """Add all arcs; `_capacities` lists their capacities in the same order."""
        everything = np.arange(self._layers)
        for tier in range(self._links + 1):
            tails = self._binary(everything, tier) if tier < self._links else SOURCE
            self._add(tails, self._binary(everything, tier - 1) if tier else SINK)
        forced = np.flatnonzero(arrays.forced_first)
        for link in range(self._links):
            if link + 1 < self._links:
                self._add(self._binary(everything, link), self._binary(everything, link + 1))
            self._add_reads(arrays, link)
            self._add_latency(self._sinks, link)
            if arrays.way_back:
                self._add_latency(arrays.outputs, link)
            self._add(SOURCE, self._binary(forced, link))

    def _add_reads(self, arrays: ProblemArrays, link: int) -> None:
        before, behind = arrays.read_value[self._ordering], arrays.read_layer[self._ordering]
        inner = before > 0
        self._add(self._binary(behind[inner], link), self._binary(before[inner] - 1, link))
        value, reader = self._value, self._binary(arrays.read_layer[self._sending], link)
        single = self._readers[value] == 1
        self._add(self._value_nodes(value[single], link), reader[single])
        shared = np.flatnonzero(self._readers > 1)
        auxiliary = np.zeros(self._layers + 1, dtype=np.int64)
        auxiliary[shared] = self._new_nodes(len(shared))
        self._add(self._value_nodes(shared, link), auxiliary[shared])
        self._add(auxiliary[value[~single]], reader[~single])

    def _value_nodes(self, values: Ints, link: int) -> Ints:
        return np.where(values > 0, self._binary(values - 1, link), SOURCE)

    def _add_latency(self, layers: Ints, link: int) -> None:
        """An auxiliary node that is beyond the link when any of `layers` is, and then pays the link's latency."""
        node = self._new_nodes(1)
        self._add(SOURCE, node)
        self._add(node, self._binary(layers, link))

    def _layer_seconds(self, arrays: ProblemArrays) -> Floats:
        """Seconds per layer and tier, shape (L, M); outputs pay the bytes of their way back from each tier."""
        if not arrays.way_back:
            return arrays.seconds
        seconds = arrays.seconds.copy()
        per_byte = np.concatenate(([0.0], np.cumsum(arrays.s_per_byte)))
        seconds[arrays.outputs] += arrays.value_bytes[arrays.outputs + 1][:, None] * per_byte
        return seconds

    def _capacities(self, arrays: ProblemArrays, seconds: Floats) -> Floats:
        never = np.inf
        value, inner = self._value, arrays.read_value[self._ordering] > 0
        single = self._readers[value] == 1
        shared = np.flatnonzero(self._readers > 1)
        used_s, s_per_byte = arrays.used_s, arrays.s_per_byte
        parts = [(seconds - seconds.min(axis=1, keepdims=True)).T.ravel()]
        for link in range(self._links):
            send_s = arrays.sent_bytes * s_per_byte[link]
            if link + 1 < self._links:
                parts.append(np.full(self._layers, never))
            parts += [np.full(int(inner.sum()), never), send_s[value[single]], send_s[shared]]
            parts += [np.full(int((~single).sum()), never), used_s[link : link + 1]]
            parts.append(np.full(len(self._sinks), never))
            if arrays.way_back:
                parts += [arrays.latency_s[link : link + 1], np.full(len(arrays.outputs), never)]
            parts.append(np.full(int(arrays.forced_first.sum()), never))
        return np.concatenate(parts)

    def _tiers_of(self, sink_side: np.ndarray) -> Ints:
        binaries = sink_side[2 : 2 + self._layers * self._links].reshape(self._layers, self._links)
        return np.asarray(binaries.sum(axis=1), dtype=np.int64)


def _best_single_tier(arrays: ProblemArrays) -> CutAnswer:
    """The best placement that has everything that may move on one tier."""
    places = [np.where(arrays.forced_first, 0, tier) for tier in range(arrays.tiers)]
    return min((CutAnswer(tiers, objective_s(arrays, tiers), 0.0) for tiers in places), key=lambda a: a.objective_s)

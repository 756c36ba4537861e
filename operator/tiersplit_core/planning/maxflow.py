"""Minimum cuts with real capacities, exact to rounding, on top of scipy's integer Dinic.

scipy's `maximum_flow` (Dinic 1970, O(V² E)) takes 32-bit capacities. One scaled pass loses whole digits where
capacities span many magnitudes, so the pass is repeated on what remains: each round scales the residual network so
that the remaining gap fills the integers, finds a maximum flow there and subtracts it in floating point. The flow is a
lower bound and the cut an upper bound at every round; their difference is the proof. A round shrinks it by about E/2²⁹.
No least cut separates nodes that reach each other over residuals above the gap: they are one node from then on, which
leaves a handful to later rounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SOURCE, SINK = 0, 1
MAX_ROUNDS = 6
_INTEGER_GAP = 2.0**29

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Network:
    """A directed network in symmetric CSR form: every arc's reverse has a place of its own.

    Attributes:
        nodes: how many nodes; 0 is the source, 1 the sink.
        indptr: CSR row starts, shape (nodes + 1,).
        heads: CSR column per place.
        tails: CSR row per place.
        places: the place of each arc as it was given, shape (arcs,).
    """

    nodes: int
    indptr: NDArray[np.int32]
    heads: NDArray[np.int32]
    tails: NDArray[np.int32]
    places: Ints


def sorted_unique(keys: Ints) -> Ints:
    """As numpy's `unique`, whose hashing is several times slower than sorting at the size of a network."""
    keys = np.sort(keys)
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    return np.asarray(keys[first])


def network_of(nodes: int, tails: Ints, heads: Ints) -> Network:
    """The network of arcs `tails[i]` → `heads[i]`; parallel arcs share a place."""
    forward, backward = tails * nodes + heads, heads * nodes + tails
    keys = sorted_unique(np.concatenate((forward, backward)))
    rows, columns = np.divmod(keys, nodes)
    indptr = np.searchsorted(rows, np.arange(nodes + 1))
    places = np.searchsorted(keys, forward)
    return Network(nodes, indptr.astype(np.int32), columns.astype(np.int32), rows.astype(np.int32), places)


@dataclass(frozen=True, slots=True)
class Cut:
    """A cut and its proof.

    Attributes:
        sink_side: whether each node lies on the sink's side, shape (nodes,).
        value: capacity of the cut.
        lower: value of a flow: no cut is smaller.
    """

    sink_side: Bools
    value: float
    lower: float


def cuts(network: Network, capacity: Floats, upper: float) -> Iterator[Cut]:
    """Cuts of shrinking gap, one per round.

    Args:
        network: the arcs.
        capacity: capacity per arc as given to `network_of`, shape (arcs,); infinite where an arc may not be cut.
        upper: capacity of some cut, positive and finite.

    Yields:
        A cut with the value of a flow; stops where rounding allows no better proof or after `MAX_ROUNDS`.
    """
    full: Floats = np.bincount(network.places, capacity, len(network.heads)).astype(np.float64)
    rest, residual, joined = network, full, np.arange(network.nodes)
    flow, gap = 0.0, upper
    for _ in range(MAX_ROUNDS):
        scale = _INTEGER_GAP / gap
        # No minimum cut contains an arc above the gap: twice the gap is as good as infinite, and fits 32 bits.
        integers = np.floor(np.clip(residual, 0.0, 2.0 * gap) * scale).astype(np.int32)
        value, moved = _dinic(rest, integers)
        sink_side = ~_reachable(rest, integers - moved > 0)[joined]
        flow += value / scale
        cut_value = float(full[~sink_side[network.tails] & sink_side[network.heads]].sum())
        yield Cut(sink_side, cut_value, min(flow, cut_value))
        remaining = cut_value - flow
        if not 0.0 < remaining < gap:
            return
        gap = remaining
        rest, residual, groups = _join(rest, residual - moved / scale, 2.0 * gap)
        joined = groups[joined]
        if joined[SOURCE] == joined[SINK]:
            return


def _join(network: Network, residual: Floats, above: float) -> tuple[Network, Floats, Ints]:
    """Make one node of nodes that reach each other over residuals `above` this.

    Returns:
        The network of groups, its residuals, and the group of each node; source and sink share one where the gap is
        below what rounding leaves of the residuals.
    """
    count, groups = _strong_components(network, residual > above)
    ends = groups[[SOURCE, SINK]]
    order = np.concatenate((ends, np.setdiff1d(np.arange(count), ends)))
    position = np.zeros(count, dtype=np.int64)
    position[order] = np.arange(len(order))
    groups = position[groups]
    tails, heads = groups[network.tails], groups[network.heads]
    outside = tails != heads
    smaller = network_of(len(order), tails[outside], heads[outside])
    sums: Floats = np.bincount(smaller.places, residual[outside], len(smaller.heads)).astype(np.float64)
    return smaller, sums, groups


def _dinic(network: Network, integers: NDArray[np.int32]) -> tuple[int, NDArray[np.int32]]:
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - 0.3 s that commands without planning need not pay
    from scipy.sparse.csgraph import maximum_flow  # noqa: PLC0415

    graph = csr_matrix((integers, network.heads, network.indptr), shape=(network.nodes, network.nodes))
    graph.has_sorted_indices = True
    result = maximum_flow(graph, SOURCE, SINK, method="dinic")
    return int(result.flow_value), np.asarray(result.flow.data)


def _graph_of(network: Network, usable: Bools) -> "csr_matrix":
    """The network with usable places alone."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    starts = np.concatenate(([0], np.cumsum(usable)))[network.indptr].astype(np.int32)
    heads = network.heads[usable]
    return csr_matrix((np.ones(len(heads)), heads, starts), shape=(network.nodes, network.nodes))


def _reachable(network: Network, usable: Bools) -> Bools:
    """Which nodes the source reaches over usable places."""
    from scipy.sparse.csgraph import breadth_first_order  # noqa: PLC0415

    order = breadth_first_order(_graph_of(network, usable), SOURCE, directed=True, return_predecessors=False)
    reached = np.zeros(network.nodes, dtype=bool)
    reached[order] = True
    return reached


def _strong_components(network: Network, usable: Bools) -> tuple[int, Ints]:
    """How many groups of nodes reach each other over usable places, and the group of each node."""
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    count, groups = connected_components(_graph_of(network, usable), directed=True, connection="strong")
    return int(count), np.asarray(groups, dtype=np.int64)

"""Which layers the first tier may run: the transmission DAG and the potential splits of AUTO-SPLIT §4.1.

    P = { n | T_n <= T_0,  b_min (Σ_{i<=n} s_i^w + max_{i<=n} s_i^a) <= M }        (6)

The paper sorts the network topologically and splits behind each layer. A head here is any set of layers that contains
what its members read: those of the paper, and where a network has branches those that divide them, as long as they are
no more than `MAX_HEADS`. Otherwise it is the paper's heads and those of minimum cuts.
"""

from collections.abc import Iterable

import numpy as np

from tiersplit_core.cost.arrays import Bools, Ints, ProblemArrays
from tiersplit_core.cost.widths import WidthArrays, at_widths, uniform_choice
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.two_tiers import first_and_last

MAX_HEADS = 512


def all_heads(arrays: ProblemArrays, able: Bools, most: int = MAX_HEADS) -> Bools | None:
    """Every legal head that keeps on the first tier what must be there, shape (H, L); None where there are more.

    Of all layers, those that are `able`, shape (L,), can run on the first tier.

    Complexity: O(H · reads).
    """
    found = np.zeros((1, 0), dtype=bool)
    for layer in range(arrays.layers):
        values = arrays.read_value[arrays.read_layer == layer]
        ready = found[found[:, values[values > 0] - 1].all(axis=1) & able[layer]]
        joined = np.column_stack((ready, np.ones(len(ready), dtype=bool)))
        left_out = np.column_stack((found, np.zeros(len(found), dtype=bool)))
        found = joined if arrays.forced_first[layer] else np.concatenate((left_out, joined))
        if len(found) > most:
            return None
    return found


def useless_first(arrays: ProblemArrays, widths: WidthArrays) -> Bools:
    """The layers that no best plan needs on the first tier, shape (L,).

    Those are layers that only the last tier can run (opaque ones), and layers that send nothing else when they join
    them there: all that read them are in the set, and all that they read is, too, or crosses every link anyway because
    a layer that only the last tier can run reads it. Where the last tier has room and is as fast in each of them,
    nothing is lost. The largest such set is what is left once no layer of it breaks these rules.

    Complexity: O(L · reads).
    """
    last_alone = np.asarray(~np.isfinite(widths.seconds[:, :, :-1]).any(axis=(1, 2)))
    found = last_alone | _as_fast_on_last(arrays, widths)
    crosses = np.zeros(arrays.layers + 1, dtype=bool)
    crosses[arrays.read_value[last_alone[arrays.read_layer]]] = True
    while True:
        early = ~found[arrays.read_layer] & (arrays.read_value > 0)
        free = np.concatenate((crosses[:1], crosses[1:] | found))
        costly = ~free[arrays.read_value]
        left_out = np.zeros(arrays.layers, dtype=bool)
        left_out[arrays.read_value[early] - 1] = True
        left_out[arrays.read_layer[costly]] = True
        if not (found & left_out & ~last_alone).any():
            return found
        found &= ~left_out | last_alone


def _as_fast_on_last(arrays: ProblemArrays, widths: WidthArrays) -> Bools:
    """Layers that may move to the last tier without being slower there or making another tier or link wait."""
    limit, everything = arrays.limits[-1], int(arrays.weight_bytes.sum() + arrays.value_bytes.sum())
    if arrays.throughput or (limit is not None and everything > limit):
        return np.zeros(arrays.layers, dtype=bool)
    earliest_s = widths.seconds[:, :, :-1].min(axis=(1, 2), initial=np.inf)
    free = np.asarray(~arrays.forced_first & (arrays.seconds[:, -1] <= earliest_s) & arrays.able[:, -1])
    if arrays.way_back:
        free[arrays.outputs] = False
    return free


def heads_in_order(arrays: ProblemArrays) -> Bools:
    """The heads along the execution order, the paper's topological order, shape (H, L)."""
    earliest = int(np.flatnonzero(arrays.forced_first).max(initial=-1)) + 1
    return np.arange(arrays.layers) < np.arange(earliest, arrays.layers + 1)[:, None]


def cut_heads(arrays: ProblemArrays, widths: WidthArrays, bits: Iterable[int]) -> Bools:
    """The head of the minimum cut of the network as it is and at each uniform width, b_min among them, shape (H, L)."""
    choices = [np.zeros(arrays.layers, dtype=np.int64), *(uniform_choice(widths, width, width) for width in bits)]
    networks = (first_and_last(at_widths(arrays, widths, choice)) for choice in choices)
    return np.array([CutModel(network).solve(network).tiers == 0 for network in networks])


def transmission_dag(arrays: ProblemArrays, heads: Bools) -> Bools:
    """Which values cross behind each head: the edges of the transmission DAG, shape (H, L + 1)."""
    inside = np.column_stack((np.ones(len(heads), dtype=bool), heads))
    crossing = np.zeros_like(inside)
    for value, layer in zip(arrays.read_value.tolist(), arrays.read_layer.tolist(), strict=True):
        crossing[:, value] |= inside[:, value] & ~heads[:, layer]
    return crossing


def least_sent_bytes(arrays: ProblemArrays, widths: WidthArrays, heads: Bools) -> Ints:
    """T_n: bytes behind each head with every activation at its fewest bits, b_min s^a, shape (H,)."""
    usable = np.where(widths.on_first, widths.sent_bytes, np.iinfo(np.int64).max)
    least = np.concatenate((arrays.sent_bytes[:1], usable.min(axis=1)))
    return np.asarray(transmission_dag(arrays, heads) @ least)


def sends_no_more_than_input(arrays: ProblemArrays, widths: WidthArrays, heads: Bools) -> Bools:
    """The first condition of (6), T_n <= T_0, shape (H,).

    It spares a head only what sending the input alone would make better. The paper's cloud is faster in every layer;
    where the first tier runs a head's layers faster, the head stays. So does every head where the input may not travel,
    the result must come back, the last tier might not hold the network, or tiers between could be used.
    """
    problem = arrays.problem
    bound_to_first = problem.raw_input_tier is not None or problem.result_tier is not None
    if arrays.tiers > 2 or arrays.throughput or bound_to_first or arrays.limits[-1] is not None:
        return np.ones(len(heads), dtype=bool)
    fastest = np.where(widths.able, widths.seconds[:, :, 0].min(axis=1), 0.0)
    slower_first = heads @ fastest >= heads @ arrays.seconds[:, -1]
    return np.asarray((least_sent_bytes(arrays, widths, heads) <= arrays.sent_bytes[0]) | ~slower_first)

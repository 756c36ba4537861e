"""Reads that a network of the minimum cut can leave out, because others say the same.

Tiers never fall along an edge. So a layer need not be ordered after a value that another value it reads comes after,
and where one reader of a value comes after another, the value is beyond a link when the later one is.
"""

import numpy as np

from tiersplit_core.cost.arrays import Bools, ProblemArrays


def needed_reads(arrays: ProblemArrays) -> tuple[Bools, Bools]:
    """Which reads a network needs.

    Complexity: O(E L / 64) by sets of layers as bits of a number.

    Returns:
        Those that order a layer after a value, and those that send a value to a layer, shape (E,) each.
    """
    reads = list(zip(arrays.read_value.tolist(), (arrays.read_layer + 1).tolist(), strict=True))
    bit = [1 << value for value in range(arrays.layers + 1)]
    before = [0] * len(bit)
    indirect = [0] * len(bit)
    # Reads ascend by reader, so whatever comes before a value is complete when the value is read.
    for value, own in reads:
        indirect[own] |= before[value]
        before[own] |= before[value] | bit[value]
    overtaken = [0] * len(bit)
    for value, own in reads:
        overtaken[value] |= before[own]
    ordering = [not indirect[own] & bit[value] for value, own in reads]
    sending = [not overtaken[value] & bit[own] for value, own in reads]
    return np.array(ordering, dtype=bool), np.array(sending, dtype=bool)

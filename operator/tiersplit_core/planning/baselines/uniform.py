"""Uniform quantisation, edge-only: every layer on the first tier with the same bits (AUTO-SPLIT §5.2, U2 to U8).

A layer that lacks these bits takes its widest variant below them, else its narrowest; one without variants runs as it
is. TQ (8 bit) of table 3 is TensorFlow Lite's post-training quantisation of the whole network, so U8 by another name.
"""

from functools import partial

import numpy as np

from tiersplit_core.cost.arrays import ProblemArrays
from tiersplit_core.cost.widths import uniform_choice, width_arrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.quantised_answer import quantised_baseline
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution


def solve(arrays: ProblemArrays, options: SolverOptions, name: str, bits: int) -> Solution:  # noqa: ARG001 - all solvers take the same
    """Everything on the first tier with weights and activations of `bits` bits."""
    if not arrays.quantised:
        return infeasible(name, f"graph.layers[].variants: {name} needs layers with variants, and there are none")
    widths = width_arrays(arrays)
    everywhere = np.zeros(arrays.layers, dtype=np.int64)
    return quantised_baseline(arrays, widths, everywhere, uniform_choice(widths, bits, bits), name)


u2 = partial(solve, name="u2", bits=2)
u4 = partial(solve, name="u4", bits=4)
u6 = partial(solve, name="u6", bits=6)
u8 = partial(solve, name="u8", bits=8)
tq8 = partial(solve, name="tq8", bits=8)

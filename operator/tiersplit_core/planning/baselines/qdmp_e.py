"""QDMP_E: QDMP's split, with nothing but its edge part stored on the edge (AUTO-SPLIT §5.3); and with 4 bits (§5.4).

QDMP itself keeps the whole network on the edge, so that it may divide it anew as the link changes.
"""

import numpy as np

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.cost.widths import uniform_choice, width_arrays
from tiersplit_core.planning.answer import infeasible
from tiersplit_core.planning.autosplit.quantised_answer import quantised_baseline
from tiersplit_core.planning.cut_model import CutModel
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.two_tiers import baseline_solution, first_and_last, on_all_tiers

NAME = "qdmp-e"
NAME_U4 = "qdmp-e-u4"
_BITS = 4


def solve(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The minimum cut on two tiers, its edge part as it is."""
    return baseline_solution(arrays, _cut(arrays), NAME)


def solve_u4(arrays: ProblemArrays, options: SolverOptions) -> Solution:  # noqa: ARG001 - all solvers take the same
    """The minimum cut on two tiers, its edge part with weights and activations of 4 bits."""
    if not arrays.quantised:
        return infeasible(NAME_U4, f"graph.layers[].variants: {NAME_U4} needs layers with variants, and there are none")
    widths, tiers = width_arrays(arrays), _cut(arrays)
    return quantised_baseline(
        arrays, widths, tiers, np.where(tiers == 0, uniform_choice(widths, _BITS, _BITS), 0), NAME_U4
    )


def _cut(arrays: ProblemArrays) -> Ints:
    pair = first_and_last(arrays)
    return on_all_tiers(arrays, CutModel(pair).solve(pair).tiers)

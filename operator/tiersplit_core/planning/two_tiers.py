"""The problem between the first and the last tier alone, as papers for two tiers see it."""

from dataclasses import replace

import numpy as np

from tiersplit_core.cost.arrays import Floats, Ints, ProblemArrays
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.planning.answer import infeasible, solution_of
from tiersplit_core.planning.feasibility import cannot_run
from tiersplit_core.planning.solution import Solution


def first_and_last(arrays: ProblemArrays) -> ProblemArrays:
    """The arrays with the first and the last tier, and one link as slow as all links after each other."""
    return replace(
        arrays,
        seconds=arrays.seconds[:, [0, -1]],
        bandwidth_bps=np.array([1.0 / np.sum(1.0 / arrays.bandwidth_bps)]),
        latency_s=np.array([arrays.latency_s.sum()]),
        limits=(arrays.limits[0], arrays.limits[-1]),
        request_s=arrays.request_s[[0, -1]],
        hop_s=_on_one_link(arrays.hop_s),
        hop_s_per_byte=_on_one_link(arrays.hop_s_per_byte),
    )


def _on_one_link(spent: Floats) -> Floats:
    """What the first tier and all others together spend on all links, shape (2, 1); links are used all or none."""
    return np.array([[spent[0].sum()], [spent[1:].sum()]])


def on_all_tiers(arrays: ProblemArrays, tiers: Ints) -> Ints:
    """A placement on two tiers as one on the first and the last of all tiers."""
    return np.where(tiers > 0, arrays.tiers - 1, 0)


def baseline_solution(arrays: ProblemArrays, tiers: Ints, name: str) -> Solution:
    """A baseline's placement as a solution; infeasible where it breaks privacy or a memory limit."""
    if (tiers[arrays.forced_first] > 0).any():
        return infeasible(name, f"raw_input_tier: {name} sends the input off the first tier")
    misplaced = arrays.misplaced(tiers)
    if len(misplaced):
        return infeasible(name, cannot_run(arrays, tiers, int(misplaced[0])))
    exceeded = exceeded_tiers(arrays, tiers)
    if exceeded:
        tier = arrays.problem.tiers[exceeded[0]]
        excess = f"what {name} puts on {tier.name} needs more than {tier.memory_bytes} bytes"
        return infeasible(name, f"tiers[{exceeded[0]}].memory_bytes: {excess}")
    return solution_of(arrays, tiers, name, None)

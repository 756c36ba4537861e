"""Why nothing fits: the constraint of an infeasible problem in words."""

from tiersplit_core.cost.arrays import Ints, ProblemArrays
from tiersplit_core.units import format_bytes


def cannot_run(arrays: ProblemArrays, tiers: Ints, layer: int) -> str:
    """That a placement has a layer on a tier that cannot run it."""
    name, tier = arrays.problem.layers[layer].name, arrays.problem.tiers[int(tiers[layer])].name
    return f"graph.layers[{layer}].seconds.{tier}: {name} cannot run on {tier}"


def failing_constraint(arrays: ProblemArrays) -> str:
    """The constraint that an infeasible problem breaks; only memory limits can make one infeasible."""
    tiers = arrays.problem.tiers
    forced = arrays.forced_first
    pinned = int(arrays.weight_bytes[forced].sum())
    first = arrays.limits[0]
    if first is not None and pinned > first:
        return (
            f"tiers[0].memory_bytes: {tiers[0].name} has {first} bytes ({format_bytes(first)}), but raw_input_tier "
            f"keeps {int(forced.sum())} layers there whose weights alone need {pinned} bytes ({format_bytes(pinned)})"
        )
    weights = int(arrays.weight_bytes.sum())
    limits = [limit for limit in arrays.limits if limit is not None]
    if len(limits) == len(tiers) and weights > sum(limits):
        return (
            f"tiers[].memory_bytes: all tiers together have {sum(limits)} bytes, "
            f"but the weights alone need {weights} bytes"
        )
    stated = ", ".join(f"{t.name} {t.memory_bytes} bytes" for t in tiers if t.memory_bytes is not None)
    private = " with the input kept on the first tier" if arrays.problem.raw_input_tier is not None else ""
    return f"tiers[].memory_bytes: no placement{private} keeps weights and working set within the limits ({stated})"

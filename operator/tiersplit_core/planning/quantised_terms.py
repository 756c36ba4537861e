"""What a plan with bit widths costs: its terms at one batch size, as a surface keeps them."""

import numpy as np

from tiersplit_core.cost.arrays import Ints, arrays_of
from tiersplit_core.cost.latency import terms_of
from tiersplit_core.cost.memory import exceeded_tiers
from tiersplit_core.cost.problem import Problem, ProblemLayer
from tiersplit_core.cost.widths import at_widths, width_arrays
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.look_up import PlanTerms
from tiersplit_core.planning.plan import Plan


def quantised_terms(problem: Problem, plan: Plan) -> PlanTerms | None:
    """The terms of a plan; None where it does not fit the memory.

    Args:
        problem: with variants at the plan's bit widths.
        plan: the plan.

    Raises:
        ProblemError: a layer lacks the plan's bit widths.
    """
    arrays = arrays_of(problem)
    choice = np.array([_variant(layer, plan) for layer in problem.layers], dtype=np.int64)
    at, tiers = at_widths(arrays, width_arrays(arrays), choice), arrays.tiers_of(plan.placement)
    if exceeded_tiers(at, tiers):
        return None
    terms = terms_of(at, tiers)
    return PlanTerms(tuple(terms.tier_s.tolist()), tuple(terms.link_bytes.tolist()), tuple(terms.link_trips.tolist()))


def runs_on_first_tier(problem: Problem, plan: Plan) -> bool:
    """Whether a plan needs no link."""
    tiers: Ints = arrays_of(problem).tiers_of(plan.placement)
    return not tiers.any()


def _variant(layer: ProblemLayer, plan: Plan) -> int:
    """The position of the layer's variant in the plan, as `cost.widths` counts."""
    wanted = plan.widths.get(layer.name)
    if wanted is None:
        return 0
    for i, variant in enumerate(layer.variants, start=1):
        if (variant.weight_bits, variant.activation_bits) == wanted:
            return i
    raise ProblemError(f"{layer.name!r} cannot run at {wanted[0]} and {wanted[1]} bits", "layers")

"""Whether the segments that were cut compute, one after another, what the whole model computes."""

from collections.abc import Sequence
from functools import partial

from tiersplit_bundle import Bundle
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_import.plan_run import PlanRun, open_segment
from tiersplit_import.verify import Difference, compare


def check_chain(bundle: Bundle, plans: Sequence[Plan]) -> Difference | None:
    """Run a surface's plan without bit widths on the golden inputs and compare with the golden outputs.

    All of its plans without bit widths run the same segments, wherever they run them; one session is held at a time.

    Args:
        bundle: holds their segments, the weights and the golden pair.
        plans: the surface's.

    Returns:
        The largest difference; None where each plan has bit widths, and so computes something else.

    Raises:
        BundleError: a segment is missing.
        ModelError: they compute something else.
    """
    plan = next((plan for plan in plans if not plan.widths), None)
    if plan is None:
        return None
    inputs, expected = bundle.golden()
    found = PlanRun(bundle, plan, segments_of(bundle.graph, plans))(inputs, partial(open_segment, bundle))
    keys = [key for key, _ in bundle.graph.output_names]
    return compare([expected[key] for key in keys], [found[key] for key in keys], keys)

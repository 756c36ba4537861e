"""A hundred SplitDeployments of one profiled bundle: planned in bounded time, with a bounded operator."""

import sys
import time

from tests.cluster.kubectl import apply
from tests.cluster.waiting import wait_until
from tests.support.cluster_digits import manifest
from tests.support.cluster_product import Product
from tests.support.cluster_scale import all_planned, copies, effort, pretended

COUNT, PLANNED_S, REST_S = 100, 240.0, 30.0
MOST_BYTES = 2**30
NAMESPACE = "digits-e2e-many"


def test_a_hundred_resources_of_one_profiled_bundle_are_planned_without_a_job(unshaped: Product) -> None:
    bundle = unshaped.status["surface"]["bundle"]
    with pretended(NAMESPACE):
        before, began_s = effort(), time.monotonic()
        apply(copies(manifest("copy", bundle), NAMESPACE, COUNT))
        wait_until(lambda: all_planned(NAMESPACE, COUNT), f"{COUNT} were planned", PLANNED_S, 1)
        took_s, busy = time.monotonic() - began_s, effort()
        resting = rest()
    said = (
        f"{COUNT} planned in {took_s:.0f} s: {busy.since(before)}; at rest {resting}, {busy.resident_bytes:.0f} bytes"
    )
    sys.stderr.write(f"\n{said}\n")
    assert busy.resident_bytes <= MOST_BYTES, said


def rest() -> dict[str, float]:
    """What the operator takes while nothing changes."""
    before = effort()
    wait_until(lambda: time.monotonic() - before.at_s >= REST_S, "a while had passed", 2 * REST_S, 1)
    return effort().since(before)

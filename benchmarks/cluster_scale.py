"""A thousand SplitDeployments of one profiled bundle on nodes that pretend: time, operator, API calls."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.report import publish
from tests.cluster import cluster
from tests.cluster.kubectl import apply, kubectl
from tests.cluster.waiting import wait_until
from tests.support.cluster_digits import manifest
from tests.support.cluster_scale import (
    NODES,
    all_planned,
    copies,
    counted,
    effort,
    pretended,
    restart,
    restarts,
    settle,
)
from tests.support.cluster_session import deployed, installed

COUNTS, PATIENCE_S, LOOK_S = (100, 1000), 2400, 60
MOST_MEBIBYTES = 1024
NAMESPACE = "digits-scale"
NOTE = f"{NODES} fake nodes; each resource has three stages; the operator's own metrics."
GROUP = 100


def main():
    cluster.up()
    rows = []
    with installed() as installation, deployed(installation) as product:
        bundle = product.status["surface"]["bundle"]
        for count in COUNTS:
            for found in measure(manifest("copy", bundle), count):
                rows.append(found)
                publish("cluster_scale", rows, NOTE)


def measure(wanted, count):
    """The rows of so many resources, as they come: what a machine is too small for loses none of those before it."""
    with pretended(NAMESPACE):
        before = effort()
        made = list(copies(wanted, NAMESPACE, count))
        for first in range(0, count, GROUP):
            apply(made[first : first + GROUP])
        pause_s = max(2, count // 100)
        wait_until(lambda: all_planned(NAMESPACE, count), f"{count} were planned", PATIENCE_S, pause_s)
        after = effort()
        yield figure(f"{count}: until all are planned", after.at_s - before.at_s, "s")
        yield from phase_rows(f"{count}, until all are planned", after.since(before), after)
        wait_until(lambda: counted("Ready") >= count, f"{count} were ready", PATIENCE_S, pause_s)
        settle(PATIENCE_S)
        yield figure(f"{count}: until all are ready, and nothing waits for a look", time.monotonic() - before.at_s, "s")
        yield from phase_rows(f"{count}, at rest", *look(lambda: None))
        yield from phase_rows(f"{count}, while a tenth changes", *look(lambda: change(count // 10)))
        unasked, restarted_at = restarts(), time.monotonic()
        restart()
        restarted_s, unasked = time.monotonic() - restarted_at, unasked + restarts()
        yield figure(f"{count}: a restarted operator leads and has looked at everything", restarted_s, "s")
        yield memory_row(f"{count}, after that", effort())
        yield figure(f"{count}: restarts of its containers that nobody asked for", unasked, "", "0", unasked == 0)


def phase_rows(phase, taken, seen):
    return [
        figure(f"{phase}: operator's processors", taken["cpus"], "cores"),
        figure(f"{phase}: API calls", taken["calls"], "per minute"),
        figure(f"{phase}: 99th percentile of a reconcile", 1000 * taken["reconcile_p99_s"], "ms"),
        memory_row(phase, seen),
    ]


def memory_row(phase, seen):
    mebibytes = seen.resident_bytes / 2**20
    passed = mebibytes <= MOST_MEBIBYTES
    return figure(f"{phase}: memory of the larger replica", mebibytes, "MiB", "≤ 1024 MiB", passed)


def figure(what, measured, unit, target=None, passed=None):
    return {"what": what, "target": target, "measured": round(measured, 2), "unit": unit, "passed": passed}


def look(act):
    """What the operator takes in the minute after something, and where it stands then."""
    before = effort()
    act()
    wait_until(lambda: time.monotonic() - before.at_s >= LOOK_S, "a minute had passed", 10 * LOOK_S, 1)
    after = effort()
    return after.since(before), after


def change(count):
    for number in range(count):
        patch = json.dumps({"spec": {"adaptation": {"cooldownPeriodSeconds": 7}}})
        kubectl("patch", "splitdeployment", f"copy-{number}", f"--namespace={NAMESPACE}", "--type=merge", "-p", patch)


if __name__ == "__main__":
    main()

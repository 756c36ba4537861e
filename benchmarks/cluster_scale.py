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
from tests.support.cluster_scale import copies, effort, planned, pretended
from tests.support.cluster_session import deployed, installed

COUNTS, PATIENCE_S, LOOK_S = (100, 1000), 1800, 60
MOST_BYTES = 2**30
NAMESPACE = "digits-scale"
GROUP = 100


def main():
    cluster.up()
    with installed() as installation, deployed(installation) as product:
        bundle = product.status["surface"]["bundle"]
        rows = [found for count in COUNTS for found in measure(manifest("copy", bundle), count)]
    publish("cluster_scale", rows, "10 fake nodes; each resource has three stages; the operator's own metrics.")


def measure(wanted, count):
    with pretended(NAMESPACE):
        before = effort()
        made = list(copies(wanted, NAMESPACE, count))
        for first in range(0, count, GROUP):
            apply(made[first : first + GROUP])
        wait_until(lambda: planned(NAMESPACE) == count, f"{count} were planned", PATIENCE_S, 2)
        took_s, busy = time.monotonic() - before.at_s, effort()
        rest = look(lambda: None)
        changing = look(lambda: change(count // 10))
        now = effort()
    passed = now.resident_bytes <= MOST_BYTES
    return [
        figure(f"{count}: until all are planned", took_s, "s"),
        figure(f"{count}: operator's processors meanwhile", busy.since(before)["cpus"], "cores"),
        figure(f"{count}: operator's processors at rest", rest["cpus"], "cores"),
        figure(f"{count}: operator's processors while a tenth changes", changing["cpus"], "cores"),
        figure(f"{count}: API calls at rest", rest["calls"], "per minute"),
        figure(f"{count}: memory of the leader", now.resident_bytes / 2**20, "MiB", "≤ 1024 MiB", passed),
    ]


def figure(what, measured, unit, target=None, passed=None):
    return {"what": what, "target": target, "measured": round(measured, 2), "unit": unit, "passed": passed}


def look(act):
    """What the operator takes in the minute after something."""
    before = effort()
    act()
    wait_until(lambda: time.monotonic() - before.at_s >= LOOK_S, "a minute had passed", 10 * LOOK_S, 1)
    return effort().since(before)


def change(count):
    for number in range(count):
        patch = json.dumps({"spec": {"adaptation": {"cooldownPeriodSeconds": 7}}})
        kubectl("patch", "splitdeployment", f"copy-{number}", f"--namespace={NAMESPACE}", "--type=merge", "-p", patch)


if __name__ == "__main__":
    main()

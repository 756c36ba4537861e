"""Nodes that only pretend to run pods, for tests of scale: kwok, started on demand."""

import json
from typing import Any

from tests.cluster import processes
from tests.cluster.kubectl import apply, kubectl
from tests.cluster.layout import ClusterError, kubeconfig, state, uses_existing_cluster
from tests.cluster.network import run
from tests.cluster.processes import Program, ensure
from tests.cluster.programs import binary

LABEL = "tiersplit.dev/fake"
PROGRAM = "kwok"
READY_TIMEOUT_S = 120
NAME_PREFIX = "fake-"
POD_RANGE = "10.245.0.0/16"
NODE_ADDRESS = "192.0.2.1"
"""Of documentation's range: nothing answers there."""
LEASE_S = 20


def scale(count: int, pool: str | None = None) -> None:
    """Have exactly `count` fake nodes; each is tainted `tiersplit.dev/fake=true:NoSchedule`.

    Args:
        count: how many; 0 removes them and ends kwok.
        pool: the value of their label `tiersplit.dev/pool`, where pods should choose them by it.

    Raises:
        ClusterError: kwok did not start, or the nodes did not become Ready.
    """
    if uses_existing_cluster():
        raise ClusterError("fake nodes are only put into the harness's own cluster; unset KUBECONFIG")
    _remove_above(count)
    if count == 0:
        processes.stop(PROGRAM)
        processes.forget([PROGRAM])
        return
    apply(_node(number, pool) for number in range(count))
    ensure(_program())
    kubectl("wait", "node", f"--selector={LABEL}=true", "--for=condition=Ready", f"--timeout={READY_TIMEOUT_S}s")


def _program() -> Program:
    stages = state() / "kwok-stages.yaml"
    stages.write_text(run(str(binary("kwok-stages"))))
    flags = (
        f"--kubeconfig={kubeconfig()}",
        f"--config={stages}",
        f"--manage-nodes-with-label-selector={LABEL}=true",
        f"--cidr={POD_RANGE}",
        f"--node-ip={NODE_ADDRESS}",
        f"--node-lease-duration-seconds={LEASE_S}",
        "-v=WARN",
    )
    return Program(PROGRAM, (str(binary("kwok")), *flags))


def _remove_above(count: int) -> None:
    listed = json.loads(kubectl("get", "nodes", f"--selector={LABEL}=true", "-o", "json"))["items"]
    names = [item["metadata"]["name"] for item in listed]
    surplus = [name for name in names if int(name.removeprefix(NAME_PREFIX)) >= count]
    if surplus:
        kubectl("delete", "node", *surplus)


def _node(number: int, pool: str | None) -> dict[str, Any]:
    labels = {LABEL: "true"} | ({"tiersplit.dev/pool": pool} if pool else {})
    room = {"cpu": "32", "memory": "256Gi", "pods": "250"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"{NAME_PREFIX}{number}", "labels": labels},
        "spec": {"taints": [{"key": LABEL, "value": "true", "effect": "NoSchedule"}]},
        "status": {"capacity": room, "allocatable": room},
    }

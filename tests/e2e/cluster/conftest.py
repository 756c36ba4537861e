"""A probe on every node."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster import links, scratch
from tests.cluster.kubectl import apply, kubectl
from tests.cluster.layout import NODES, PROBE_IMAGE, Node

NAMESPACE = "cluster-tests"
PORT = 8080


@dataclass(frozen=True)
class Probes:
    """A pod on each node, called like the node; all of them behind the Service `probes`."""

    addresses: dict[str, str]

    def run(self, node: str, *words: str) -> Any:
        """What `probe WORDS` answers in the node's pod."""
        return json.loads(kubectl("exec", f"--namespace={NAMESPACE}", node, "--", "/probe", *words, timeout_s=90))

    def fetch(self, node: str, count: int, server: str) -> float:
        """The seconds that the node's pod takes to get that many bytes from a server's address."""
        answer = self.run(node, "fetch", f"http://{server}:{PORT}/bytes?count={count}")
        assert answer["bytes"] == count
        return float(answer["seconds"])


@pytest.fixture(scope="session")
def probes(own_cluster: None) -> Iterator[Probes]:
    for node in NODES:
        scratch.load(node, PROBE_IMAGE, "probe")
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    apply([_service(), *(_pod(node) for node in NODES)])
    kubectl("wait", f"--namespace={NAMESPACE}", "pod", "--all", "--for=condition=Ready", "--timeout=90s")
    address = "-o=jsonpath={.status.podIP}"
    yield Probes({n.name: kubectl("get", f"--namespace={NAMESPACE}", "pod", n.name, address) for n in NODES})
    kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


@pytest.fixture
def unshaped(probes: Probes) -> Iterator[Probes]:
    """The probes, with links that are as fast as the machine before and after the test."""
    links.clear()
    yield probes
    links.clear()


def _service() -> dict[str, Any]:
    selector = {"app.kubernetes.io/name": "probe"}
    metadata = {"name": "probes", "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": selector, "ports": [{"port": PORT}]},
    }


def _pod(node: Node) -> dict[str, Any]:
    part = {
        "app.kubernetes.io/part-of": "tiersplit",
        "tiersplit.dev/deployment": "probes",
        "tiersplit.dev/tier": node.pool,
    }
    labels = {"app.kubernetes.io/name": "probe"} | part
    container = {
        "name": "probe",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["serve", f":{PORT}"],
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/metrics", "port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": node.name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "nodeSelector": {"tiersplit.dev/pool": node.pool, "kubernetes.io/hostname": node.name},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }

"""Many SplitDeployments on nodes that only pretend, and what the operator takes for them."""

import copy
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster import kwok
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.kubectl import apply, get, kubectl

POOL = "pretended"
NODES = 10
METRICS_PORT = 8080
GONE_S = 300
TOLERATION = {"key": kwok.LABEL, "operator": "Exists"}


@dataclass(frozen=True, slots=True)
class Effort:
    """What the operator's replicas have taken so far.

    Attributes:
        cpu_s: seconds of processor time.
        resident_bytes: memory of the largest replica.
        calls: requests to the API server.
        at_s: monotonic second of the look.
    """

    cpu_s: float
    resident_bytes: float
    calls: float
    at_s: float

    def since(self, before: "Effort") -> dict[str, float]:
        """Processors used and API calls per minute since an earlier look."""
        took_s = self.at_s - before.at_s
        return {"cpus": (self.cpu_s - before.cpu_s) / took_s, "calls": 60 * (self.calls - before.calls) / took_s}


def effort() -> Effort:
    """What the operator has taken so far, by its own metrics."""
    selector = "--selector=app.kubernetes.io/name=tiersplit-operator"
    pods = get("pods", f"--namespace={RELEASE_NAMESPACE}", selector)["items"]
    texts = [
        httpx.get(f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics", timeout=10, trust_env=False).text
        for pod in pods
    ]
    return Effort(
        cpu_s=sum(_sum(text, "process_cpu_seconds_total") for text in texts),
        resident_bytes=max(_sum(text, "process_resident_memory_bytes") for text in texts),
        calls=sum(_sum(text, "tiersplit_operator_api_calls_total") for text in texts),
        at_s=time.monotonic(),
    )


def _sum(text: str, name: str) -> float:
    return sum(map(float, re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)))


@contextmanager
def pretended(namespace: str) -> Iterator[None]:
    """Nodes that pretend, and a namespace; both go in the end."""
    kwok.scale(NODES, pool=POOL)
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    try:
        yield
    finally:
        kubectl("delete", "namespace", namespace, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)
        kwok.scale(0)


def copies(manifest: dict[str, Any], namespace: str, count: int) -> Iterator[dict[str, Any]]:
    """The manifest `count` times under names of their own, on the nodes that pretend."""
    for number in range(count):
        made = copy.deepcopy(manifest)
        made["metadata"] |= {"name": f"copy-{number}", "namespace": namespace}
        for tier in made["spec"]["tiers"]:
            tier["nodeSelector"] = {"tiersplit.dev/pool": POOL}
            tier["template"] = {"spec": {"tolerations": [TOLERATION]}}
        yield made


def planned(namespace: str) -> int:
    """How many resources have a surface."""
    listed = get("splitdeployments", f"--namespace={namespace}")["items"]
    conditions = ({c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])} for item in listed)
    return sum(found.get("Planned") == "True" for found in conditions)

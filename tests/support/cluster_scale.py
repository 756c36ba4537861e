"""Many SplitDeployments on nodes that only pretend, and what the operator takes for them."""

import copy
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster import kwok
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.kubectl import apply, get, kubectl
from tests.cluster.layout import ClusterError
from tests.cluster.waiting import wait_until

POOL = "pretended"
NODES = 14
METRICS_PORT = 8080
GONE_S, ROLLED_S, QUIET_TIMES = 900, 300, 5
INFINITY = float("inf")
TOLERATION = {"key": kwok.LABEL, "operator": "Exists"}


@dataclass(frozen=True, slots=True)
class Effort:
    """What the operator's replicas have taken so far.

    Attributes:
        cpu_s: seconds of processor time.
        resident_bytes: memory of the largest replica.
        calls: requests to the API server.
        reconciled: reconciles that took at most so many seconds, by those seconds.
        at_s: monotonic second of the look.
    """

    cpu_s: float
    resident_bytes: float
    calls: float
    reconciled: dict[float, float]
    at_s: float

    def since(self, before: "Effort") -> dict[str, float]:
        """Processors used, API calls per minute and the 99th percentile of a reconcile since an earlier look."""
        took_s = self.at_s - before.at_s
        reconciled = {edge: count - before.reconciled.get(edge, 0) for edge, count in self.reconciled.items()}
        return {
            "cpus": (self.cpu_s - before.cpu_s) / took_s,
            "calls": 60 * (self.calls - before.calls) / took_s,
            "reconcile_p99_s": quantile(reconciled, 0.99),
        }


def quantile(reconciled: dict[float, float], share: float) -> float:
    """The seconds that `share` of the counted took at most, in a straight line between the histogram's edges.

    Args:
        reconciled: how many took at most so many seconds, by those seconds; the last edge is infinite.
    """
    edges = sorted(reconciled)
    wanted = share * reconciled[edges[-1]]
    below = 0.0
    for left, right in itertools.pairwise([0.0, *edges]):
        if reconciled[right] >= wanted > below:
            return left + (right - left) * (wanted - below) / (reconciled[right] - below) if right < INFINITY else left
        below = reconciled[right]
    return 0.0


def effort() -> Effort:
    """What the operator has taken so far, by its own metrics."""
    metrics = [_metrics(pod) for pod in replicas()]
    return Effort(
        cpu_s=sum(_sum(found, "process_cpu_seconds_total") for found in metrics),
        resident_bytes=max(_sum(found, "process_resident_memory_bytes") for found in metrics),
        calls=sum(_sum(found, "tiersplit_operator_api_calls_total") for found in metrics),
        reconciled=_reconciled(sample for found in metrics for sample in found),
        at_s=time.monotonic(),
    )


def restarts() -> int:
    """How often containers of the operator's pods ended without anybody asking for it."""
    return sum(status["restartCount"] for pod in replicas() for status in pod["status"]["containerStatuses"])


def restart() -> None:
    """Have all replicas of the operator begin anew; return once one leads and nothing waits for a look any more."""
    deployment = "deployment/tiersplit-operator"
    namespace, limit = f"--namespace={RELEASE_NAMESPACE}", f"--timeout={ROLLED_S}s"
    kubectl("rollout", "restart", deployment, namespace)
    kubectl("rollout", "status", deployment, namespace, limit, timeout_s=ROLLED_S + 20)
    wait_until(at_rest, "an operator had looked at everything", ROLLED_S, 1)


def settle(patience_s: float) -> None:
    """Return once nothing has waited for a look for a while."""
    quiet = 0

    def rests() -> bool:
        nonlocal quiet
        quiet = quiet + 1 if at_rest() else 0
        return quiet >= QUIET_TIMES

    wait_until(rests, "the operator had settled", patience_s, 2)


def at_rest() -> bool:
    """Whether a replica leads and nothing waits for a look; a machine that does not even answer that is not at rest."""
    try:
        return any(map(_has_done, replicas()))
    except (ClusterError, httpx.HTTPError):
        return False


def _has_done(pod: dict[str, Any]) -> bool:
    metrics = _metrics(pod)
    looked = _sum(metrics, "tiersplit_operator_reconcile_seconds_count")
    late = _sum(metrics, "tiersplit_operator_queue_lag_seconds")
    return _sum(metrics, "tiersplit_operator_leader") == 1 and looked > 0 and late == 0


def replicas() -> list[dict[str, Any]]:
    """The operator's pods."""
    selector = "--selector=app.kubernetes.io/name=tiersplit-operator"
    found: list[dict[str, Any]] = get("pods", f"--namespace={RELEASE_NAMESPACE}", selector)["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and "podIP" in pod["status"]]


def _metrics(pod: dict[str, Any]) -> list[Any]:
    address = f"http://{pod['status']['podIP']}:{METRICS_PORT}/metrics"
    text = httpx.get(address, timeout=30, trust_env=False).text
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def _sum(samples: list[Any], name: str) -> float:
    return float(sum(sample.value for sample in samples if sample.name == name))


def _reconciled(samples: Iterator[Any]) -> dict[float, float]:
    counted: Counter[float] = Counter()
    for sample in samples:
        if sample.name == "tiersplit_operator_reconcile_seconds_bucket":
            counted[float(sample.labels["le"])] += sample.value
    return dict(counted)


@contextmanager
def pretended(namespace: str) -> Iterator[None]:
    """Nodes that pretend, and a namespace; both go in the end."""
    kwok.scale(NODES, pool=POOL)
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    try:
        yield
    finally:
        try:
            kubectl("delete", "namespace", namespace, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)
        finally:
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


def all_planned(namespace: str, count: int) -> bool:
    """Whether so many resources have a surface; a machine that is too busy to say it has not planned them yet.

    A list of them all keeps an API server busy, so it is asked for once the operator's own count is reached.
    """
    return counted("Planned") >= count and _planned_in(namespace) == count


def counted(condition: str) -> float:
    """Of how many resources the operator says that a condition holds; 0 where it does not answer."""
    wanted = {"condition": condition, "status": "True"}
    try:
        samples = [sample for pod in replicas() for sample in _metrics(pod) if sample.labels == wanted]
    except (ClusterError, httpx.HTTPError):
        return 0.0
    return _sum(samples, "tiersplit_operator_resources")


def _planned_in(namespace: str) -> int:
    try:
        listed = get("splitdeployments", f"--namespace={namespace}")["items"]
    except ClusterError:
        return 0
    conditions = ({c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])} for item in listed)
    return sum(found.get("Planned") == "True" for found in conditions)

"""Pods on every node: reached by address, by Service, by name, and through the API server."""

import json
import os
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from tests.cluster.kubectl import apply, get, kubectl
from tests.cluster.layout import NODES, PROMETHEUS_ADDRESS
from tests.cluster.waiting import wait_until
from tests.e2e.cluster.conftest import NAMESPACE, PORT, Probes

NAMES = [node.name for node in NODES]


@pytest.mark.parametrize("client", NAMES)
def test_a_pod_reaches_the_pods_of_every_node_by_their_address(probes: Probes, client: str) -> None:
    for address in probes.addresses.values():
        probes.fetch(client, 1000, address)


@pytest.mark.parametrize("client", NAMES)
def test_a_pod_reaches_a_service_by_its_name(probes: Probes, client: str) -> None:
    probes.fetch(client, 1000, f"probes.{NAMESPACE}.svc.cluster.local")


def test_the_host_reaches_pods_and_services(probes: Probes) -> None:
    service = kubectl("get", f"--namespace={NAMESPACE}", "service", "probes", "-o=jsonpath={.spec.clusterIP}")
    for address in [*probes.addresses.values(), service]:
        with urlopen(f"http://{address}:{PORT}/bytes?count=10", timeout=5) as answer:
            assert len(answer.read()) == 10


@pytest.mark.parametrize("name", NAMES)
def test_logs_come_through_the_api_server(probes: Probes, name: str) -> None:
    assert "serving on" in kubectl("logs", f"--namespace={NAMESPACE}", name)


def test_the_pools_offer_what_adds_up_to_the_machine(probes: Probes) -> None:
    nodes = get("nodes", "--selector=tiersplit.dev/pool")["items"]
    offered = [node["status"]["allocatable"]["cpu"] for node in nodes]
    cores = sum(float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu) for cpu in offered)
    assert cores <= len(os.sched_getaffinity(0)) + 1e-9
    pools = [node["metadata"]["labels"]["tiersplit.dev/pool"] for node in nodes]
    assert sorted(pools) == ["cloud", "edge", "edge", "micro-datacenter"]


def test_prometheus_finds_the_products_pods_with_their_deployment_and_tier(probes: Probes) -> None:
    query = urlencode({"query": f'probe_up{{namespace="{NAMESPACE}"}}'})

    def found() -> set[tuple[str, str, str]]:
        with urlopen(f"http://{PROMETHEUS_ADDRESS}/api/v1/query?{query}", timeout=5) as answer:
            series = [entry["metric"] for entry in json.load(answer)["data"]["result"]]
        labels = {(one["pod"], one["splitdeployment"], one["tier"]) for one in series}
        return labels if len(labels) == len(NODES) else set()

    assert wait_until(found, "Prometheus had scraped every probe", 30) == {(n.name, "probes", n.pool) for n in NODES}


def test_a_claim_gets_a_volume_that_any_user_can_write(probes: Probes) -> None:
    metadata = {"name": "claim", "namespace": NAMESPACE}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "claim"}}
    container = {
        "name": "probe",
        "image": "tiersplit.test/probe:1",
        "imagePullPolicy": "Never",
        "args": ["write", "/data/file"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [volume],
        "nodeSelector": {"tiersplit.dev/pool": "cloud"},
    }
    apply(
        [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer", "namespace": NAMESPACE}, "spec": pod},
        ]
    )
    waiting = ("wait", f"--namespace={NAMESPACE}", "--timeout=60s")
    kubectl(*waiting, "pod/writer", "--for=jsonpath={.status.phase}=Succeeded")
    volume_name = get("persistentvolumeclaim", "claim", f"--namespace={NAMESPACE}")["spec"]["volumeName"]
    assert volume_name in volumes()
    kubectl("delete", f"--namespace={NAMESPACE}", "pod/writer", "persistentvolumeclaim/claim")
    wait_until(lambda: volume_name not in volumes(), "the volume was gone", 60)


def volumes() -> set[str]:
    """The names of all volumes, of other claims too."""
    return {found["metadata"]["name"] for found in get("persistentvolumes")["items"]}

"""Parts of the cluster that end or are cut off, and come back."""

import pytest

from tests.cluster import cluster, faults, kwok, processes
from tests.cluster.kubectl import get, kubectl
from tests.cluster.layout import NODES, ClusterError
from tests.cluster.waiting import wait_until
from tests.e2e.cluster.conftest import NAMESPACE, PORT, Probes


def test_a_cut_node_is_unreachable_until_it_is_healed(probes: Probes) -> None:
    address = probes.addresses["edge-b"]
    faults.cut("edge-b")
    try:
        with pytest.raises(ClusterError, match=r"no route to host|i/o timeout"):
            probes.run("cloud", "reach", f"{address}:{PORT}")
    finally:
        faults.heal("edge-b")
    wait_until(lambda: probes.run("cloud", "reach", f"{address}:{PORT}"), "the healed node answered", 30)


def test_a_crashed_node_comes_back_with_its_pods(probes: Probes) -> None:
    where = ("pod", "edge-b", f"--namespace={NAMESPACE}")
    faults.crash("edge-b")
    with pytest.raises(ClusterError, match=r"no route to host|i/o timeout"):
        probes.run("cloud", "reach", f"{probes.addresses['edge-b']}:{PORT}")
    faults.boot("edge-b")

    def reached() -> bool:
        probes.addresses["edge-b"] = kubectl("get", *where, "-o=jsonpath={.status.podIP}")
        try:
            return bool(probes.run("cloud", "reach", f"{probes.addresses['edge-b']}:{PORT}"))
        except ClusterError:
            return False

    wait_until(reached, "the pod of the node that was started again answered", 90, 1)
    kubectl("wait", *where, "--for=condition=Ready", "--timeout=60s")
    assert probes.run("edge-b", "resolve", "kubernetes.default.svc.cluster.local") == ["10.96.0.1"]


def test_a_stopped_api_server_answers_again_after_its_start(probes: Probes) -> None:
    faults.stop("apiserver")
    try:
        with pytest.raises(ClusterError, match="refused"):
            kubectl("get", "nodes", "--request-timeout=5s")
    finally:
        faults.start("apiserver")
    wait_until(cluster.is_up, "the API server was back", 60)


def test_up_repairs_what_was_killed(probes: Probes) -> None:
    before = {name: processes.recorded(name) for name in processes.names()}
    victims = ("prometheus", "kubelet-cloud", "containerd-mdc")
    for victim in victims:
        faults.stop(victim, kill=True)
    cluster.up()
    after = {name: processes.recorded(name) for name in processes.names()}
    assert {name for name in after if after[name] != before[name]} == set(victims)
    # The kubelet finds its container runtime again a moment after both are up.
    assert wait_until(lambda: resolved(probes, "mdc"), "a command ran on the repaired node", 60, 1) == {"10.96.0.1"}


def resolved(probes: Probes, node: str) -> set[str]:
    """What a pod of the node makes of the API server's name; nothing where no command can be run in it yet."""
    try:
        return set(probes.run(node, "resolve", "kubernetes.default.svc.cluster.local"))
    except ClusterError:
        return set()


def test_a_fault_needs_a_component_that_there_is(own_cluster: None) -> None:
    with pytest.raises(ClusterError, match=r"there is: .*apiserver"):
        faults.stop("apiserver2")


def test_fake_nodes_are_ready_and_go_again(own_cluster: None) -> None:
    kwok.scale(5)
    kwok.scale(3)
    names = {node["metadata"]["name"] for node in get("nodes")["items"]}
    assert names == {node.name for node in NODES} | {"fake-0", "fake-1", "fake-2"}
    kwok.scale(0)
    assert len(get("nodes")["items"]) == len(NODES)

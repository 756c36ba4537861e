"""The test cluster as a whole: up, down, status."""

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

from tests.cluster import cgroups, network, nodes, objects, processes, requirements, services
from tests.cluster.certificates import Authority
from tests.cluster.control_plane import ETCD_ENVIRONMENT, ControlPlane
from tests.cluster.kubectl import apply, get, kubectl
from tests.cluster.layout import (
    API_PORT,
    DNS_PORT,
    HOST_ADDRESS,
    NODES,
    PROMETHEUS_ADDRESS,
    REGISTRY_ADDRESS,
    ClusterError,
    own_kubeconfig,
    state,
)
from tests.cluster.processes import Program, ensure
from tests.cluster.programs import binary, is_built
from tests.cluster.waiting import wait_until

PROGRAMS = (
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
    "pause",
    "prometheus",
    "volumes",
)
READY_TIMEOUT_S = 90
_HOST_FOLDERS = "host-folders.json"


def up() -> None:
    """Bring the cluster up, or what of it does not run; returns when every node is Ready and DNS answers.

    Raises:
        ClusterError: the machine lacks something, or a part did not come up.
    """
    _check_machine()
    _build_programs()
    with _lock():
        cgroups.create()
        network.create_bridge()
        _make_host_folders()
        plane = control_plane()
        _start_control_plane(plane)
        with ThreadPoolExecutor(len(NODES)) as pool:
            beside = pool.submit(_start_services, plane)
            for started in [pool.submit(nodes.bring_up, node, plane) for node in NODES]:
                started.result()
            beside.result()
        wait_until(_all_ready, "every node was Ready", READY_TIMEOUT_S, 0.5)


def down() -> None:
    """End the cluster and all that `up` made, also after a crash; images that were pushed and programs stay.

    Raises:
        ClusterError: something would not go.
    """
    with _lock():
        for name in reversed(processes.names()):
            processes.stop(name, signal.SIGKILL)
        cgroups.kill_all()
        network.remove_bridge()
        cgroups.remove()
        _remove_host_folders()
        if state().exists():
            shutil.rmtree(state())


def is_up() -> bool:
    """Whether the API server answers and every node is Ready."""
    return own_kubeconfig().exists() and _all_ready()


def _check_machine() -> None:
    lacking = requirements.missing()
    if not lacking:
        requirements.install_packages()
        lacking = requirements.missing()
    if lacking:
        raise ClusterError("the test cluster cannot run here: " + "; ".join(lacking))


def _build_programs() -> None:
    for number, program in enumerate(PROGRAMS, 1):
        if not is_built(program):
            print(f"cluster: building {program} ({number} of {len(PROGRAMS)}; once, in minutes)", file=sys.stderr)
        binary(program)


def control_plane() -> ControlPlane:
    """The control plane of the cluster that this harness makes, with its authority."""
    authority = Authority(state() / "pki")
    authority.create()
    return ControlPlane(authority, state(), HOST_ADDRESS, API_PORT, etcd_port=16379, etcd_peer_port=16380)


def _start_control_plane(plane: ControlPlane) -> None:
    ensure(Program("etcd", plane.etcd(), environment=ETCD_ENVIRONMENT))
    more = (f"--advertise-address={HOST_ADDRESS}", "--allow-privileged", "--enable-admission-plugins=NodeRestriction")
    ensure(Program("apiserver", plane.apiserver(more=(*plane.kubelet_access(), *more))))
    plane.kubeconfig("admin", "tiersplit-test-admin", ["system:masters"], own_kubeconfig())
    wait_until(_api_is_ready, "the API server was ready", READY_TIMEOUT_S, 0.2)
    ensure(Program("controller-manager", plane.controller_manager()))
    ensure(Program("scheduler", plane.scheduler()))
    apply(objects.all_objects())


def _start_services(plane: ControlPlane) -> None:
    ensure(services.coredns(plane))
    ensure(services.registry())
    ensure(services.prometheus(plane))
    ensure(services.volumes(plane))
    wait_until(lambda: _listens(HOST_ADDRESS, DNS_PORT), "CoreDNS answered", READY_TIMEOUT_S)
    wait_until(lambda: _answers(f"http://{REGISTRY_ADDRESS}/v2/"), "the registry answered", READY_TIMEOUT_S)
    wait_until(lambda: _answers(f"http://{PROMETHEUS_ADDRESS}/-/ready"), "Prometheus answered", READY_TIMEOUT_S)


def _api_is_ready() -> bool:
    try:
        return kubectl("get", "--raw=/readyz", "--request-timeout=5s", config=own_kubeconfig()) == "ok"
    except ClusterError:
        return False


def _all_ready() -> bool:
    try:
        return set(ready_nodes()) >= {node.name for node in NODES}
    except (ClusterError, subprocess.TimeoutExpired):
        return False


def ready_nodes() -> list[str]:
    """The nodes whose condition Ready is true.

    Raises:
        ClusterError: the API server does not answer.
    """
    return [
        node["metadata"]["name"]
        for node in get("nodes", "--request-timeout=5s")["items"]
        if any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
    ]


def _listens(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _answers(url: str) -> bool:
    with suppress(OSError), urlopen(url, timeout=1) as answer:
        return bool(answer.status == 200)
    return False


def _make_host_folders() -> None:
    """Make the places where a node sees folders of its own, and note which were not there."""
    noted = state() / _HOST_FOLDERS
    made = json.loads(noted.read_text()) if noted.exists() else []
    for own in nodes.OWN_FOLDERS:
        path = Path("/", own)
        absent = [str(folder) for folder in (path, *path.parents) if not folder.exists()]
        made += [folder for folder in absent if folder not in made]
    noted.parent.mkdir(parents=True, exist_ok=True)
    noted.write_text(json.dumps(made))
    for own in nodes.OWN_FOLDERS:
        Path("/", own).mkdir(parents=True, exist_ok=True)


def _remove_host_folders() -> None:
    noted = state() / _HOST_FOLDERS
    if not noted.exists():
        return
    for folder in sorted(json.loads(noted.read_text()), key=len, reverse=True):
        with suppress(OSError):  # not empty: it came to be used by others
            Path(folder).rmdir()


@contextmanager
def _lock() -> Iterator[None]:
    """One `up` or `down` at a time on this machine."""
    state().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state().parent / "cluster.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

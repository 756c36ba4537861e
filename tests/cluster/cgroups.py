"""The cluster's control groups: who belongs to it, and which cores and shares each node's containers have.

Version 1 has a tree per controller, version 2 one tree. The same folders are made in each:
`<root>/daemons` for what the harness starts, `<root>/nodes/NODE` as the kubelet's cgroup root.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.layout import NODES, ClusterError, Node
from tests.cluster.waiting import wait_until

MOUNT = Path("/sys/fs/cgroup")
ROOT = "tiersplit-cluster"
V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
V1_NEEDED = ("cpu", "cpuacct", "cpuset", "memory", "pids")
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
NODES_WEIGHT = 8
"""How much more of a busy core the nodes' containers get than what else runs there: they are what is measured."""
EMPTY_TIMEOUT_S = 20


def is_unified() -> bool:
    """Whether the machine has version 2 alone."""
    return (MOUNT / "cgroup.controllers").exists()


def missing() -> list[str]:
    """The controllers that a node needs and the machine has not, one sentence each."""
    if is_unified():
        offered = (MOUNT / "cgroup.controllers").read_text().split()
        return [f"the cgroup controller {name} is not offered" for name in V2_CONTROLLERS if name not in offered]
    return [f"no cgroup controller is mounted at {MOUNT / name}" for name in V1_NEEDED if not (MOUNT / name).is_dir()]


def create() -> None:
    """Make the groups, idempotently."""
    if is_unified():
        _delegate(MOUNT)
    for tree in _trees():
        for group in ("daemons", "nodes", *(f"nodes/{node.name}" for node in NODES)):
            (tree / group).mkdir(parents=True, exist_ok=True)
    if is_unified():
        _delegate(_trees()[0])
        _delegate(_trees()[0] / "nodes")
    _settle()


def daemon_files() -> list[Path]:
    """Where a process writes its pid to belong to the cluster: it and all it starts are found again by it."""
    tree = _trees()[0] if is_unified() else MOUNT / "pids" / ROOT
    return [tree / "daemons" / "cgroup.procs"]


def kubelet_root(node: Node) -> str:
    """The node's group as the kubelet names it."""
    return f"/{ROOT}/nodes/{node.name}"


def cores(node: Node) -> tuple[int, ...]:
    """The cores of the node's containers.

    With four or more each node has its own; with fewer the cloud has the last and the others share the first.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) >= len(NODES):
        return tuple(usable[node.number - 1 :]) if node == NODES[-1] else (usable[node.number - 1],)
    return (usable[-1],) if node == NODES[-1] else (usable[0],)


def pids() -> set[int]:
    """Every process of the cluster, whoever started it."""
    found = (_read_pids(path) for tree in _trees() for path in tree.rglob("cgroup.procs"))
    return {pid for group in found for pid in group}


def kill_all() -> None:
    """End every process of the cluster and wait until none is left.

    Raises:
        ClusterError: some would not end.
    """

    def none_left() -> bool:
        left = pids()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(none_left, "the cluster's processes ended", EMPTY_TIMEOUT_S)


def remove() -> None:
    """Remove the groups; they must be empty of processes."""
    for tree in _trees():
        for folder, _, _ in os.walk(tree, topdown=False):
            _remove_group(Path(folder))


def _remove_group(group: Path) -> None:
    """A group may stay busy for moments after its last process ended."""

    def gone() -> bool:
        try:
            group.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    wait_until(gone, f"{group} could be removed", EMPTY_TIMEOUT_S)


def _trees() -> list[Path]:
    if is_unified():
        return [MOUNT / ROOT]
    # Beside version 1 some machines mount version 2 without controllers, where runc makes its groups as well.
    return [MOUNT / name / ROOT for name in (*V1_CONTROLLERS, "unified") if (MOUNT / name).is_dir()]


def _settle() -> None:
    """Give each node its cores and its share of them."""
    weight, scale = ("cpu.weight", 100) if is_unified() else ("cpu.shares", 1024)
    for tree in _trees():
        _write(tree / weight, NODES_WEIGHT * scale)
        _write(tree / "nodes" / weight, NODES_WEIGHT * scale)
        if (tree / "cpuset.cpus").exists():
            _settle_cores(tree)
        for node in NODES:
            _write(tree / "nodes" / node.name / weight, round(node.core_share * scale))


def _settle_cores(tree: Path) -> None:
    everything = sorted(os.sched_getaffinity(0))
    _give_cores([tree, tree / "daemons", tree / "nodes"], everything)
    for node in NODES:
        _give_cores([tree / "nodes" / node.name], cores(node))


def _give_cores(groups: Iterable[Path], numbers: Iterable[int]) -> None:
    written = ",".join(map(str, numbers))
    for group in groups:
        # In version 1 a group without memory nodes takes no process.
        memory_nodes = (group.parent / _effective("cpuset.mems")).read_text().strip()
        _write(group / "cpuset.mems", memory_nodes)
        _write(group / "cpuset.cpus", written)


def _effective(name: str) -> str:
    return f"{name}.effective" if is_unified() else name


def _delegate(group: Path) -> None:
    try:
        (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in V2_CONTROLLERS))
    except OSError as error:
        raise ClusterError(f"cgroup controllers cannot be enabled in {group}: {error}") from None


def _write(path: Path, value: object) -> None:
    if path.exists():
        path.write_text(str(value))


def _read_pids(path: Path) -> Iterator[int]:
    with suppress(FileNotFoundError, OSError):
        yield from map(int, path.read_text().split())

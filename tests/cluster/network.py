"""The cluster's network: a bridge in the host's namespace, and a cable from it into each node's."""

import subprocess
from pathlib import Path

from tests.cluster.layout import BRIDGE, HOST_ADDRESS, NODE_NETWORK_PREFIX, NODES, SERVICE_RANGE, ClusterError, Node
from tests.cluster.processes import entering


def create_bridge() -> None:
    """Make the bridge that joins the nodes with the host, idempotently."""
    if not _exists(BRIDGE):
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("address", "add", f"{HOST_ADDRESS}/{NODE_NETWORK_PREFIX}", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for node in NODES:
        ip("route", "replace", node.pod_range, "via", node.address, "dev", BRIDGE)
    # The host runs no kube-proxy of its own: Services are reached through the cloud's.
    ip("route", "replace", SERVICE_RANGE, "via", NODES[-1].address, "dev", BRIDGE)


def remove_bridge() -> None:
    """Remove the bridge and every cable; a node's own end goes with it."""
    for interface in (*(node.host_interface for node in NODES), BRIDGE):
        _remove(interface)


def connect(node: Node, inhabitant: int) -> bool:
    """Lay the cable into the node in whose namespaces that process is, and plug it in; whether it had none before."""
    fresh = not _exists(node.host_interface)
    if fresh:
        ip("link", "add", node.host_interface, "type", "veth", "peer", "name", "eth0", "netns", str(inhabitant))
        ip("link", "set", node.host_interface, "master", BRIDGE)
        _configure(node)
    plug_in(node)
    return fresh


def pull_out(node: Node) -> None:
    """Cut the node from everything: its programs run on, alone."""
    ip("link", "set", node.host_interface, "down")


def plug_in(node: Node) -> None:
    """Connect the node again."""
    ip("link", "set", node.host_interface, "up")


def ip(*arguments: str) -> str:
    """What `ip` prints, in the host's namespace.

    Raises:
        ClusterError: it failed.
    """
    return run("ip", *arguments)


def inside(node: Node, *command: str, stdin: str | None = None) -> str:
    """What a command prints inside the node's namespaces.

    Raises:
        ClusterError: the node is not up, or the command failed.
    """
    return run(*entering(node.name), *command, stdin=stdin)


def run(*command: str, stdin: str | None = None) -> str:
    """What a command prints.

    Raises:
        ClusterError: it failed; the message has what it said.
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _configure(node: Node) -> None:
    lines = [
        "link set lo up",
        "link set eth0 up",
        f"address add {node.address}/{NODE_NETWORK_PREFIX} dev eth0",
        f"route add default via {HOST_ADDRESS}",
        *(f"route add {other.pod_range} via {other.address}" for other in NODES if other != node),
    ]
    inside(node, "ip", "-batch", "-", stdin="\n".join(lines))
    inside(node, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")


def _remove(interface: str) -> None:
    """The kernel may be removing a cable at the same time: it goes by itself with the last process of its node."""
    try:
        if _exists(interface):
            ip("link", "delete", interface)
    except ClusterError:
        if _exists(interface):
            raise


def _exists(interface: str) -> bool:
    return Path(f"/sys/class/net/{interface}").exists()

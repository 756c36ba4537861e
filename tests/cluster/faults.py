"""Faults on purpose: end and restart parts of the cluster, and cut nodes off."""

import signal

from tests.cluster import cluster, network, nodes, processes
from tests.cluster.layout import ClusterError, node


def components() -> list[str]:
    """What `stop` and `start` take: `apiserver`, `etcd`, `prometheus`, `registry`, `kubelet-NODE`, ….

    A node's holder is not among them: with its namespaces go its network and its pods. See `crash`.
    """
    return [name for name in processes.names() if not name.startswith("node-")]


def stop(component: str, *, kill: bool = False) -> None:
    """End a component, with SIGKILL if `kill`; what it started, such as pods, runs on.

    Raises:
        ClusterError: there is none of that name.
    """
    _check(component)
    processes.stop(component, signal.SIGKILL if kill else signal.SIGTERM)


def start(component: str) -> None:
    """Start a stopped component as it was; it may need moments to answer.

    Raises:
        ClusterError: there is none of that name, or it ended at once.
    """
    _check(component)
    processes.start_again(component)


def cut(node_name: str) -> None:
    """Cut a node from every other and from the host: its pods run on, alone.

    Raises:
        ClusterError: there is none of that name, or it is not up.
    """
    network.pull_out(node(node_name))


def heal(node_name: str) -> None:
    """Connect a node again.

    Raises:
        ClusterError: there is none of that name, or it is not up.
    """
    network.plug_in(node(node_name))


def crash(node_name: str) -> None:
    """End a node at once with all that runs on it, as a power cut does; its disk stays.

    Raises:
        ClusterError: there is none of that name.
    """
    processes.stop(f"node-{node(node_name).name}", signal.SIGKILL)


def boot(node_name: str) -> None:
    """Start a crashed node again; links that were set at it have to be set again.

    Raises:
        ClusterError: there is none of that name, or it did not come up.
    """
    nodes.bring_up(node(node_name), cluster.control_plane())


def _check(component: str) -> None:
    if component not in components():
        raise ClusterError(f"no component is called {component!r}; there is: {', '.join(components()) or 'none'}")

"""Where the test cluster lives: its nodes, addresses, folders and names.

One cluster per machine: the names below are the machine's, whatever checkout asks for them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "v1.34.4"
BRIDGE = "tiersplit0"
HOST_ADDRESS = "10.200.0.254"
"""The bridge's address: the control plane, CoreDNS, the registry and Prometheus listen on it."""
NODE_NETWORK_PREFIX = 24
POD_RANGE = "10.244.0.0/16"
SERVICE_RANGE = "10.96.0.0/16"
DNS_SERVICE_ADDRESS = "10.96.0.10"
DNS_PORT = 1053
API_PORT = 16443
REGISTRY = "registry.tiersplit.test:5000"
"""The registry's name in image references; nodes map it to `REGISTRY_ADDRESS`, CoreDNS resolves its host for pods."""
REGISTRY_ADDRESS = f"{HOST_ADDRESS}:5000"
PROMETHEUS_ADDRESS = f"{HOST_ADDRESS}:9090"
PAUSE_IMAGE = "tiersplit.test/pause:1"
PROBE_IMAGE = "tiersplit.test/probe:1"
TOOLS = Path(__file__).parent / "tools"


class ClusterError(Exception):
    """The test cluster could not do what it was asked; the message says what to look at."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster.

    Attributes:
        name: its name in the API, and of its namespaces' holder.
        pool: the value of its label `tiersplit.dev/pool`.
        number: its place in the address ranges, from 1.
        core_share: the part of its cpuset's time that pods may request; nodes that share a core add up to 1.
        memory_share: the part of the machine's memory that pods may request.
    """

    name: str
    pool: str
    number: int
    core_share: float
    memory_share: float

    @property
    def address(self) -> str:
        """The node's own address on the bridge."""
        return f"10.200.0.{self.number}"

    @property
    def pod_range(self) -> str:
        """The addresses of the node's pods."""
        return f"10.244.{self.number}.0/24"

    @property
    def host_interface(self) -> str:
        """The host's end of the node's cable."""
        return f"ts-{self.name}"

    @property
    def folder(self) -> Path:
        """What the node keeps on disk."""
        return state() / "nodes" / self.name


NODES = (
    Node("edge-a", "edge", 1, core_share=0.3, memory_share=1 / 16),
    Node("edge-b", "edge", 2, core_share=0.3, memory_share=1 / 16),
    Node("mdc", "micro-datacenter", 3, core_share=0.4, memory_share=1 / 8),
    Node("cloud", "cloud", 4, core_share=1.0, memory_share=1 / 4),
)


def node(name: str) -> Node:
    """The node of that name.

    Raises:
        ClusterError: there is none.
    """
    for candidate in NODES:
        if candidate.name == name:
            return candidate
    raise ClusterError(f"no node is called {name!r}; write one of {', '.join(n.name for n in NODES)}")


def cache() -> Path:
    """What outlives a cluster: built programs and pushed images."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiersplit" / "cluster"


def state() -> Path:
    """What belongs to the running cluster alone; gone after `down`."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tiersplit" / "cluster"


def kubeconfig() -> Path:
    """The administrator's kubeconfig: of the cluster that `KUBECONFIG` names, else of this one."""
    return Path(os.environ.get("KUBECONFIG") or own_kubeconfig())


def own_kubeconfig() -> Path:
    """The administrator's kubeconfig of the cluster that this harness makes."""
    return state() / "kubeconfig"


def uses_existing_cluster() -> bool:
    """Whether `KUBECONFIG` names a cluster that this harness did not make and must not touch."""
    return bool(os.environ.get("KUBECONFIG")) and kubeconfig() != own_kubeconfig()

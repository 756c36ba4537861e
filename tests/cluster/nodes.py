"""A node: namespaces of its own, with containerd, a kubelet and kube-proxy in them.

One process holds a node's mount, PID and network namespaces; when it ends, the kernel ends all that runs in the node
and takes back its mounts, its interfaces and its sockets. Programs find their usual paths, which are folders of the
node's own.
"""

import json
import os
from pathlib import Path

from tests.cluster import cgroups, links, network, processes, scratch
from tests.cluster.control_plane import ControlPlane
from tests.cluster.layout import (
    DNS_SERVICE_ADDRESS,
    HOST_ADDRESS,
    PAUSE_IMAGE,
    POD_RANGE,
    REGISTRY,
    REGISTRY_ADDRESS,
    ClusterError,
    Node,
)
from tests.cluster.processes import Program, ensure
from tests.cluster.programs import binary
from tests.cluster.waiting import wait_until

OWN_FOLDERS = (
    "etc/cni",
    "run/containerd",
    "run/netns",
    "var/lib/cni",
    "var/lib/containerd",
    "var/lib/kubelet",
    "var/log/containers",
    "var/log/pods",
)
"""What each node sees as its own; the places exist in the host as empty folders while the cluster is up."""
ONLINE_CORES = "sys/devices/system/cpu/online"
"""Where the kubelet reads which cores there are; what it finds becomes its capacity and its containers' cpuset."""
QUOTA_PERIOD = "10ms"
"""In which a CPU limit is granted: with the default of 100 ms a limited pod runs at full speed for as long as most
requests take, and then not at all; so short, it is a slower processor."""
CNI_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")
HOLDER_TIMEOUT_S = 10
CONTAINERD_TIMEOUT_S = 30


def holder(node: Node) -> Program:
    """What keeps the node's namespaces."""
    unshare = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child=KILL", "--mount-proc")
    binds = " && ".join(f"mount --bind {node.folder / own} /{own}" for own in (*OWN_FOLDERS, ONLINE_CORES))
    # Containers may ask for mounts that propagate, so the node's root is shared within the node.
    script = f"mount --make-rshared / && {binds} && exec {binary('pause')}"
    return Program(f"node-{node.name}", (*unshare, "sh", "-c", script))


def bring_up(node: Node, plane: ControlPlane) -> None:
    """Start what of the node does not run."""
    for own in OWN_FOLDERS:
        (node.folder / own).mkdir(parents=True, exist_ok=True)
    _write_online_cores(node)
    ensure(holder(node))
    wait_until(lambda: _is_held(node), f"{node.name} had its namespaces", HOLDER_TIMEOUT_S, 0.02)
    if network.connect(node, processes.inhabitant(node.name)):
        links.prepare(node)
    _write_files(node, plane)
    ensure(Program(f"containerd-{node.name}", ("containerd", f"--config={node.folder}/containerd.toml"), node.name))
    wait_until(lambda: _answers(node), f"containerd answered on {node.name}", CONTAINERD_TIMEOUT_S)
    scratch.load(node, PAUSE_IMAGE, "pause")
    ensure(Program(f"kubelet-{node.name}", _kubelet(node, plane), node.name))
    proxy = (str(binary("kube-proxy")), f"--config={node.folder}/kube-proxy.json")
    ensure(Program(f"kube-proxy-{node.name}", proxy, node.name))


def missing() -> list[str]:
    """What a node needs and the machine has not, one sentence each."""
    if any(Path(folder, "bridge").exists() for folder in CNI_PLUGINS):
        return []
    return [f"there are no CNI plugins in {' or '.join(CNI_PLUGINS)} (Debian has them in containernetworking-plugins)"]


def _write_online_cores(node: Node) -> None:
    path = node.folder / ONLINE_CORES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(",".join(map(str, cgroups.cores(node))) + "\n")


def _is_held(node: Node) -> bool:
    """Whether the holder has made the namespaces and the mounts, and has become the pause program."""
    return Path(f"/proc/{processes.inhabitant(node.name)}/exe").resolve().name == "pause"


def _answers(node: Node) -> bool:
    try:
        network.inside(node, "ctr", "version")
    except ClusterError:
        return False
    return True


def _kubelet(node: Node, plane: ControlPlane) -> tuple[str, ...]:
    kubeconfig = plane.kubeconfig(f"kubelet-{node.name}", f"system:node:{node.name}", ["system:nodes"])
    return (
        str(binary("kubelet")),
        f"--config={node.folder}/kubelet.json",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
        f"--node-labels=tiersplit.dev/pool={node.pool}",
    )


def _write_files(node: Node, plane: ControlPlane) -> None:
    written = {
        f"certs.d/{REGISTRY}/hosts.toml": _mirror(),
        "containerd.toml": _containerd(node),
        "resolv.conf": f"nameserver {HOST_ADDRESS}\n",
        "etc/cni/net.d/10-bridge.conflist": json.dumps(_cni(node), indent=1),
        "kubelet.json": json.dumps(_kubelet_configuration(node, plane), indent=1),
        "kube-proxy.json": json.dumps(_proxy_configuration(node, plane), indent=1),
    }
    for name, content in written.items():
        path = node.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # kube-proxy ends as soon as its file is written, whatever the content.
        if not path.exists() or path.read_text() != content:
            path.write_text(content)


def _mirror() -> str:
    url = f"http://{REGISTRY_ADDRESS}"
    return f'server = "{url}"\n[host."{url}"]\ncapabilities = ["pull", "resolve"]\n'


def _containerd(node: Node) -> str:
    plugins = next(folder for folder in CNI_PLUGINS if Path(folder, "bridge").exists())
    # Without restrict_oom_score_adj runc fails where CAP_SYS_RESOURCE is missing.
    return f"""
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{node.folder}/certs.d"
"""


def _cni(node: Node) -> dict[str, object]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pod_range}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def _kubelet_configuration(node: Node, plane: ControlPlane) -> dict[str, object]:
    serving = plane.authority.server(
        f"kubelet-serving-{node.name}",
        f"system:node:{node.name}",
        [f"IP:{node.address}", f"DNS:{node.name}"],
        ["system:nodes"],
    )
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": str(plane.authority.certificate)}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "resolvConf": str(node.folder / "resolv.conf"),
        "clusterDNS": [DNS_SERVICE_ADDRESS],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.kubelet_root(node),
        "featureGates": {"CustomCPUCFSQuotaPeriod": True},
        "cpuCFSQuotaPeriod": QUOTA_PERIOD,
        "enforceNodeAllocatable": ["pods"],
        "systemReserved": _reserved(node),
        "evictionHard": {"memory.available": "64Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "failSwapOn": False,
        "localStorageCapacityIsolation": False,
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 20,
        "serializeImagePulls": False,
    }


def _reserved(node: Node) -> dict[str, str]:
    """What of its cores' time and of the machine's memory, which the kubelet takes for its own, is not the node's."""
    total_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(cgroups.cores(node)) * (1 - node.core_share)
    memory_mib = round(total_bytes * (1 - node.memory_share) / 2**20)
    return {"cpu": f"{round(1000 * cores)}m", "memory": f"{memory_mib}Mi"}


def _proxy_configuration(node: Node, plane: ControlPlane) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": node.name,
        "bindAddress": node.address,
        "healthzBindAddress": f"{node.address}:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": str(plane.kubeconfig(f"kube-proxy-{node.name}", "system:kube-proxy"))},
        "conntrack": {"maxPerCore": 0, "min": 0},
    }

"""What the cluster needs of the machine, and Debian's packages for it."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import cgroups, nodes
from tests.cluster.layout import ClusterError, uses_existing_cluster
from tests.cluster.programs import TOOLS_BY_NAME, is_built

PACKAGES = {
    "etcd": "etcd-server",
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Programs, and the Debian package that has each."""
CNI_PACKAGE = "containernetworking-plugins"
NEEDED_CORES = 2
NEEDED_MEMORY_BYTES = 8 * 2**30
_POLICY = Path("/usr/sbin/policy-rc.d")
_INSTALL_TIMEOUT_S = 900


def missing() -> list[str]:
    """What is lacking for `up`, one sentence each; nothing where `KUBECONFIG` names a cluster to use instead.

    Programs that `up` would install or build itself are not lacking.
    """
    if uses_existing_cluster():
        return []
    if os.geteuid() != 0:
        return ["the test cluster makes namespaces and cgroups, which needs root"]
    return [*_programs(), *cgroups.missing(), *_kernel(), *_size()]


def install_packages() -> None:
    """Install what Debian has of it and the machine has not.

    Raises:
        ClusterError: apt failed.
    """
    packages = _missing_packages()
    if not packages or shutil.which("apt-get") is None:
        return
    with _no_service_starts():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *packages)


def _missing_packages() -> list[str]:
    lacking = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    return sorted(lacking | ({CNI_PACKAGE} if nodes.missing() else set()))


def _programs() -> list[str]:
    lacking = []
    if shutil.which("apt-get") is None:
        lacking += [f"{name} is not on the PATH" for name in PACKAGES if shutil.which(name) is None]
        lacking += nodes.missing()
    if shutil.which("go") is None and not all(is_built(name) for name in TOOLS_BY_NAME):
        lacking.append("Go 1.26 or later, which builds the cluster's programs, is not on the PATH")
    return lacking


def _kernel() -> list[str]:
    """Tried in a network namespace that ends with the trial."""
    trials = {
        "the kernel makes no network, mount and PID namespaces": "true",
        "the kernel has no bridges or veth pairs": (
            "ip link add br0 type bridge && ip link add veth0 type veth peer name veth1"
        ),
        "the kernel has no HTB or u32, which shape the links": (
            "ip link add veth0 type veth peer name veth1 && tc qdisc add dev veth0 root handle 1: htb && "
            "tc filter add dev veth0 parent 1: protocol ip u32 match ip dst 10.0.0.0/8 flowid 1:1"
        ),
        "the kernel has no nftables with NAT": (
            "nft add table ip t && nft 'add chain ip t c { type nat hook postrouting priority 0; }'"
        ),
    }
    return [sentence for sentence, trial in trials.items() if not _works(trial)]


def _works(trial: str) -> bool:
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", trial]
    needed = [word for word in ("ip", "tc", "nft") if word in trial.split()]
    if any(shutil.which(word) is None for word in needed):
        return True  # `up` installs it first, and asks again
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


def _size() -> list[str]:
    lacking = []
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total < NEEDED_MEMORY_BYTES:
        needed = NEEDED_MEMORY_BYTES // 2**30
        lacking.append(f"the machine has {total / 2**30:.1f} GiB of memory, and the cluster needs {needed}")
    if len(os.sched_getaffinity(0)) < NEEDED_CORES:
        lacking.append(f"the cluster needs {NEEDED_CORES} cores, one of them for the cloud alone")
    return lacking


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's packages start their services unless this program says no; one that is there keeps its say."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _apt(*arguments: str) -> None:
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            ["apt-get", *arguments],
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=_INSTALL_TIMEOUT_S,
        )
        if done.returncode:
            said.seek(0)
            raise ClusterError(f"apt-get {arguments[0]} failed:\n{said.read()[-2000:]}")

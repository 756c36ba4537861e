"""A real API server alone, on loopback: etcd and kube-apiserver, without nodes, controllers or root."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.certificates import Authority
from tests.cluster.control_plane import ETCD_ENVIRONMENT, ControlPlane
from tests.cluster.layout import ClusterError
from tests.cluster.programs import binary, is_built
from tests.cluster.waiting import wait_until

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class ApiServer:
    """An API server that answers.

    Attributes:
        url: its address.
        kubeconfig: an administrator's.
        control_plane: its certificates and commands.
    """

    url: str
    kubeconfig: Path
    control_plane: ControlPlane

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints as the administrator.

        Raises:
            ClusterError: kubectl failed; the message is its own.
        """
        done = subprocess.run(
            [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def user_kubeconfig(self, user: str, groups: Iterable[str] = ()) -> Path:
        """A kubeconfig of another user, who may do what RBAC gives them."""
        return self.control_plane.kubeconfig(f"user-{user.replace(':', '-')}", user, groups)


def missing() -> list[str]:
    """What is lacking for `api_server`, one sentence each."""
    lacking = [
        f"{name} is not on the PATH (on Debian: apt-get install {package})"
        for name, package in (("etcd", "etcd-server"), ("openssl", "openssl"), ("setpriv", "util-linux"))
        if shutil.which(name) is None
    ]
    built = is_built("kube-apiserver") and is_built("kubectl")
    if not built and shutil.which("go") is None:
        lacking.append("Go 1.26 or later, which builds kube-apiserver and kubectl, is not on the PATH")
    return lacking


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """A ready API server that ends, with all its data, when the block does.

    The ServiceAccount admission is off, since nobody makes the default accounts: pods can be created, and stay Pending.

    Raises:
        ClusterError: one of the two did not come up; the message has the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="tiersplit-api-") as made, ExitStack() as running:
        folder = Path(made)
        api_port, etcd_port, peer_port = _free_ports(3)
        authority = Authority(folder / "pki")
        authority.create()
        plane = ControlPlane(authority, folder, "127.0.0.1", api_port, etcd_port, peer_port)
        flags = ("--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")
        etcd = running.enter_context(_child("etcd", plane.etcd(), folder))
        apiserver = running.enter_context(_child("kube-apiserver", plane.apiserver(more=flags), folder))
        server = ApiServer(plane.url, plane.kubeconfig("admin", "admin", ["system:masters"]), plane)
        wait_until(lambda: _is_ready(server, etcd, apiserver), "the API server was ready", READY_TIMEOUT_S, 0.3)
        yield server


def _is_ready(server: ApiServer, *children: "_Child") -> bool:
    for child in children:
        child.check()
    try:
        return server.kubectl("get", "--raw=/readyz", "--request-timeout=5s") == "ok"
    except ClusterError:
        return False


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        if self.process.poll() is not None:
            said = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
            raise ClusterError(f"{self.name} ended with {self.process.returncode}; its log says:\n{said}")


@contextmanager
def _child(name: str, command: tuple[str, ...], folder: Path) -> Iterator[_Child]:
    """A child that ends with the block, and with this process however it ends."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | ETCD_ENVIRONMENT,
        )
    try:
        yield _Child(name, process, log)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: held together while they are chosen, so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]

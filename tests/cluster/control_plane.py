"""How etcd and the Kubernetes control plane are started; where they run is the caller's."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.certificates import Authority, Certificate, write_kubeconfig
from tests.cluster.layout import POD_RANGE, SERVICE_RANGE
from tests.cluster.programs import binary

SERVICE_ACCOUNT_ISSUER = "https://kubernetes.default.svc"
API_SERVICE_ADDRESS = "10.96.0.1"
ETCD_ENVIRONMENT = {"ETCD_UNSUPPORTED_ARCH": "arm64"}
"""etcd 3.4 asks for this on arm64, and ignores it elsewhere."""


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A control plane: its certificates, its data, and its addresses.

    Attributes:
        authority: what signs every certificate, the kubelets' included.
        folder: where etcd keeps its data.
        address: where the API server listens, and what clients call.
        api_port: the API server's port.
        etcd_port: etcd's port for clients, on loopback.
        etcd_peer_port: etcd's port for members, on loopback; there is one member alone.
    """

    authority: Authority
    folder: Path
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int

    @property
    def url(self) -> str:
        """The API server's."""
        return f"https://{self.address}:{self.api_port}"

    def etcd(self) -> tuple[str, ...]:
        """The command of etcd; nothing that it holds has to survive the machine."""
        client, peer = (f"https://127.0.0.1:{port}" for port in (self.etcd_port, self.etcd_peer_port))
        own = self.authority.server("etcd", "etcd", ["IP:127.0.0.1"])
        trusted = str(self.authority.certificate)
        return (
            "etcd",
            "--name=test",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=test={peer}",
            *(f"--{side}client-cert-auth" for side in ("", "peer-")),
            *(f"--{side}trusted-ca-file={trusted}" for side in ("", "peer-")),
            *(f"--{side}cert-file={own.certificate}" for side in ("", "peer-")),
            *(f"--{side}key-file={own.key}" for side in ("", "peer-")),
            "--unsafe-no-fsync",
            "--logger=zap",
            "--log-level=warn",
        )

    def apiserver(self, *, more: Iterable[str] = ()) -> tuple[str, ...]:
        """The command of the API server."""
        serving = self._serving_certificate()
        etcd_client = self.authority.client("apiserver-etcd-client", "kube-apiserver")
        signing_key = self.authority.signing_key("service-accounts")
        return (
            str(binary("kube-apiserver")),
            f"--bind-address={self.address}",
            f"--secure-port={self.api_port}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--etcd-servers=https://127.0.0.1:{self.etcd_port}",
            f"--etcd-cafile={self.authority.certificate}",
            f"--etcd-certfile={etcd_client.certificate}",
            f"--etcd-keyfile={etcd_client.key}",
            f"--service-account-issuer={SERVICE_ACCOUNT_ISSUER}",
            f"--service-account-key-file={signing_key}",
            f"--service-account-signing-key-file={signing_key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            # etcd 3.4 tells no progress of watches, which this gate asks for where one begins at version 0, as kwok's.
            "--feature-gates=WatchList=false",
            "--anonymous-auth=false",
            "--profiling=false",
            *more,
        )

    def kubelet_access(self) -> tuple[str, ...]:
        """The API server's flags for calling kubelets, whose certificates it checks."""
        client = self.authority.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client")
        return (
            f"--kubelet-certificate-authority={self.authority.certificate}",
            f"--kubelet-client-certificate={client.certificate}",
            f"--kubelet-client-key={client.key}",
            "--kubelet-preferred-address-types=InternalIP",
        )

    def controller_manager(self) -> tuple[str, ...]:
        """The command of the controller manager, quick enough in its requests for hundreds of resources."""
        kubeconfig = self.kubeconfig("controller-manager", "system:kube-controller-manager")
        return (
            str(binary("kube-controller-manager")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self.authority.signing_key('service-accounts')}",
            f"--root-ca-file={self.authority.certificate}",
            f"--cluster-cidr={POD_RANGE}",
            "--allocate-node-cidrs=false",
            "--node-monitor-grace-period=20s",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        )

    def scheduler(self) -> tuple[str, ...]:
        """The command of the scheduler."""
        kubeconfig = self.kubeconfig("scheduler", "system:kube-scheduler")
        return (
            str(binary("kube-scheduler")),
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        )

    def kubeconfig(self, name: str, user: str, groups: Iterable[str] = (), path: Path | None = None) -> Path:
        """A kubeconfig of a user of groups, written beside the certificates unless a path is given."""
        written = path or self.authority.folder / f"{name}.kubeconfig"
        if not written.exists():
            write_kubeconfig(written, self.url, self.authority, self.authority.client(name, user, groups))
        return written

    def _serving_certificate(self) -> Certificate:
        names = ["DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc"]
        addresses = sorted({self.address, "127.0.0.1", API_SERVICE_ADDRESS})
        return self.authority.server("apiserver", "kube-apiserver", [*names, *(f"IP:{a}" for a in addresses)])

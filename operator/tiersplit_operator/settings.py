"""What the chart (or a person) sets: read once from the environment, then passed around."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tiersplit_core.errors import InputError

PREFIX = "TIERSPLIT_"
MAX_CERTIFICATE_BYTES = 256 * 1024
LOG_FORMATS = ("json", "text")
LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """The registry that bundles live in.

    Attributes:
        prefix: `HOST[:PORT]/PATH` under which every model has a repository.
        plain_http: talk to it without TLS.
        ca_pem: certificates that it is trusted by; empty: those of the system.
        ca_file: where the operator itself finds them; empty: nowhere.
        secret: name of a dockerconfigjson Secret in the resource's namespace, mounted into Jobs and pods; empty: none.
    """

    prefix: str
    plain_http: bool = False
    ca_pem: str = ""
    ca_file: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where observations are read.

    Attributes:
        url: base address of the server; empty: none is asked, heads' own reports are used.
        bearer_file: file with a bearer token; empty: none.
    """

    url: str = ""
    bearer_file: str = ""


@dataclass(frozen=True, slots=True)
class RoutesSettings:
    """The route stream that pods dial.

    Attributes:
        listen: address that is bound.
        address: `HOST:PORT` that pods dial.
        tls_dir: folder with tls.crt and tls.key; empty: plaintext.
        ca_pem: certificates by which pods trust `address`; empty: plaintext, or those of the system.
    """

    listen: str = "[::]:9443"
    address: str = "tiersplit-routes:9443"
    tls_dir: str = ""
    ca_pem: str = ""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """Who leads.

    Attributes:
        name: the Lease's name.
        namespace: its namespace, the operator's own.
        identity: this replica's name, unique among replicas.
    """

    name: str = "tiersplit-operator"
    namespace: str = "default"
    identity: str = "operator"

    @property
    def place(self) -> str:
        """Names the operator, all of its replicas together: `NAMESPACE/NAME` of the Lease."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """Limits of the planner's worker processes.

    Attributes:
        workers: how many run at once.
        timeout_s: how long one plan may take.
        memory_bytes: how much memory one worker may take.
    """

    workers: int = 1
    timeout_s: float = 600.0
    memory_bytes: int = 3 * 2**30


@dataclass(frozen=True, slots=True)
class OperatorSettings:
    """Everything that is set from outside.

    Attributes:
        stage_image: image of stages and of profile Jobs.
        import_image: image of import and materialise Jobs where a resource names none.
        registry: where bundles live.
        namespaces: namespaces that are watched; empty: all of them.
        image_pull_policy: of all containers that the operator makes.
        runtime_version: changes whenever a profile of the version before is no longer worth anything.
        cluster_domain: the cluster's DNS domain.
        prometheus: where observations are read.
        routes: the route stream.
        lease: who leads.
        planner: limits of planning.
        concurrency: how many resources are reconciled at once.
        resync_s: longest time between two looks at a resource.
        metrics_port: where Prometheus reads the operator's own metrics.
        probe_port: where the kubelet asks whether it lives.
        log_level: debug, info, warning or error.
        log_format: json or text.
    """

    stage_image: str
    import_image: str
    registry: RegistrySettings
    namespaces: tuple[str, ...] = ()
    image_pull_policy: str = "IfNotPresent"
    runtime_version: str = "2"
    cluster_domain: str = "cluster.local"
    prometheus: PrometheusSettings = PrometheusSettings()
    routes: RoutesSettings = RoutesSettings()
    lease: LeaseSettings = LeaseSettings()
    planner: PlannerSettings = PlannerSettings()
    concurrency: int = 8
    resync_s: float = 600.0
    metrics_port: int = 8080
    probe_port: int = 8081
    log_level: str = "info"
    log_format: str = "json"


def settings_from(environment: Mapping[str, str] = os.environ) -> OperatorSettings:
    """The settings that the variables `TIERSPLIT_…` give.

    Raises:
        InputError: a variable is missing or wrong; `path` names it.
    """
    read = _Reader(environment)
    return OperatorSettings(
        stage_image=read.text("STAGE_IMAGE"),
        import_image=read.text("IMPORT_IMAGE"),
        registry=RegistrySettings(
            prefix=read.text("REGISTRY").removeprefix("oci://").rstrip("/"),
            plain_http=read.flag("REGISTRY_PLAIN_HTTP"),
            ca_pem=read.file("REGISTRY_CA_FILE"),
            ca_file=read.text("REGISTRY_CA_FILE", ""),
            secret=read.text("REGISTRY_SECRET", ""),
        ),
        namespaces=read.words("NAMESPACES"),
        image_pull_policy=read.choice("IMAGE_PULL_POLICY", ("IfNotPresent", "Always", "Never")),
        runtime_version=read.text("RUNTIME_VERSION", "2"),
        cluster_domain=read.text("CLUSTER_DOMAIN", "cluster.local"),
        prometheus=PrometheusSettings(
            url=read.text("PROMETHEUS_URL", "").rstrip("/"),
            bearer_file=read.text("PROMETHEUS_BEARER_FILE", ""),
        ),
        routes=_routes(read),
        lease=_lease(read),
        planner=_planner(read),
        concurrency=read.whole("CONCURRENCY", 8, 1, 64),
        resync_s=float(read.whole("RESYNC_SECONDS", 600, 10, 86_400)),
        metrics_port=read.whole("METRICS_PORT", 8080, 1, 65_535),
        probe_port=read.whole("PROBE_PORT", 8081, 1, 65_535),
        log_level=read.choice("LOG_LEVEL", ("info", *LOG_LEVELS)),
        log_format=read.choice("LOG_FORMAT", LOG_FORMATS),
    )


def _routes(read: "_Reader") -> RoutesSettings:
    defaults = RoutesSettings()
    return RoutesSettings(
        listen=read.text("ROUTES_LISTEN", defaults.listen),
        address=read.text("ROUTES_ADDRESS", defaults.address),
        tls_dir=read.text("ROUTES_TLS_DIR", ""),
        ca_pem=read.file("ROUTES_CA_FILE"),
    )


def _lease(read: "_Reader") -> LeaseSettings:
    return LeaseSettings(
        name=read.text("LEASE_NAME", "tiersplit-operator"),
        namespace=read.text("NAMESPACE", "default"),
        identity=read.text("IDENTITY", socket.gethostname()),
    )


def _planner(read: "_Reader") -> PlannerSettings:
    return PlannerSettings(
        workers=read.whole("PLANNER_WORKERS", 1, 1, 16),
        timeout_s=float(read.whole("PLANNER_TIMEOUT_SECONDS", 600, 10, 7200)),
        memory_bytes=read.whole("PLANNER_MEMORY_MIB", 3072, 256, 65_536) * 2**20,
    )


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str | None = None) -> str:
        found = self._environment.get(PREFIX + name, default)
        if found is None or (default is None and not found):
            raise InputError("is missing; set it", PREFIX + name)
        return found

    def words(self, name: str) -> tuple[str, ...]:
        return tuple(filter(None, (word.strip() for word in self.text(name, "").split(","))))

    def flag(self, name: str) -> bool:
        return self.choice(name, ("false", "true")) == "true"

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """One of `known`, of which the first is the default."""
        return self._checked(name, known[0], lambda text: text in known, f"write {' or '.join(sorted(set(known)))}")

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        def fits(text: str) -> bool:
            return text.isdecimal() and least <= int(text) <= most

        return int(self._checked(name, str(default), fits, f"write a whole number from {least} to {most}"))

    def file(self, name: str) -> str:
        """Contents of the text file that the variable names; empty where it names none."""
        path = self.text(name, "")
        if not path:
            return ""
        try:
            content = Path(path).read_bytes()[: MAX_CERTIFICATE_BYTES + 1]
        except OSError as error:
            raise InputError(f"cannot be read: {error}", PREFIX + name) from error
        if len(content) > MAX_CERTIFICATE_BYTES:
            raise InputError(f"the file is larger than {MAX_CERTIFICATE_BYTES} bytes", PREFIX + name)
        return content.decode()

    def _checked(self, name: str, default: str, fits: Callable[[str], bool], write: str) -> str:
        text = self.text(name, default)
        if not fits(text):
            raise InputError(f"{text!r} does not fit; {write}", PREFIX + name)
        return text

"""The cluster's Go programs, built once into a cache outside the work tree."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.layout import KUBERNETES, TOOLS, ClusterError, cache

BUILD_TIMEOUT_S = 1800


@dataclass(frozen=True, slots=True)
class Tool:
    """A program: the Go module under `tools/` that pins it, its package, and how it is built."""

    module: str
    package: str
    ldflags: str = "-s -w"
    tags: str = ""


def _version_flags(package: str) -> str:
    major, minor = KUBERNETES.removeprefix("v").split(".")[:2]
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X {package}.{name}={value}" for name, value in values.items())


# Without its version a Kubernetes program reports v0.0.0, and clients misbehave.
_KUBERNETES_FLAGS = " ".join(
    ["-s -w", *(_version_flags(f"k8s.io/{where}/version") for where in ("component-base", "client-go/pkg"))]
)
TOOLS_BY_NAME = {
    **{
        name: Tool("kubernetes", f"k8s.io/kubernetes/cmd/{name}", _KUBERNETES_FLAGS)
        for name in ("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
    },
    "coredns": Tool("coredns", "github.com/coredns/coredns"),
    "helm": Tool("helm", "helm.sh/helm/v4/cmd/helm"),
    "kwok": Tool("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "kwok-stages": Tool("kwok", "."),
    "gofakes3": Tool("gofakes3", "github.com/johannesboyne/gofakes3/cmd/gofakes3"),
    # Debian's Prometheus discovers no pods; this one discovers nothing else.
    "prometheus": Tool(
        "prometheus", "github.com/prometheus/prometheus/cmd/prometheus", tags="remove_all_sd,enable_kubernetes_sd"
    ),
    "pause": Tool("pause", "."),
    "probe": Tool("probe", "."),
    "volumes": Tool("volumes", "."),
    "gitops": Tool("gitops", "."),
}


def binary(name: str) -> Path:
    """The path of a program, built first where the cache has none for the pinned versions.

    Raises:
        ClusterError: Go is missing, or the build failed.
    """
    tool = TOOLS_BY_NAME[name]
    path = _cached(tool) / name
    if not path.exists():
        with _lock():
            if not path.exists():
                _build(tool, path)
    return path


def is_built(name: str) -> bool:
    """Whether `binary` would return at once."""
    return (_cached(TOOLS_BY_NAME[name]) / name).exists()


def _cached(tool: Tool) -> Path:
    digest = hashlib.sha256(f"{tool.ldflags} {tool.tags}".encode())
    for path in sorted((TOOLS / tool.module).iterdir()):
        digest.update(path.read_bytes())
    return cache() / "tools" / f"{tool.module}-{digest.hexdigest()[:12]}"


def _build(tool: Tool, path: Path) -> None:
    if shutil.which("go") is None:
        raise ClusterError(f"Go builds {path.name}, and there is no `go` on the PATH; install Go 1.26 or later")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    command = ["nice", "-n", "10", "go", "build", "-trimpath", "-buildvcs=false"]
    built = subprocess.run(
        [*command, "-ldflags", tool.ldflags, "-tags", tool.tags, "-o", str(unfinished), tool.package],
        cwd=TOOLS / tool.module,
        env=os.environ | {"CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    if built.returncode:
        unfinished.unlink(missing_ok=True)
        raise ClusterError(f"building {tool.package} failed:\n{built.stderr[-4000:]}")
    unfinished.replace(path)


@contextmanager
def _lock() -> Iterator[None]:
    """One build at a time: each uses every core, and they share most of their packages."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "build.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

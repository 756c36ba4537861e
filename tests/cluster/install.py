"""`python -m tests.cluster.install`: the chart, with images built from this tree, in the test cluster."""

import sys
from collections.abc import Mapping
from typing import Any

from tests.cluster.helm import CHART, NAMESPACE, RELEASE, helm
from tests.cluster.images import IMPORT, OPERATOR, STAGE, build, registry_image
from tests.cluster.layout import ClusterError, kubeconfig

READY = "10m"
PROMETHEUS_URL = "http://prometheus.monitoring.svc.cluster.local:9090"
_NODES = {"key": "tiersplit.dev/pool", "operator": "In", "values": ["cloud", "micro-datacenter"]}
_NO_EDGE = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [_NODES]}]}
    }
}
_SPREAD = {
    "podAntiAffinity": {
        "preferredDuringSchedulingIgnoredDuringExecution": [
            {
                "weight": 100,
                "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "tiersplit-operator"}},
                },
            }
        ]
    }
}


def cluster_values(built: Mapping[str, str], registry: str) -> dict[str, Any]:
    """Values for the test cluster.

    Args:
        built: reference of each image by its name, as `images.build` returns them.
        registry: reference of the image that runs the chart's registry.
    """
    prefix = built[OPERATOR.name].rpartition("/")[0]
    small = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}}
    large = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    return {
        "images": {
            "registry": prefix,
            **{name: _image(built[name]) for name in (OPERATOR.name, STAGE.name, IMPORT.name)},
        },
        "operator": {"affinity": {**_NO_EDGE, **_SPREAD}, "resources": large, "planner": {"memoryMib": 1024}},
        # Debian's package has the program under a name of its own.
        "registry": {"image": registry, "program": "docker-registry", "affinity": _NO_EDGE, "resources": small},
        "prometheus": {"url": PROMETHEUS_URL},
    }


def _image(reference: str) -> dict[str, str]:
    name, _, tag = reference.rpartition("/")[2].partition(":")
    return {"name": name, "tag": tag}


def install(values: Mapping[str, Any] | None = None) -> str:
    """Install or upgrade the chart, and wait until all of it is ready; what helm says.

    Args:
        values: in place of those for the test cluster.

    Raises:
        ClusterError: an image could not be built, or the chart did not become ready.
    """
    wanted = cluster_values(build(), registry_image()) if values is None else values
    arguments = ["upgrade", "--install", RELEASE, str(CHART), f"--namespace={NAMESPACE}", "--create-namespace"]
    # A definition that a test applied before becomes the chart's, and is as the chart has it.
    arguments += ["--take-ownership", "--force-conflicts", "--wait", f"--timeout={READY}"]
    return helm(*arguments, values=wanted, kubeconfig=kubeconfig())


def main() -> int:
    """Install, and print what helm says."""
    try:
        print(install())
    except ClusterError as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The chart and the example on the test cluster, for as long as a session of tests or a benchmark needs them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import links
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.helm import RELEASE, helm
from tests.cluster.install import install
from tests.cluster.kubectl import apply, get, kubectl
from tests.cluster.layout import kubeconfig
from tests.support import cluster_digits
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import Product

NAMESPACE = "digits-e2e"
REGISTRY = f"tiersplit-registry.{RELEASE_NAMESPACE}.svc.cluster.local:5000"
REFERENCE = f"oci://{REGISTRY}/tiersplit/digits:v1"
TIERS = ("edge", "mdc", "cloud")
EDGE, OTHER_EDGE, MDC, CLOUD = "edge-a", "edge-b", "mdc", "cloud"
FAST_BPS, SLOW_BPS, MIDDLE_BPS = 50e6, 2e6, 20e6
DECLARED_BPS = 100e6
"""Of the second link, which nothing shapes: far more than its share of a request needs."""
PERIOD_S = 0.5
AS_INSTALLED = "E2E_AS_INSTALLED"
"""Set to 1 it takes the chart as it is installed, for who changes tests and not the product."""
GONE_S = 180


@dataclass(frozen=True)
class Installation:
    """The chart in the cluster.

    Attributes:
        namespace: where SplitDeployments are made.
    """

    namespace: str

    @property
    def registry(self) -> str:
        """HOST:PORT of its registry, reachable from here; another one once the chart was installed again."""
        return registry_address()


@contextmanager
def installed() -> Iterator[Installation]:
    """The chart with images of this tree, the bundle in its registry, and a namespace; what was not there goes."""
    was_there = is_installed()
    if os.environ.get(AS_INSTALLED) != "1":
        install()
    cluster_digits.push(registry_address(), REFERENCE)
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    try:
        yield Installation(NAMESPACE)
    finally:
        kubectl("delete", "namespace", NAMESPACE, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)
        if not was_there:
            uninstall()


def registry_address() -> str:
    """HOST:PORT of the chart's registry, reachable from here."""
    service = get("service", "tiersplit-registry", f"--namespace={RELEASE_NAMESPACE}")
    return f"{service['spec']['clusterIP']}:5000"


def is_installed() -> bool:
    """Whether the chart is in the cluster."""
    listed = helm("list", f"--namespace={RELEASE_NAMESPACE}", "--output=json", kubeconfig=kubeconfig())
    return RELEASE in {release["name"] for release in json.loads(listed)}


def installed_values() -> dict[str, Any]:
    """The values that the chart was installed with."""
    written = helm(
        "get", "values", RELEASE, f"--namespace={RELEASE_NAMESPACE}", "--output=json", kubeconfig=kubeconfig()
    )
    values: dict[str, Any] = json.loads(written)
    return values


def uninstall() -> None:
    """Take the chart away, and what it keeps: the definition, and the registry's claim."""
    helm("uninstall", RELEASE, f"--namespace={RELEASE_NAMESPACE}", "--wait", kubeconfig=kubeconfig())
    kubectl("delete", "namespace", RELEASE_NAMESPACE, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)
    kubectl("delete", "crd", "splitdeployments.tiersplit.dev", f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)


@contextmanager
def deployed(installation: Installation, **metadata: str) -> Iterator[Product]:
    """The example, Ready, its edge on one node, its links as fast as the machine.

    Args:
        installation: where.
        metadata: annotations in place of the example's own, such as the batch sizes.
    """
    links.clear()
    product = Product("digits", installation.namespace)
    manifest = on_node(cluster_digits.manifest("digits", REFERENCE), EDGE)
    manifest["metadata"]["annotations"] |= metadata
    product.apply(manifest)
    try:
        product.wait_for("Ready")
        yield product
    finally:
        links.clear()
        product.delete()


def forecast_of(product: Product, installation: Installation, folder: Path) -> Forecast:
    """What `tiersplit plan` says for the bundle that a deployment serves from."""
    spec = product.get("splitdeployment", product.name)["spec"]
    latencies = [link["latencyMilliseconds"] / 1e3 for link in spec["links"]]
    memory = {tier["name"]: tier["memory"] for tier in spec["tiers"] if "memory" in tier}
    return Forecast(product.served_bundle(folder, installation.registry), TIERS, latencies, memory)


def on_node(manifest: dict[str, Any], node: str) -> dict[str, Any]:
    """The manifest with its first tier on one node, so that it is known which link is its own."""
    selector = {"tiersplit.dev/pool": "edge", "kubernetes.io/hostname": node}
    return cluster_digits.with_tier(manifest, TIERS[0], nodeSelector=selector)

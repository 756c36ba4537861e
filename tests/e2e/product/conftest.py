"""The chart, the digits bundle, and one deployment of it that the tests of a session share."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.digits.camera import KnownPictures
from tests.cluster import links
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.install import install
from tests.cluster.kubectl import apply, get, kubectl
from tests.support import cluster_digits
from tests.support.cluster_load import Load
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import Product

NAMESPACE = "digits-e2e"
REGISTRY = f"tiersplit-registry.{RELEASE_NAMESPACE}.svc.cluster.local:5000"
REFERENCE = f"oci://{REGISTRY}/tiersplit/digits:v1"
TIERS = ("edge", "mdc", "cloud")
EDGE, OTHER_EDGE, MDC, CLOUD = "edge-a", "edge-b", "mdc", "cloud"
FAST_BPS, SLOW_BPS, MIDDLE_BPS = 50e6, 2e6, 20e6
PERIOD_S = 0.5
AS_INSTALLED = "E2E_AS_INSTALLED"
"""Set to 1 it takes the chart as it is installed, for who changes tests and not the product."""


@dataclass(frozen=True)
class Installation:
    """The chart in the cluster.

    Attributes:
        registry: HOST:PORT of its registry, reachable from here.
        namespace: where tests make SplitDeployments.
    """

    registry: str
    namespace: str


@pytest.fixture(scope="session")
def installation(own_cluster: None) -> Iterator[Installation]:
    """The chart with images of this tree, and a namespace that goes with everything in it."""
    if os.environ.get(AS_INSTALLED) != "1":
        install()
    address = get("service", "tiersplit-registry", f"--namespace={RELEASE_NAMESPACE}")["spec"]["clusterIP"]
    cluster_digits.push(f"{address}:5000", REFERENCE)
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    yield Installation(f"{address}:5000", NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--timeout=180s", timeout_s=200)


@pytest.fixture(scope="session")
def known() -> KnownPictures:
    """Pictures with the undivided network's answers."""
    return cluster_digits.pictures()


@pytest.fixture(scope="session")
def digits(installation: Installation) -> Iterator[Product]:
    """The example, Ready, its edge on one node; links are as fast as the machine until a test sets them."""
    links.clear()
    product = Product("digits", installation.namespace)
    product.apply(on_node(cluster_digits.manifest("digits", REFERENCE), EDGE))
    product.wait_for("Ready")
    yield product
    product.delete()


@pytest.fixture
def load_of(known: KnownPictures) -> Callable[..., Load]:
    """Makes a load on a deployment's front Service."""

    def make(product: Product, period_s: float = PERIOD_S, head: str = "") -> Load:
        return Load(head or product.head, product.name, known, period_s)

    return make


@pytest.fixture
def unshaped(digits: Product) -> Iterator[Product]:
    """The deployment with no pin and fast links, before and after the test."""
    links.clear()
    digits.pin(None)
    digits.wait_for("Ready")
    yield digits
    links.clear()
    digits.pin(None)


@pytest.fixture
def forecast(digits: Product, installation: Installation, tmp_path: Path) -> Forecast:
    """What `tiersplit plan` says for the bundle that serves."""
    return forecast_of(digits, installation, tmp_path / "served")


def forecast_of(product: Product, installation: Installation, folder: Path) -> Forecast:
    """What `tiersplit plan` says for the bundle that a deployment serves from."""
    spec = product.get("splitdeployment", product.name)["spec"]
    latencies = [link["latencyMilliseconds"] / 1e3 for link in spec["links"]]
    memory = {tier["name"]: tier["memory"] for tier in spec["tiers"] if "memory" in tier}
    return Forecast(product.served_bundle(folder, installation.registry), TIERS, latencies, memory)


def on_node(manifest: dict[str, Any], node: str) -> dict[str, Any]:
    """The manifest with its first tier on one node, so that the test knows which link is its own."""
    selector = {"tiersplit.dev/pool": "edge", "kubernetes.io/hostname": node}
    return cluster_digits.with_tier(manifest, TIERS[0], nodeSelector=selector)

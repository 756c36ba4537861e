"""TLS from a Secret, between stages and to clients; a rotation that nobody notices."""

import base64
from collections.abc import Callable, Iterator

import pytest

from examples.digits.camera import KnownPictures
from tests.cluster import links
from tests.cluster.kubectl import apply
from tests.support.certificates import Authority
from tests.support.cluster_digits import manifest
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_product import Product
from tests.support.cluster_session import PERIOD_S, REFERENCE, TIERS, Installation
from tiersplit_wire.connection import trusting

RELOADED_S = 150.0
"""The kubelet shows a changed Secret within its sync period, a minute at most, and the stage within a second."""


@pytest.fixture
def guarded(installation: Installation) -> Iterator[tuple[Product, Authority]]:
    """A deployment whose stages prove to each other who they are."""
    links.clear()
    product, authority = Product("guarded", installation.namespace), Authority()
    give(product, authority, days=10)
    product.apply(manifest(product.name, REFERENCE, tls={"mode": "Mutual"}))
    product.wait_for("Ready")
    yield product, authority
    product.delete()
    product.kubectl("delete", "secret", f"{product.name}-tls")


def test_a_request_crosses_all_tiers_encrypted_and_a_rotated_certificate_is_taken_without_a_failed_one(
    guarded: tuple[Product, Authority], known: KnownPictures
) -> None:
    product, authority = guarded
    load = Load(product.head, product.name, known, PERIOD_S, trusting(authority.pem), host(product))
    with loaded(load):
        product.wait(lambda: load.recent_plan(3), "requests were answered", 30)
        before = expiry_s(product)
        give(product, authority, days=20)
        product.wait(lambda: min(expiry_s(product)) > max(before), "every stage had the certificate", RELOADED_S)
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]


def test_a_client_without_tls_is_not_answered(guarded: tuple[Product, Authority], load_of: Callable[..., Load]) -> None:
    load = load_of(guarded[0])
    with loaded(load):
        guarded[0].wait(lambda: load.failures, "a request failed", 30)
    assert not load.plans()


def host(product: Product) -> str:
    """The name that clients of the cluster use."""
    return f"{product.name}.{product.namespace}.svc"


def give(product: Product, authority: Authority, days: float) -> None:
    """Write the Secret, in cert-manager's layout."""
    parts = [product.name, *(f"{product.name}-{tier}" for tier in TIERS)]
    names = [f"{part}.{product.namespace}.svc{end}" for part in parts for end in ("", ".cluster.local")]
    pair = authority.issue(*names, days=days)
    data = {"tls.crt": pair.chain, "tls.key": pair.key, "ca.crt": authority.pem}
    about = {"name": f"{product.name}-tls", "namespace": product.namespace}
    encoded = {name: base64.b64encode(value).decode() for name, value in data.items()}
    apply([{"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": about, "data": encoded}])


def expiry_s(product: Product) -> list[float]:
    """How long each tier's certificate is good for."""
    name = "tiersplit_tls_expiry_seconds "
    lines = [line for tier in TIERS for line in product.metrics(tier).splitlines() if line.startswith(name)]
    return [float(line.removeprefix(name)) for line in lines]

"""The end of things: a resource, its namespace, the operator before the resources; nothing hangs."""

from collections.abc import Iterator

import pytest

from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.helm import RELEASE, helm
from tests.cluster.install import install
from tests.cluster.kubectl import apply, get, kubectl
from tests.cluster.layout import kubeconfig
from tests.cluster.waiting import wait_until
from tests.support.cluster_digits import manifest
from tests.support.cluster_product import Product
from tests.support.cluster_session import REFERENCE, Installation, installed_values

GONE_S = 120
OWNED = "deployments,daemonsets,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,jobs"
NAMESPACE = "digits-e2e-end"


@pytest.fixture
def short_lived(installation: Installation) -> Iterator[Product]:
    """A deployment in a namespace of its own."""
    apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}])
    yield Product("digits", NAMESPACE)
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)


def test_a_deleted_resource_takes_all_that_it_owned_with_it(short_lived: Product) -> None:
    short_lived.apply(manifest("digits", REFERENCE))
    short_lived.wait_for("Ready")
    short_lived.delete()
    wait_until(lambda: not owned(), "everything was gone", GONE_S, 0.5)


def test_a_namespace_goes_while_its_resource_serves(short_lived: Product) -> None:
    short_lived.apply(manifest("digits", REFERENCE))
    short_lived.wait_for("Ready")
    kubectl("delete", "namespace", NAMESPACE, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)


def test_resources_and_namespaces_go_after_the_operator_was_uninstalled(short_lived: Product) -> None:
    short_lived.apply(manifest("digits", REFERENCE))
    short_lived.wait_for("Ready")
    values = installed_values()
    helm("uninstall", RELEASE, f"--namespace={RELEASE_NAMESPACE}", "--wait", kubeconfig=kubeconfig())
    try:
        assert get("crd", "splitdeployments.tiersplit.dev")["metadata"]["name"]
        assert short_lived.pods("edge")
        short_lived.delete()
        kubectl("delete", "namespace", NAMESPACE, f"--timeout={GONE_S}s", timeout_s=GONE_S + 20)
    finally:
        install(values)


def owned() -> list[str]:
    """What is left of our making in the namespace."""
    selector = "--selector=app.kubernetes.io/managed-by=tiersplit"
    listed = get(OWNED, f"--namespace={NAMESPACE}", selector)["items"]
    return [item["metadata"]["name"] for item in listed]

"""What a user got wrong is said by a condition, with what to write; once it is put right, no hand is needed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.cluster_digits import manifest, with_tier
from tests.support.cluster_product import Product
from tests.support.cluster_session import REFERENCE, REGISTRY, Installation

SAID_S = 90.0
NOWHERE = f"oci://{REGISTRY}/tiersplit/digits:never-pushed"

MISTAKES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "a bundle that is not there": (manifest("wrong", NOWHERE), "Imported", "BundleMissing", "never-pushed"),
    "a pool without nodes": (
        with_tier(manifest("wrong", REFERENCE), "edge", nodeSelector={"tiersplit.dev/pool": "submarine"}),
        "Profiled",
        "Unschedulable",
        "node",
    ),
    "an image that cannot be pulled": (
        with_tier(
            manifest("wrong", REFERENCE),
            "cloud",
            template={"spec": {"containers": [{"name": "stage", "image": "registry.tiersplit.test:5000/no/such:1"}]}},
        ),
        "Ready",
        "ImagePull",
        "no/such",
    ),
}


@pytest.fixture
def wrong(installation: Installation) -> Iterator[Product]:
    product = Product("wrong", installation.namespace)
    yield product
    product.delete()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_mending_it_is_enough(wrong: Product, mistake: str) -> None:
    given, kind, reason, word = MISTAKES[mistake]
    wrong.apply(given)
    wrong.wait(lambda: wrong.condition(kind).get("reason") == reason, f"{kind} said {reason}", SAID_S)
    assert word in wrong.condition(kind)["message"]
    assert wrong.condition("Ready")["status"] == "False"
    wrong.apply(manifest("wrong", REFERENCE))
    wrong.wait_for("Ready")


def test_memory_that_nothing_fits_into_is_said_with_what_to_raise(wrong: Product) -> None:
    tight = manifest("wrong", REFERENCE)
    for tier in ("edge", "mdc", "cloud"):
        tight = with_tier(tight, tier, memory="16Mi")
    tight["metadata"]["annotations"]["tiersplit.dev/batches"] = "512"
    wrong.apply(tight)
    condition = wrong.wait_for("Stalled", timeout_s=SAID_S)
    assert "memory" in condition["message"]

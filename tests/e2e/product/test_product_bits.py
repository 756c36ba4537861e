"""A first tier that may run at fewer bits: what serves was rated in the cluster, and answers as it was rated."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from examples.digits.camera import KnownPictures
from tests.cluster import links
from tests.support.cluster_claims import delete_claim, write_claim
from tests.support.cluster_digits import manifest, validation, with_tier
from tests.support.cluster_product import Product
from tests.support.cluster_session import EDGE, REFERENCE, Installation, on_node
from tiersplit_bundle import Bundle, media
from tiersplit_core.planning.surface_json import surface_from_json
from tiersplit_wire.client import InferenceClient

CLAIM, FILE, PICTURES = "validation", "validation.npz", 120
BATCH, PIN_S = 8, 60
MAX_DROP = 0.05


@pytest.fixture(scope="module")
def narrow(installation: Installation) -> Iterator[Product]:
    """The digits example whose edge may use bytes, with validation data on a claim; Ready."""
    links.clear()
    product = Product("narrow", installation.namespace)
    write_claim(product, CLAIM, {FILE: validation()})
    wanted = on_node(manifest(product.name, REFERENCE, accuracy={"maxDrop": f"{MAX_DROP:.0%}"}), EDGE)
    wanted["spec"]["model"]["validation"] = {"uri": f"pvc://{CLAIM}/{FILE}", "metric": "Top1"}
    product.apply(with_tier(wanted, "edge", weightBits=[8, 32], activationBits=[8, 32]))
    product.wait_for("Ready")
    yield product
    product.delete()
    delete_claim(product, CLAIM)


@pytest.fixture(scope="module")
def bundle(narrow: Product, installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """What it serves from."""
    folder: Path = tmp_path_factory.mktemp("narrow") / "bundle"
    return narrow.served_bundle(folder, installation.registry)


def test_every_plan_with_bit_widths_was_rated_in_the_cluster_and_is_accurate_enough(
    narrow: Product, bundle: Bundle
) -> None:
    surface, rated = surface_from_json(bundle.read_json(media.SURFACE)), bundle.accuracies
    narrower = [plan for plan in surface.plans if plan.widths]
    assert narrower, "some plan runs the first tier at fewer bits"
    assert rated is not None
    assert all(rated.plans[plan.digest] >= rated.whole - MAX_DROP for plan in narrower)
    condition = narrow.condition("AccuracyMet")
    assert condition["status"] == "True", condition


def test_an_edge_of_fewer_bits_reads_digits_as_accurately_as_it_was_rated(
    narrow: Product, bundle: Bundle, known: KnownPictures
) -> None:
    surface = surface_from_json(bundle.read_json(media.SURFACE))
    plan = next(plan for plan in surface.plans if plan.widths)
    narrow.pin(plan.digest)
    with InferenceClient(narrow.head) as client:
        narrow.wait(lambda: _asked(client, narrow, known.x[:1])[1] == plan.digest, f"{plan.digest} served", PIN_S)
        answers = [_asked(client, narrow, known.x[i : i + BATCH]) for i in range(0, PICTURES, BATCH)]
    assert {served for _, served in answers} == {plan.digest}
    found = np.concatenate([scores.argmax(axis=1) for scores, _ in answers])
    whole = known.logits[:PICTURES].argmax(axis=1)
    right, undivided = (np.mean(read == known.y[:PICTURES]) for read in (found, whole))
    assert right >= undivided - MAX_DROP
    status = narrow.status["plan"]
    assert (status["digest"], status["bits"], status["form"]) == (plan.digest, "W8A8", "int8")
    narrow.pin(None)


def _asked(client: InferenceClient, product: Product, pictures: np.ndarray) -> tuple[np.ndarray, str]:
    reply = client.infer(product.name, {"pixels": pictures}, timeout_s=60)
    (scores,) = reply.outputs.values()
    return scores, str(reply.parameters["plan"])

"""A model that lies on a claim as an ONNX file: imported by a Job, measured, split, served."""

from collections.abc import Iterator

import numpy as np
import onnxruntime as ort
import pytest

from tests.cluster import links
from tests.support.cluster_claims import delete_claim, write_claim
from tests.support.cluster_digits import manifest
from tests.support.cluster_product import Product
from tests.support.cluster_session import REFERENCE, TIERS, Installation
from tests.support.onnx_files import SIDE, onnx_model

CLAIM, FILE = "models", "small.onnx"


@pytest.fixture
def imported(installation: Installation) -> Iterator[Product]:
    """A deployment of the file, Ready."""
    links.clear()
    product = Product("small", installation.namespace)
    write_claim(product, CLAIM, {FILE: onnx_model()})
    wanted = manifest(product.name, REFERENCE)
    del wanted["metadata"]["annotations"]
    wanted["spec"]["model"] = {"source": {"onnxUri": f"pvc://{CLAIM}/{FILE}"}}
    product.apply(wanted)
    product.wait_for("Ready")
    yield product
    product.delete()
    delete_claim(product, CLAIM)


def test_an_onnx_file_on_a_claim_becomes_a_split_deployment_with_the_files_answers(imported: Product) -> None:
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    expected = ort.InferenceSession(onnx_model()).run(None, {"image": image})[0]
    case = {"inputs": [["image", "FP32", list(image.shape), image.ravel().tolist()]], "timeout_s": 30}
    (answer,) = imported.ask_stock_client([case])
    assert "outputs" in answer, answer
    assert np.allclose(answer["outputs"]["scores"], expected, 1e-3, 1e-4)
    assert {condition["status"] for condition in (imported.condition("Imported"), imported.condition("Planned"))} == {
        "True"
    }
    assert all(imported.pods(tier) for tier in TIERS)

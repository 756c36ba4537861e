"""A model that lies on a claim as an ONNX file: imported by a Job, measured, split, served."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from tests.cluster import links
from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.kubectl import apply, get
from tests.support.cluster_digits import manifest
from tests.support.cluster_product import Product
from tests.support.cluster_session import REFERENCE, TIERS, Installation
from tests.support.onnx_files import SIDE, onnx_model

CLAIM, FILE = "models", "small.onnx"
WRITTEN_S = 120


@pytest.fixture
def imported(installation: Installation) -> Iterator[Product]:
    """A deployment of the file, Ready."""
    links.clear()
    product = Product("small", installation.namespace)
    write_file(product, onnx_model())
    wanted = manifest(product.name, REFERENCE)
    del wanted["metadata"]["annotations"]
    wanted["spec"]["model"] = {"source": {"onnxUri": f"pvc://{CLAIM}/{FILE}"}}
    product.apply(wanted)
    product.wait_for("Ready")
    yield product
    product.delete()
    product.kubectl("delete", "pvc,configmap", CLAIM)


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


def write_file(product: Product, data: bytes) -> None:
    """Put the file on a claim, by a pod that copies it out of a ConfigMap."""
    about = {"name": CLAIM, "namespace": product.namespace}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    encoded = {FILE: base64.b64encode(data).decode()}
    apply(
        [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": claim},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "binaryData": encoded},
            {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": _copier()},
        ]
    )
    product.kubectl("wait", "pod", CLAIM, "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={WRITTEN_S}s")
    product.kubectl("delete", "pod", CLAIM)


def _copier() -> dict[str, Any]:
    operator = get("deployment", "tiersplit-operator", f"--namespace={RELEASE_NAMESPACE}")
    container = {
        "name": "copy",
        "image": operator["spec"]["template"]["spec"]["containers"][0]["image"],
        "command": ["python", "-c", f"import shutil; shutil.copy('/from/{FILE}', '/to/{FILE}')"],
        "volumeMounts": [{"name": "from", "mountPath": "/from"}, {"name": "to", "mountPath": "/to"}],
        "resources": {"requests": {"cpu": "10m"}},
    }
    volumes = [
        {"name": "from", "configMap": {"name": CLAIM}},
        {"name": "to", "persistentVolumeClaim": {"claimName": CLAIM}},
    ]
    pool = {"tiersplit.dev/pool": "cloud"}
    return {"restartPolicy": "Never", "nodeSelector": pool, "containers": [container], "volumes": volumes}

"""Small files on a claim of the test cluster, where SplitDeployments read models and validation data."""

import base64
from collections.abc import Mapping
from typing import Any

from tests.cluster.helm import NAMESPACE as RELEASE_NAMESPACE
from tests.cluster.kubectl import apply, get
from tests.support.cluster_product import Product

WRITTEN_S = 120


def write_claim(product: Product, name: str, files: Mapping[str, bytes]) -> None:
    """Put files of at most a MiB together on a claim, by a pod that copies them out of a ConfigMap."""
    about = {"name": name, "namespace": product.namespace}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "64Mi"}}}
    encoded = {file: base64.b64encode(data).decode() for file, data in files.items()}
    apply(
        [
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": claim},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "binaryData": encoded},
            {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": _copier(name, list(files))},
        ]
    )
    product.kubectl("wait", "pod", name, "--for=jsonpath={.status.phase}=Succeeded", f"--timeout={WRITTEN_S}s")
    product.kubectl("delete", "pod", name)


def delete_claim(product: Product, name: str) -> None:
    """Delete what `write_claim` made."""
    product.kubectl("delete", "pvc,configmap", name)


def _copier(name: str, files: list[str]) -> dict[str, Any]:
    operator = get("deployment", "tiersplit-operator", f"--namespace={RELEASE_NAMESPACE}")
    container = {
        "name": "copy",
        "image": operator["spec"]["template"]["spec"]["containers"][0]["image"],
        "command": ["python", "-c", f"import shutil; [shutil.copy('/from/' + file, '/to/') for file in {files!r}]"],
        "volumeMounts": [{"name": "from", "mountPath": "/from"}, {"name": "to", "mountPath": "/to"}],
        "resources": {"requests": {"cpu": "10m"}},
    }
    volumes = [
        {"name": "from", "configMap": {"name": name}},
        {"name": "to", "persistentVolumeClaim": {"claimName": name}},
    ]
    pool = {"tiersplit.dev/pool": "cloud"}
    return {"restartPolicy": "Never", "nodeSelector": pool, "containers": [container], "volumes": volumes}

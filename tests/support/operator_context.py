"""A resource, an owner and settings for tests of the operator's builders."""

from collections.abc import Mapping
from typing import Any

from tiersplit_api.v1alpha1 import resource_from
from tiersplit_operator.facts import Key, Owner
from tiersplit_operator.resources.context import Context
from tiersplit_operator.settings import OperatorSettings, RegistrySettings

IMAGE, IMPORT_IMAGE = "registry.test/tiersplit-stage:1", "registry.test/tiersplit-import:1"


def manifest(**spec: Any) -> dict[str, Any]:
    """A SplitDeployment over three tiers whose spec has `spec` laid over it."""
    wanted = {
        "model": {"source": {"onnxUri": "pvc://models/digits.onnx"}},
        "tiers": [
            {"name": "edge", "nodeSelector": {"tiersplit.dev/pool": "edge"}, "memory": "64Mi"},
            {"name": "mdc", "resources": {"limits": {"cpu": "1500m"}}},
            {"name": "cloud", "replicas": 2},
        ],
        **spec,
    }
    about = {"name": "digits", "namespace": "shop", "uid": "u-1", "generation": 1}
    return {"apiVersion": "tiersplit.dev/v1alpha1", "kind": "SplitDeployment", "metadata": about, "spec": wanted}


def settings(**changes: Any) -> OperatorSettings:
    """Settings of an operator with a registry without TLS."""
    registry = RegistrySettings("registry.test:5000/tiersplit", plain_http=True)
    return OperatorSettings(**{"stage_image": IMAGE, "import_image": IMPORT_IMAGE, "registry": registry, **changes})


def context(changes: Mapping[str, Any] | None = None, **spec: Any) -> Context:
    """For the resource of `manifest(**spec)`; `changes` are of the settings."""
    resource = resource_from(manifest(**spec))
    return Context(Owner(Key("shop", "digits"), "u-1"), resource, settings(**(changes or {})))

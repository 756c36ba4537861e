"""ConfigMaps: what is to be imported, and the route."""

import base64
import json
from collections.abc import Mapping

from tiersplit_operator.facts import Owner
from tiersplit_operator.resources.context import (
    BUNDLE_ANNOTATION,
    EPOCH_ANNOTATION,
    SELECTED_ANNOTATION,
    Context,
    labels_of,
)
from tiersplit_operator.resources.names import model_name, route_name
from tiersplit_operator.resources.pods import REGISTRY_CA, Tree, metadata
from tiersplit_operator.settings import OperatorSettings

ROUTE_FILE, CONTROLLER_CA, MODEL_FILE = "route.binpb", "controller-ca.crt", "model.json"
MAX_EPOCH_DIGITS = 18
"""All of these fit the wire's 64 bits, and milliseconds since 1970 have 13."""


def model_config_map(context: Context) -> Tree:
    """What Jobs read: the model as the manifest declares it, and whom to trust for the registry."""
    model = context.resource.spec.model.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps({"name": context.name, "model": model}, sort_keys=True)
    ca = context.settings.registry.ca_pem
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(context, model_name(context.name), context.labels()),
        "data": {MODEL_FILE: text, **({REGISTRY_CA: ca} if ca else {})},
    }


def epoch_of(annotations: Mapping[str, str]) -> int:
    """The epoch that a route's ConfigMap is annotated with; 0 where a person wrote something else."""
    text = annotations.get(EPOCH_ANNOTATION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_EPOCH_DIGITS else 0


def route_config_map(
    owner: Owner, payload: bytes, epoch: int, bundle: str, selected: str, settings: OperatorSettings
) -> Tree:
    """The route as pods mount it, with what they need to reach operator and registry.

    Args:
        owner: the SplitDeployment.
        payload: the serialized `tiersplit.wire.v1.Route`.
        epoch: the route's epoch.
        bundle: digest of the manifest that it serves from.
        selected: digest of the plan that heads use; empty: none.
        settings: the operator's own.
    """
    annotations = {EPOCH_ANNOTATION: str(epoch), BUNDLE_ANNOTATION: bundle, SELECTED_ANNOTATION: selected}
    trusted = {CONTROLLER_CA: settings.routes.ca_pem, REGISTRY_CA: settings.registry.ca_pem}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": route_name(owner.key.name),
            "namespace": owner.key.namespace,
            "labels": labels_of(owner.key.name),
            "annotations": annotations,
            "ownerReferences": [owner.reference],
        },
        "data": {name: text for name, text in trusted.items() if text},
        "binaryData": {ROUTE_FILE: base64.b64encode(payload).decode()},
    }

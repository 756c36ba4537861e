"""What pods of stages and of Jobs have in common."""

from collections.abc import Mapping
from typing import Any

from tiersplit_operator.resources.context import Context

Tree = dict[str, Any]
USER = 65532
ROUTE_DIR = "/etc/tiersplit/route"
MODEL_DIR = "/etc/tiersplit/model"
REGISTRY_DIR = "/etc/tiersplit/registry"
REGISTRY_CA = "registry-ca.crt"
_TMP_LIMIT = "256Mi"

POD_SECURITY: Mapping[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""What the Pod Security Standard `restricted` asks for, and a root file system that cannot be written."""


def scratch(limit: str = _TMP_LIMIT) -> tuple[Tree, Tree]:
    """A bounded /tmp: its volume and where it is mounted."""
    return {"name": "tmp", "emptyDir": {"sizeLimit": limit}}, {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108


def registry_credentials(context: Context) -> tuple[list[Tree], list[Tree], list[Tree]]:
    """Volumes, mounts and environment by which a container reads the registry's credentials."""
    secret = context.settings.registry.secret
    if not secret:
        return [], [], []
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    volume = {"name": "registry", "secret": {"secretName": secret, "items": items}}
    mount = {"name": "registry", "mountPath": REGISTRY_DIR, "readOnly": True}
    return [volume], [mount], [{"name": "DOCKER_CONFIG", "value": REGISTRY_DIR}]


def registry_arguments(context: Context, ca_dir: str) -> list[str]:
    """How a program is told to reach the registry; `ca_dir` is where its certificate is mounted."""
    registry = context.settings.registry
    plain = ["--registry-plain-http"] if registry.plain_http else []
    return plain + (["--registry-ca", f"{ca_dir}/{REGISTRY_CA}"] if registry.ca_pem else [])


def metadata(context: Context, name: str, labels: Mapping[str, str], **more: Any) -> Tree:
    """Metadata of a child: named, labelled and owned."""
    about = {"name": name, "namespace": context.namespace, "labels": dict(labels)}
    return {**about, "ownerReferences": [context.owner.reference], **more}

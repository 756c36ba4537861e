"""The stages of one tier: a Deployment, or a DaemonSet where every node has one."""

import math
from collections.abc import Mapping
from typing import Any

from tiersplit_api.v1alpha1.security import TlsMode
from tiersplit_api.v1alpha1.tiers import Rollout, Tier, TierPlacement
from tiersplit_core.units import parse_quantity
from tiersplit_operator.resources import ports
from tiersplit_operator.resources.context import Context, stage_selector
from tiersplit_operator.resources.merging import merged
from tiersplit_operator.resources.names import account_name, route_name, workload_name
from tiersplit_operator.resources.pods import (
    CONTAINER_SECURITY,
    POD_SECURITY,
    ROUTE_DIR,
    Tree,
    metadata,
    registry_arguments,
    registry_credentials,
    scratch,
)
from tiersplit_operator.resources.quantities import in_mebibytes, limit_of

CONTAINER = "stage"
CACHE_DIR = "/var/lib/tiersplit"
TLS_DIR = "/etc/tiersplit/tls"
TOKEN_DIR = "/var/run/secrets/tiersplit"  # noqa: S105 - a path, no secret
TOKEN_AUDIENCE = "tiersplit"  # noqa: S105
DRAIN_WAIT_S, DRAIN_TIMEOUT_S, END_S = 5, 30, 10
DEFAULT_BASE_BYTES = 160 * 2**20
"""The runtime with its sessions and the buffers of requests, where no profile has measured it."""
DEFAULT_LIMITS: Mapping[str, str] = {"cpu": "1", "memory": "4Gi"}
DEFAULT_REQUESTS: Mapping[str, str] = {"cpu": "100m", "memory": "128Mi"}
_CACHE_LIMIT = "8Gi"
_CACHE_SHARE = 0.95
"""Of the cache's limit: the kubelet evicts a pod whose emptyDir exceeds it, and more than blobs lies there."""
_TOKEN_SECONDS = 3600
_ARRIVES_LATE_S = 30


def stage_threads(tier: Tier) -> int:
    """Intra-op threads of a tier's stages: its CPU limit, rounded up.

    Raises:
        ManifestError: the limit is no quantity.
    """
    limit = limit_of(tier.resources, "cpu", f"spec.tiers[{tier.name}].resources")
    return max(1, math.ceil(limit)) if limit is not None else math.ceil(int(DEFAULT_LIMITS["cpu"]))


def workload(context: Context, tier: Tier, base_bytes: int) -> Tree:
    """The Deployment or DaemonSet of a tier.

    Args:
        context: for whom.
        tier: the tier.
        base_bytes: measured memory of the runtime without a model; 0: not measured.

    Raises:
        ManifestError: a quantity of the tier's resources is none.
    """
    every_node = tier.placement is TierPlacement.EVERY_NODE
    selector = {"matchLabels": stage_selector(context.name, tier.name)}
    spec: Tree = {"selector": selector, "template": _template(context, tier, base_bytes)}
    spec |= _daemon(tier) if every_node else _replicated(tier)
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet" if every_node else "Deployment",
        "metadata": metadata(context, workload_name(context.name, tier.name), context.labels(tier.name)),
        "spec": spec,
    }


def _daemon(tier: Tier) -> Tree:
    surge = tier.rollout is Rollout.SURGE
    rolling = {"maxSurge": 1, "maxUnavailable": 0} if surge else {"maxSurge": 0, "maxUnavailable": 1}
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}, "revisionHistoryLimit": 2}


def _replicated(tier: Tier) -> Tree:
    strategy: Tree = {"type": "Recreate"}
    if tier.rollout is Rollout.SURGE:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    found: Tree = {"strategy": strategy, "revisionHistoryLimit": 2}
    # Left out when unset: the number then belongs to whoever scales the Deployment.
    return found if tier.replicas is None else {"replicas": tier.replicas, **found}


def _template(context: Context, tier: Tier, base_bytes: int) -> Tree:
    """Our pod, joined by the tier's own template; labels that select pods stay ours."""
    labels = context.labels(tier.name)
    ours = {"metadata": {"labels": labels}, "spec": _pod(context, tier, base_bytes)}
    made = merged(ours, tier.template)
    made["metadata"]["labels"] |= labels
    return made


def _pod(context: Context, tier: Tier, base_bytes: int) -> Tree:
    volumes, mounts, environment = _storage(context, tier)
    container: Tree = {
        "name": CONTAINER,
        "image": context.settings.stage_image,
        "imagePullPolicy": context.settings.image_pull_policy,
        "command": ["python", "-m", "tiersplit_stage"],
        "args": _arguments(context, tier),
        "env": [*_downward(), *environment],
        "ports": _ports(context, tier),
        "resources": stage_resources(tier, base_bytes),
        "securityContext": dict(CONTAINER_SECURITY),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
        **_probes(),
    }
    return {
        "serviceAccountName": account_name(context.name),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": dict(POD_SECURITY),
        "terminationGracePeriodSeconds": DRAIN_WAIT_S + DRAIN_TIMEOUT_S + END_S,
        "tolerations": _tolerations(_is_first(context, tier)),
        "topologySpreadConstraints": [_spread(context, tier)],
        "containers": [container],
        "volumes": volumes,
        **({"nodeSelector": dict(tier.node_selector)} if tier.node_selector else {}),
    }


def _is_first(context: Context, tier: Tier) -> bool:
    return tier.name == context.resource.spec.tiers[0].name


def _arguments(context: Context, tier: Tier) -> list[str]:
    routes, tls = context.settings.routes, context.resource.spec.tls
    found = ["--deployment", context.name, "--namespace", context.namespace, "--tier", tier.name]
    found += ["--instance", "$(POD_NAME)", "--node", "$(NODE_NAME)", "--bundle-cache", CACHE_DIR]
    found += ["--listen", f"[::]:{ports.ACTIVATIONS}", "--advertise", f"$(POD_IP):{ports.ACTIVATIONS}"]
    found += ["--serve", f"[::]:{ports.INFERENCE}"] if _is_first(context, tier) else []
    found += ["--health", f"[::]:{ports.HEALTH}", "--metrics", f"[::]:{ports.METRICS}"]
    found += ["--controller", routes.address, "--token-file", f"{TOKEN_DIR}/token"]
    found += ["--controller-ca", f"{ROUTE_DIR}/controller-ca.crt"] if routes.ca_pem else []
    found += ["--route-file", f"{ROUTE_DIR}/route.binpb", "--threads", str(stage_threads(tier))]
    found += ["--tls-dir", TLS_DIR] if tls.mode is TlsMode.MUTUAL else []
    found += ["--drain-wait-s", str(DRAIN_WAIT_S), "--drain-timeout-s", str(DRAIN_TIMEOUT_S)]
    return found + _cache_limit(tier) + registry_arguments(context, ROUTE_DIR)


def _cache_limit(tier: Tier) -> list[str]:
    """What blobs may take; a claim's volume is its own limit."""
    if tier.cache.size_limit is None and tier.cache.claim_name is not None:
        return []
    size_bytes = parse_quantity(tier.cache.size_limit or _CACHE_LIMIT)
    return ["--cache-limit-bytes", str(int(_CACHE_SHARE * size_bytes))]


def _downward() -> list[Tree]:
    """What a pod knows of itself; the arguments refer to it, so it stands first."""
    fields = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP", "NODE_NAME": "spec.nodeName"}
    found = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    return [*found, {"name": "HOME", "value": "/tmp"}]  # noqa: S108


def _ports(context: Context, tier: Tier) -> list[Tree]:
    found = {
        ports.ACTIVATIONS_NAME: ports.ACTIVATIONS,
        ports.HEALTH_NAME: ports.HEALTH,
        ports.METRICS_NAME: ports.METRICS,
    }
    if _is_first(context, tier):
        found = {ports.INFERENCE_NAME: ports.INFERENCE, **found}
    return [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in found.items()]


def stage_resources(tier: Tier, base_bytes: int) -> Tree:
    """Requests and limits of a stage, both always there so that quotas admit it.

    The planner's budget is for weights and working set; the pod's limit is that and the runtime's own memory, unless
    the manifest sets the limit itself.

    Raises:
        ManifestError: a quantity is none.
    """
    given = tier.resources
    limits = {**DEFAULT_LIMITS, **_memory_limit(tier, base_bytes), **(given.get("limits") or {})}
    most = limit_of({"limits": limits}, "memory", "limits")
    requests = {**DEFAULT_REQUESTS, **_lowered(given.get("limits") or {}), **(given.get("requests") or {})}
    least = limit_of({"limits": requests}, "memory", "requests")
    if most is not None and least is not None and least > most:
        requests["memory"] = limits["memory"]
    return {"limits": limits, "requests": requests}


def _memory_limit(tier: Tier, base_bytes: int) -> dict[str, str]:
    if tier.memory is None:
        return {}
    return {"memory": in_mebibytes(parse_quantity(tier.memory) + (base_bytes or DEFAULT_BASE_BYTES))}


def _lowered(limits: Mapping[str, Any]) -> dict[str, Any]:
    """A given CPU limit is what is requested too: a tier is measured and planned with it."""
    return {"cpu": limits["cpu"]} if "cpu" in limits else {}


def _probes() -> Tree:
    def probe(service: str) -> Tree:
        return {"grpc": {"port": ports.HEALTH, "service": service}, "timeoutSeconds": 3}

    return {
        "startupProbe": {**probe("liveness"), "periodSeconds": 1, "failureThreshold": 120},
        "livenessProbe": {**probe("liveness"), "periodSeconds": 10, "failureThreshold": 3},
        "readinessProbe": {**probe("readiness"), "periodSeconds": 2, "failureThreshold": 2},
    }


def _tolerations(first: bool) -> list[Tree]:
    """Edges come and go: a first tier's pod stays bound to a node that cannot be reached, for ever."""
    ends = {} if first else {"tolerationSeconds": _ARRIVES_LATE_S}
    return [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", **ends}
        for why in ("not-ready", "unreachable")
    ]


def _spread(context: Context, tier: Tier) -> Tree:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": stage_selector(context.name, tier.name)},
    }


def _storage(context: Context, tier: Tier) -> tuple[list[Tree], list[Tree], list[Tree]]:
    """Volumes, mounts and environment of a stage."""
    tmp, tmp_mount = scratch()
    volumes, mounts, environment = registry_credentials(context)
    volumes = [_cache(tier), _route(context), _token(), tmp, *volumes]
    mounts = [
        {"name": "cache", "mountPath": CACHE_DIR},
        {"name": "route", "mountPath": ROUTE_DIR, "readOnly": True},
        {"name": "token", "mountPath": TOKEN_DIR, "readOnly": True},
        tmp_mount,
        *mounts,
    ]
    tls = context.resource.spec.tls
    if tls.mode is TlsMode.MUTUAL:
        volumes.append({"name": "tls", "secret": {"secretName": tls.secret_name or f"{context.name}-tls"}})
        mounts.append({"name": "tls", "mountPath": TLS_DIR, "readOnly": True})
    return volumes, mounts, environment


def _cache(tier: Tier) -> Tree:
    if tier.cache.claim_name is not None:
        return {"name": "cache", "persistentVolumeClaim": {"claimName": tier.cache.claim_name}}
    return {"name": "cache", "emptyDir": {"sizeLimit": tier.cache.size_limit or _CACHE_LIMIT}}


def _route(context: Context) -> Tree:
    return {"name": "route", "configMap": {"name": route_name(context.name), "optional": True}}


def _token() -> Tree:
    token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": _TOKEN_SECONDS, "path": "token"}
    return {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}}

"""What is kept of the objects that watches show: a thousand resources must fit into memory."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tiersplit_operator.conditions import parse_time
from tiersplit_operator.facts import Child, Document, JobState, JobStatus, Key, Pod, RouteRecord, WorkloadStatus
from tiersplit_operator.resources.configmaps import ROUTE_FILE, epoch_of
from tiersplit_operator.resources.context import (
    BUNDLE_ANNOTATION,
    DEPLOYMENT_LABEL,
    SELECTED_ANNOTATION,
    STEP_LABEL,
    TIER_LABEL,
)
from tiersplit_operator.resources.names import route_name

MAX_WORDS = 1000
MAX_TERMINATION = 4096
"""As many as Kubernetes keeps: half of a JSON object could not be read."""
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_DROPPED = {"managedFields", "creationTimestamp", "generation", "resourceVersion", "uid", "selfLink"}


def key_of(body: Document) -> Key | None:
    """The SplitDeployment that an object of ours belongs to."""
    metadata = body.get("metadata") or {}
    name = (metadata.get("labels") or {}).get(DEPLOYMENT_LABEL)
    return Key(str(metadata.get("namespace", "")), str(name)) if name else None


def child_of(kind: str, body: Document) -> Child:
    """A child as decisions need it."""
    metadata, status = body["metadata"], body.get("status") or {}
    return Child(
        kind=kind,
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        owner_uid=_owner(metadata),
        labels=dict(metadata.get("labels") or {}),
        annotations=dict(metadata.get("annotations") or {}),
        created=parse_time(metadata.get("creationTimestamp")),
        document=_owned_part(body),
        job=_job(status) if kind == "Job" else None,
        workload=_workload(kind, body, status),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def _owner(metadata: Mapping[str, Any]) -> str:
    owners = [owner for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    return str(owners[0]["uid"]) if owners else ""


def _owned_part(body: Document) -> bytes:
    kept = {key: value for key, value in body.items() if key not in {"status", "metadata"}}
    kept["metadata"] = {key: value for key, value in body["metadata"].items() if key not in _DROPPED}
    return json.dumps(kept, separators=(",", ":")).encode()


def _job(status: Mapping[str, Any]) -> JobStatus:
    true = {item["type"]: item for item in status.get("conditions") or () if item.get("status") == "True"}
    failed_pods = int(status.get("failed") or 0)
    for kind, state in (("Complete", JobState.SUCCEEDED), ("Failed", JobState.FAILED)):
        if kind in true:
            at = parse_time(status.get("completionTime") or true[kind].get("lastTransitionTime"))
            return JobStatus(state, failed_pods, at, str(true[kind].get("message", ""))[:MAX_WORDS])
    return JobStatus(JobState.RUNNING if status.get("active") else JobState.WAITING, failed_pods)


def _workload(kind: str, body: Document, status: Mapping[str, Any]) -> WorkloadStatus | None:
    observed = int(status.get("observedGeneration") or 0) >= int(body["metadata"].get("generation") or 0)
    if kind == "Deployment":
        return WorkloadStatus(
            desired=int((body.get("spec") or {}).get("replicas", 1)),
            updated=int(status.get("updatedReplicas") or 0),
            ready=int(status.get("readyReplicas") or 0),
            observed=observed,
            failure=_failure(status.get("conditions") or ()),
        )
    if kind == "DaemonSet":
        desired = int(status.get("desiredNumberScheduled") or 0)
        updated, ready = int(status.get("updatedNumberScheduled") or 0), int(status.get("numberReady") or 0)
        return WorkloadStatus(desired, updated, ready, observed)
    return None


def _failure(conditions: Iterable[Mapping[str, Any]]) -> str:
    found = (item for item in conditions if item.get("type") == "ReplicaFailure" and item.get("status") == "True")
    return next((str(item.get("message", ""))[:MAX_WORDS] for item in found), "")


def pod_of(body: Document) -> Pod:
    """A pod as decisions need it."""
    metadata, status = body["metadata"], body.get("status") or {}
    labels = metadata.get("labels") or {}
    true = {item["type"]: item for item in status.get("conditions") or ()}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    ended = _ended(containers)
    return Pod(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        tier=str(labels.get(TIER_LABEL, "")),
        job=str(labels.get(JOB_NAME_LABEL, "")) if labels.get(STEP_LABEL) else "",
        node=str((body.get("spec") or {}).get("nodeName") or ""),
        ready=true.get("Ready", {}).get("status") == "True",
        unscheduled=_unscheduled(true.get("PodScheduled", {})),
        waiting=_waiting(containers),
        terminated=str(ended.get("message") or "")[:MAX_TERMINATION],
        exit_reason="" if ended.get("exitCode", 0) == 0 else str(ended.get("reason") or "Error"),
        created=parse_time(metadata.get("creationTimestamp")),
        deleting=bool(metadata.get("deletionTimestamp")),
    )


def _unscheduled(condition: Mapping[str, Any]) -> str:
    if condition.get("status") != "False":
        return ""
    return str(condition.get("message") or condition.get("reason") or "no node fits")[:MAX_WORDS]


def _waiting(containers: Iterable[Mapping[str, Any]]) -> str:
    for container in containers:
        state = (container.get("state") or {}).get("waiting")
        if state and state.get("reason") not in {"ContainerCreating", "PodInitializing"}:
            return ": ".join(filter(None, (state.get("reason"), state.get("message"))))[:MAX_WORDS]
    return ""


def _ended(containers: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The last run that ended; while the container runs again, only a bad end is worth telling."""
    for container in containers:
        state, last = container.get("state") or {}, container.get("lastState") or {}
        found = state.get("terminated") or ({} if "running" in state else last.get("terminated"))
        if found:
            return dict(found)
    return {}


def route_of(body: Document) -> RouteRecord | None:
    """The route of a ConfigMap; None where it is no route, or was damaged."""
    metadata = body["metadata"]
    key = key_of(body)
    if key is None or metadata["name"] != route_name(key.name):
        return None
    annotations = metadata.get("annotations") or {}
    try:
        payload = base64.b64decode((body.get("binaryData") or {}).get(ROUTE_FILE, ""), validate=True)
    except (binascii.Error, ValueError):
        payload = b""
    return RouteRecord(
        resource_version=str(metadata.get("resourceVersion", "")),
        uid=str(metadata["uid"]),
        owner_uid=_owner(metadata),
        epoch=epoch_of(annotations),
        bundle=str(annotations.get(BUNDLE_ANNOTATION, "")),
        selected=str(annotations.get(SELECTED_ANNOTATION, "")),
        payload=payload,
    )


def resource_of(body: Document) -> dict[str, Any]:
    """A SplitDeployment without what the API server keeps for itself."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}

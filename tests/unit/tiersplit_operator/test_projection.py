"""What is kept of the objects that watches show."""

import base64
import json

import pytest

from tiersplit_operator.facts import JobState, Key
from tiersplit_operator.projection import child_of, key_of, pod_of, route_of

META = {
    "name": "digits-edge",
    "namespace": "shop",
    "uid": "u",
    "generation": 2,
    "managedFields": [{"manager": "x"}],
    "creationTimestamp": "2026-05-01T12:00:00Z",
    "labels": {"tiersplit.dev/deployment": "digits", "tiersplit.dev/tier": "edge"},
    "ownerReferences": [{"uid": "other"}, {"uid": "u-1", "controller": True}],
}


def test_a_child_is_kept_without_status_and_managed_fields():
    found = child_of("Service", {"kind": "Service", "metadata": META, "spec": {"a": 1}, "status": {"b": 2}})
    document = json.loads(found.document)
    assert document["spec"] == {"a": 1}
    assert "status" not in document
    assert "managedFields" not in document["metadata"]
    assert (found.owner_uid, found.labels["tiersplit.dev/tier"]) == ("u-1", "edge")


def condition(kind, **fields):
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-05-01T12:00:00Z", **fields}


JOBS = {
    "fresh": ({}, JobState.WAITING),
    "at work": ({"active": 1}, JobState.RUNNING),
    "done": ({"conditions": [condition("Complete")]}, JobState.SUCCEEDED),
    "given up": ({"failed": 5, "conditions": [condition("Failed", message="BackoffLimitExceeded")]}, JobState.FAILED),
    "about to fail": ({"active": 1, "conditions": [condition("FailureTarget")]}, JobState.RUNNING),
}


@pytest.mark.parametrize("case", JOBS)
def test_a_jobs_state(case):
    status, expected = JOBS[case]
    assert child_of("Job", {"metadata": META, "status": status}).job.state is expected


WORKLOADS = {
    "rolled out": ("Deployment", {"updatedReplicas": 2, "readyReplicas": 2, "observedGeneration": 2}, True),
    "not looked at": ("Deployment", {"updatedReplicas": 2, "readyReplicas": 2, "observedGeneration": 1}, False),
    "rolling": ("Deployment", {"updatedReplicas": 1, "readyReplicas": 2, "observedGeneration": 2}, False),
    "every node": (
        "DaemonSet",
        {"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberReady": 3, "observedGeneration": 2},
        True,
    ),
}


@pytest.mark.parametrize("case", WORKLOADS)
def test_a_workloads_rollout(case):
    kind, status, expected = WORKLOADS[case]
    found = child_of(kind, {"metadata": META, "spec": {"replicas": 2}, "status": status}).workload
    assert found.rolled_out is expected


def test_a_quota_that_refuses_pods_is_kept():
    status = {"conditions": [condition("ReplicaFailure", message="exceeded quota")]}
    assert child_of("Deployment", {"metadata": META, "status": status}).workload.failure == "exceeded quota"


def container(**state):
    return {"containerStatuses": [{"name": "stage", **state}]}


PODS = {
    "ready": ({"conditions": [condition("Ready")]}, {"ready": True}),
    "no node": (
        {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
        {"unscheduled": "0/3 nodes", "ready": False},
    ),
    "being created": (container(state={"waiting": {"reason": "ContainerCreating"}}), {"waiting": ""}),
    "no image": (
        container(state={"waiting": {"reason": "ErrImagePull", "message": "gone"}}),
        {"waiting": "ErrImagePull: gone"},
    ),
    "out of memory, and again": (
        container(
            state={"waiting": {"reason": "CrashLoopBackOff"}},
            lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        ),
        {"exit_reason": "OOMKilled", "waiting": "CrashLoopBackOff"},
    ),
    "running again": (
        container(state={"running": {}}, lastState={"terminated": {"exitCode": 1, "reason": "Error"}}),
        {"exit_reason": "", "terminated": ""},
    ),
    "a Job's words": (
        container(state={"terminated": {"exitCode": 0, "reason": "Completed", "message": '{"digest": "x"}'}}),
        {"exit_reason": "", "terminated": '{"digest": "x"}'},
    ),
}


@pytest.mark.parametrize("case", PODS)
def test_a_pod(case):
    status, expected = PODS[case]
    found = pod_of({"metadata": META, "status": status})
    assert {name: getattr(found, name) for name in expected} == expected


def route_map(**changes):
    annotations = {"tiersplit.dev/epoch": "4", "tiersplit.dev/bundle": "sha256:b", "tiersplit.dev/selected": ""}
    metadata = {**META, "name": "digits-route", "resourceVersion": "9", "annotations": annotations}
    return {"metadata": metadata, "binaryData": {"route.binpb": base64.b64encode(b"route").decode()}, **changes}


def test_a_route():
    found = route_of(route_map())
    assert (found.epoch, found.bundle, found.payload, found.resource_version) == (4, "sha256:b", b"route", "9")


def test_a_damaged_route_is_an_empty_one_and_another_config_map_is_none():
    assert route_of(route_map(binaryData={"route.binpb": "%%%"})).payload == b""
    assert route_of({"metadata": {**META, "name": "digits-model"}}) is None


@pytest.mark.parametrize("epoch", ["-5", "9" * 19, "9" * 5000, "٣", "x", ""])
def test_an_epoch_that_a_person_wrote_and_the_wire_cannot_carry_is_none(epoch):
    found = route_map()
    found["metadata"]["annotations"]["tiersplit.dev/epoch"] = epoch
    assert (route_of(found).epoch, route_of(found).payload) == (0, b"route")


def test_the_longest_termination_message_is_kept_whole():
    said = json.dumps({"error": "x" * 3000, "field": "", "retry": False})
    ended = container(state={"terminated": {"exitCode": 2, "reason": "Error", "message": said}})
    assert pod_of({"metadata": META, "status": ended}).terminated == said


def test_an_object_without_our_label_belongs_to_nobody():
    assert key_of({"metadata": META}) == Key("shop", "digits")
    assert key_of({"metadata": {**META, "labels": {}}}) is None

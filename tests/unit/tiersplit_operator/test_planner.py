"""Plans are made once each, whoever asks, and failures are kept."""

import asyncio
import base64
import json
import os
import sys

import pytest

from tests.support.control_catalogue import graph, quantised, statistics
from tests.support.operator_context import manifest
from tests.support.operator_facts import facts, settled
from tiersplit_bundle.accuracies import Accuracies, accuracies_to_json
from tiersplit_core.errors import OperationError
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_core.profile.json import profile_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_operator.facts import Key
from tiersplit_operator.plan_outcome import PlanOutcome
from tiersplit_operator.planner import Planner, WorkerProcess
from tiersplit_operator.planner_worker import Known, answer, make_request
from tiersplit_operator.settings import PlannerSettings

VALIDATED = {"source": {"onnxUri": "pvc://models/m.onnx"}, "validation": {"uri": "v.npz"}}
ONE, TWO = Key("shop", "one"), Key("shop", "two")
MADE = {"surface": {"plans": []}, "outcome": "{}", "profiles": {"edge": {"tier": "edge"}}}


class Shelf:
    """A registry that remembers what was pushed."""

    def __init__(self):
        self.pushed = []

    async def blob(self, reference, digest, limit):
        return b"{}"

    async def profile(self, reference):
        return b"{}"

    async def extend(self, bundle, added, tag):
        self.pushed.append((tag, [blob.media_type.rsplit(".", 2)[-2] for blob in added]))


def order():
    return settled(facts()).orders[0]


def run(compute, *keys, rounds=1):
    """Order the same plan for some resources; what was pushed, who was told, and what failed."""
    shelf, told, clock = Shelf(), [], [0.0]

    async def main():
        planner = Planner(shelf, compute, told.append, clock=lambda: clock[0])
        for _ in range(rounds):
            for key in keys:
                planner.order(key, order())
            await asyncio.gather(*planner._tasks)
        return planner.failures()

    return shelf.pushed, told, asyncio.run(main())


def test_a_plan_that_several_wait_for_is_made_once_and_all_are_told():
    made = []

    async def compute(request):
        made.append(request)
        return MADE

    pushed, told, failures = run(compute, ONE, TWO, ONE)
    assert len(made) == 1
    assert [tag for tag, _ in pushed] == [f"plan-{order().key}"]
    assert sorted(told) == [ONE, TWO]
    assert failures == {}


def test_what_does_not_fit_is_never_tried_again():
    async def compute(request):
        return {"error": "edge needs 3 MiB more", "infeasible": True}

    _, told, failures = run(compute, ONE)
    assert told == [ONE]
    (failure,) = failures.values()
    assert (failure.message, failure.infeasible, failure.retry_in_s) == ("edge needs 3 MiB more", True, None)


def test_what_went_wrong_is_tried_again_later_and_later():
    async def compute(request):
        raise RuntimeError("boom")

    assert next(iter(run(compute, ONE)[2].values())).retry_in_s == 5.0
    assert next(iter(run(compute, ONE, rounds=3)[2].values())).retry_in_s == 20.0


def encoded(value):
    return base64.b64encode(json.dumps(value).encode()).decode()


def accuracies(plans=None):
    return accuracies_to_json(Accuracies("Top1", 0.98, plans or {}))


def request(**spec):
    profiles = {}
    for tier, seconds in (("edge", 0.1), ("mdc", 0.01), ("cloud", 0.001)):
        batch = BatchProfile({f"l{i}": Timing(seconds) for i in range(4)}, Timing(4 * seconds))
        profile = TierProfile("anything", ProfileKind.MEASURED, "sha256:g", 1, {}, {1: batch}, base_bytes=2**26)
        profiles[tier] = [json.dumps(profile_to_json(profile)).encode()]
    links = [
        {"from": "edge", "to": "mdc", "bandwidth": "10M", "latencyMilliseconds": 5},
        {"from": "mdc", "to": "cloud", "bandwidth": "100M", "latencyMilliseconds": 5},
    ]
    known = Known(json.dumps(graph_to_json(graph())).encode(), profiles, {})
    return make_request(manifest(links=links, **spec), known)


def test_the_worker_says_what_is_to_be_cut_and_measured():
    found = answer(request())
    outcome = PlanOutcome.read(found["outcome"])
    assert not outcome.settled
    assert outcome.uncut >= 1
    assert set(outcome.unmeasured) <= {"edge", "mdc", "cloud"}
    assert len(found["surface"]["plans"]) == outcome.plans


def narrow_request(accuracy=None):
    """An edge whose integer kernels are fast; its only plan with fewer bits that matters has this accuracy."""
    body = json.loads(request(model=VALIDATED, tiers=[{"name": tier} for tier in ("edge", "mdc", "cloud")]))
    body["profiles"]["edge"] = [encoded(profile_to_json(quantised(3.0)))]
    body["quantization"] = encoded(statistics_to_json(statistics()))
    rated = answer(json.dumps(body | {"accuracies": encoded(accuracies())}).encode())
    plans = [plan["digest"] for plan in rated["surface"]["plans"] if "widths" in plan]
    measured = accuracies(dict.fromkeys(plans, accuracy) if accuracy else {})
    return json.dumps(body | {"accuracies": encoded(measured)}).encode()


def test_the_worker_asks_for_the_accuracy_of_plans_with_fewer_bits_before_anything_is_measured():
    found = answer(narrow_request())
    outcome = PlanOutcome.read(found["outcome"])
    assert outcome.unrated >= 1
    assert outcome.unmeasured == {}
    assert sum("widths" in plan for plan in found["surface"]["plans"]) >= outcome.unrated


def test_what_was_rated_by_another_metric_counts_for_nothing():
    body = json.loads(narrow_request(0.98))
    body["manifest"]["spec"]["model"]["validation"]["metric"] = "Top5"
    found = answer(json.dumps(body).encode())
    assert PlanOutcome.read(found["outcome"]).unrated == 0
    assert not any("widths" in plan for plan in found["surface"]["plans"])


def test_the_worker_says_what_does_not_fit():
    tiers = [{"name": name, "memory": "16Mi"} for name in ("edge", "mdc", "cloud")]
    layers = graph_to_json(graph())
    for layer in layers["layers"]:
        layer["weight_bytes"] = 2**30
    body = json.loads(request(tiers=tiers))
    body["graph"] = base64.b64encode(json.dumps(layers).encode()).decode()
    found = answer(json.dumps(body).encode())
    assert found["infeasible"]
    assert found["error"]


@pytest.mark.slow
def test_the_worker_process_answers_as_the_function_does():
    worker = WorkerProcess(PlannerSettings())
    assert asyncio.run(worker(request())) == json.loads(json.dumps(answer(request())))


def played(monkeypatch, tmp_path, script):
    """Have a shell script stand in place of the worker."""
    (tmp_path / "worker").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "worker").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "worker"))


@pytest.mark.slow
def test_a_worker_that_answers_without_end_is_ended_with_words_that_say_so(monkeypatch, tmp_path):
    played(monkeypatch, tmp_path, f"echo $$ > {tmp_path}/pid; exec cat /dev/zero")
    with pytest.raises(OperationError, match=r"answered more than 64 MiB"):
        asyncio.run(WorkerProcess(PlannerSettings())(b"{}"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.slow
def test_a_worker_that_dies_is_told_by_the_last_of_its_many_words(monkeypatch, tmp_path):
    played(monkeypatch, tmp_path, "head -c 1000000 /dev/zero >&2; echo >&2; echo 'no memory is left' >&2; exit 3")
    with pytest.raises(OperationError, match="the planner ended with 3: no memory is left"):
        asyncio.run(WorkerProcess(PlannerSettings())(b"x" * 2**20))


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended(monkeypatch, tmp_path):
    played(monkeypatch, tmp_path, "exec sleep 60")
    with pytest.raises(OperationError, match="took longer than 0 s"):
        asyncio.run(WorkerProcess(PlannerSettings(timeout_s=0.2))(b"{}"))


@pytest.mark.slow
def test_a_worker_that_wants_too_much_memory_ends_with_an_error():
    with pytest.raises(OperationError, match="the planner ended with"):
        asyncio.run(WorkerProcess(PlannerSettings(memory_bytes=2**26))(request()))

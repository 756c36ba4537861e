"""A head whose plans serve different models: each request is read by the model of the plan that runs it."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.support.stages import MODEL, TinyModel
from tiersplit_core.errors import OperationError, RequestError, UnavailableError
from tiersplit_stage.head import Head
from tiersplit_stage.inference import InferenceServicer, ReadRequest, build_response
from tiersplit_stage.link import LostError
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Answer
from tiersplit_stage.plans import compile_plans
from tiersplit_wire.client import request_of
from tiersplit_wire.v1 import activation_pb2 as wire
from tiersplit_wire.v1 import inference_pb2 as pb


class FakePipeline:
    """Answers with ones, or loses what is to leave the tier; does before that what the test wants."""

    def __init__(self):
        self.link = SimpleNamespace(usable=True, wait_usable=self.usable)
        self.jobs, self.before, self.losing = [], lambda: None, 0

    async def usable(self, _timeout_s):
        return True

    async def run(self, job):
        self.jobs.append(job)
        self.before()
        if self.losing:
            self.losing -= 1
            raise LostError("the link broke")
        rows = np.ones((job.rows, 1), np.float32)
        return Answer({tensor.tensor: rows for tensor in job.plan.origin.model.outputs})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyModel(tmp_path_factory.mktemp("models") / "bundle")


def route_with_two_models(tiny, old="011", new="000"):
    """Plan `new` serves the route's model, which wants 6 numbers a row; plan `old` one that wants 4 in float."""
    route = tiny.route(1, [old, new], new, {}, tiers=("edge", "cloud"))
    for plan in route.plans:
        if plan.digest == old:
            plan.model.CopyFrom(route.model)
            plan.golden_blobs.append("sha256:old")
            plan.bundle = "oci://host/old"
    route.model.version = "2"
    route.model.inputs[0].shape[1] = 6
    del route.model.outputs[1]
    return route


@pytest.fixture
def served(tiny):
    pipeline = FakePipeline()
    head = Head(pipeline, StageMetrics(), 8, lambda: None)
    head.update(compile_plans(route_with_two_models(tiny), "edge"), "", "", steered=True)
    head.verified = {"000", "011"}
    return head, pipeline


def ask(head, width, **more):
    request = request_of(MODEL, {"image": np.zeros((2, width), np.float32)}, **more)
    answer = asyncio.run(head.infer(ReadRequest(request), None))
    return build_response(request, answer)


def test_plans_know_the_model_that_they_serve(tiny):
    plans = compile_plans(route_with_two_models(tiny), "edge")
    old, new = plans["011"].origin, plans["000"].origin
    assert (old.bundle, old.golden, old.model.version) == ("oci://host/old", ("sha256:old",), "1")
    assert (new.bundle, new.golden, new.model.version) == ("", (tiny.golden,), "2")
    assert plans["011"].outputs == {"out", "aux"}
    assert plans["000"].outputs == {"out"}
    assert old != new
    assert old == compile_plans(route_with_two_models(tiny), "edge")["011"].origin


def test_a_request_is_read_and_answered_with_the_model_of_the_active_plan(served):
    head, _ = served
    head.use("011")
    reply = ask(head, 4)
    assert (reply.model_version, [out.name for out in reply.outputs]) == ("1", ["scores", "aux"])
    head.use("000")
    reply = ask(head, 6)
    assert (reply.model_version, [out.name for out in reply.outputs]) == ("2", ["scores"])
    with pytest.raises(RequestError, match="shape"):
        ask(head, 4)


def test_metadata_and_versions_are_those_of_the_active_plan(served):
    head, _ = served
    servicer = InferenceServicer(head, StageMetrics(), MODEL, "0")
    for digest, version, width in (("011", "1", 4), ("000", "2", 6)):
        head.use(digest)
        found = asyncio.run(servicer.ModelMetadata(pb.ModelMetadataRequest(name=MODEL, version=version), None))
        assert (list(found.versions), list(found.inputs[0].shape)) == ([version], [-1, width])


def test_a_change_of_the_model_under_a_request_that_is_lost_does_not_fail_it(served):
    head, pipeline = served
    head.use("011")
    pipeline.losing, pipeline.before = 1, lambda: head.use("000")
    assert ask(head, 4).model_version == "1"
    assert [job.plan.digest for job in pipeline.jobs] == ["011", "011"]


def test_a_lost_request_takes_the_fallback_only_if_it_fits_its_model(tiny, served):
    head, pipeline = served
    head.update(compile_plans(route_with_two_models(tiny), "edge"), "", "000", steered=True)
    head.verified = {"000", "011"}
    head.use("011")
    pipeline.losing = 1
    assert ask(head, 4).model_version == "1"
    assert [job.plan.digest for job in pipeline.jobs] == ["011", "011"]


def test_the_batch_size_is_what_most_recent_requests_had(served):
    head, _ = served
    head.use("000")
    assert head.batch == 1
    for rows in (1, 8, 8, 8, 2):
        request = request_of(MODEL, {"image": np.zeros((rows, 6), np.float32)})
        asyncio.run(head.infer(ReadRequest(request), None))
    assert head.batch == 8


def test_requests_that_no_plan_can_serve_yet_leave_no_mark_on_those_that_come_later(served):
    head, _ = served
    head.verified = set()
    for _ in range(20):
        with pytest.raises(UnavailableError, match="golden"):
            ask(head, 4)
    head.verified = {"011"}
    head.use("011")
    assert ask(head, 4).model_version == "1"


def test_the_problem_of_a_plan_goes_with_the_plan(tiny, served):
    head, _ = served
    plans = compile_plans(route_with_two_models(tiny), "edge")
    head.problems = {"011": "the link broke", "000": "differs"}
    head.update({"000": plans["000"]}, "", "")
    assert head.problems == {"000": "differs"}


def test_a_plan_proves_itself_again_where_another_golden_answer_is_asked_of_it(tiny, served):
    head, _ = served
    plans = compile_plans(route_with_two_models(tiny), "edge")
    head.update(plans, "", "")
    assert head.verified == {"000", "011"}
    asked = {**plans, "000": replace(plans["000"], origin=replace(plans["000"].origin, golden=("sha256:rated",)))}
    head.update(asked, "", "")
    assert head.verified == {"011"}


@pytest.mark.parametrize(
    ("remote", "said"),
    [([], "no tier answered with the output"), ([wire.Tensor(name="out", dtype="float32")], "cannot be read")],
    ids=["nothing", "nonsense"],
)
def test_what_a_later_tier_answers_wrongly_is_not_told_to_be_the_clients_mistake(served, remote, said):
    head, pipeline = served

    async def run(_):
        return Answer({}, remote)

    pipeline.run = run
    head.use("011")
    with pytest.raises(OperationError, match=said):
        ask(head, 4)

"""What a head lets in: how many requests, of how many bytes, and how long it waits for them."""

import asyncio
import re
from contextlib import asynccontextmanager
from types import SimpleNamespace

import grpc
import grpc.aio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.patience import PATIENCE_S
from tests.support.stages import MODEL, TinyModel
from tiersplit_core.errors import ExhaustedError
from tiersplit_stage.head import Head
from tiersplit_stage.inference import INFERENCE, InferenceServicer, read_inputs
from tiersplit_stage.intake import check_size, largest_request_bytes
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Answer
from tiersplit_stage.plans import compile_plans
from tiersplit_stage.worker import Worker
from tiersplit_wire.client import request_of
from tiersplit_wire.connection import MAX_MESSAGE_BYTES, make_server
from tiersplit_wire.datatypes import zeros
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import route_pb2 as route

INFER = f"/{INFERENCE}/ModelInfer"
GARBAGE = b"\xff" * 100
TYPED = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT32": "int_contents", "UINT64": "uint64_contents"}
FULLEST = {"FP32": 1.5, "FP64": 1.5, "INT32": -1, "UINT64": 2**64 - 1}


class GatedPipeline:
    """Answers with ones when `gate` is set."""

    def __init__(self):
        self.link, self.gate, self.entered = SimpleNamespace(usable=True), asyncio.Event(), asyncio.Event()
        self.worker = Worker(4)

    async def run(self, job):
        self.entered.set()
        await self.gate.wait()
        rows = np.ones((job.rows, 1), np.float32)
        return Answer({tensor.tensor: rows for tensor in job.plan.origin.model.outputs})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyModel(tmp_path_factory.mktemp("models") / "bundle")


@asynccontextmanager
async def serving(tiny, max_in_flight, max_calls=100, active="011"):
    """A head at an address of its own: its pipeline, and how to send it bytes."""
    pipeline = GatedPipeline()
    head = Head(pipeline, StageMetrics(), max_in_flight, lambda: None)
    head.update(compile_plans(tiny.route(1, [active], active, {}, tiers=("edge", "cloud")), "edge"), "", "")
    head.verified = {active}
    head.use(active)
    server = make_server(max_calls=max_calls)
    server.add_generic_rpc_handlers((InferenceServicer(head, StageMetrics(), MODEL, "0").handlers(),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with asyncio.timeout(2 * PATIENCE_S), grpc.aio.insecure_channel(address) as channel:
            yield pipeline, channel
    finally:
        await server.stop(0)


def request():
    return request_of(MODEL, {"image": np.zeros((1, 4), np.float32)}).SerializeToString()


async def refused(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


def test_requests_beyond_the_bound_are_refused_before_they_are_decoded_and_taken_again_afterwards(tiny):
    async def scenario():
        async with serving(tiny, max_in_flight=1) as (pipeline, channel):
            infer = channel.unary_unary(INFER)
            first = infer(request())
            await pipeline.entered.wait()
            beyond = await refused(infer(GARBAGE))
            pipeline.gate.set()
            return beyond, pb.ModelInferResponse.FromString(await first), await infer(request())

    (code, reason), first, second = asyncio.run(scenario())
    assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "1 requests are in flight; try again later")
    assert first.model_name == MODEL
    assert second


@pytest.mark.parametrize(("active", "taken"), [("011", False), ("111", True)], ids=["computes here", "passes on"])
def test_a_full_queue_refuses_what_it_would_have_to_compute_before_that_is_decoded(tiny, active, taken):
    async def scenario():
        async with serving(tiny, max_in_flight=9, active=active) as (pipeline, channel):
            pipeline.gate.set()
            pipeline.worker.depth = pipeline.worker.limit
            return await refused(channel.unary_unary(INFER)(GARBAGE))

    expected = grpc.StatusCode.INVALID_ARGUMENT if taken else grpc.StatusCode.RESOURCE_EXHAUSTED
    assert asyncio.run(scenario())[0] is expected


def test_bytes_that_are_no_request_and_calls_without_one_are_told_so(tiny):
    async def scenario():
        async with serving(tiny, max_in_flight=1) as (_, channel):
            garbage = await refused(channel.unary_unary(INFER)(GARBAGE))
            silent = channel.stream_unary(INFER)()
            await silent.done_writing()
            return garbage, await refused(silent)

    (code, reason), silent = asyncio.run(scenario())
    assert (code, reason[:24]) == (grpc.StatusCode.INVALID_ARGUMENT, "not a ModelInferRequest:")
    assert silent == (grpc.StatusCode.INVALID_ARGUMENT, "the call ended without a request")


def test_a_request_larger_than_the_largest_batch_is_refused_by_its_size_alone(tiny):
    async def scenario():
        async with serving(tiny, max_in_flight=1) as (_, channel):
            return await refused(channel.unary_unary(INFER)(bytes(largest_request_bytes(tiny_model(tiny)) + 1)))

    code, reason = asyncio.run(scenario())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "enough for 64 rows" in reason


def tiny_model(tiny):
    return tiny.route(1, ["011"], "011", {}, tiers=("edge", "cloud")).model


@pytest.mark.parametrize("bound", ["tiersplit_stage.inference._DEFAULT_TIMEOUT_S", "tiersplit_stage.intake.ARRIVAL_S"])
def test_a_call_whose_request_never_comes_gives_its_place_to_others_whatever_its_deadline(tiny, monkeypatch, bound):
    async def scenario():
        async with serving(tiny, max_in_flight=1) as (pipeline, channel):
            pipeline.gate.set()
            with monkeypatch.context() as short:
                short.setattr(bound, 0.2)
                late = await refused(channel.stream_unary(INFER)())
            return late, await channel.unary_unary(INFER)(request())

    (code, reason), answered = asyncio.run(scenario())
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert re.fullmatch(r"the request was not here within 0\.[012] s", reason)
    assert answered


def test_a_server_refuses_calls_beyond_its_bound(tiny):
    async def scenario():
        async with serving(tiny, max_in_flight=9, max_calls=1) as (pipeline, channel):
            first = channel.unary_unary(INFER)(request())
            await pipeline.entered.wait()
            beyond = await refused(channel.unary_unary(f"/{INFERENCE}/ServerLive")(b""))
            pipeline.gate.set()
            await first
            return beyond

    code, _ = asyncio.run(scenario())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def model_of(*inputs, max_batch=8):
    model = route.Model(name="m", max_batch=max_batch)
    for i, (datatype, shape) in enumerate(inputs):
        model.inputs.add(name=f"i{i}", tensor=f"t{i}", datatype=datatype, shape=shape)
    return model


@given(
    datatypes=st.lists(st.sampled_from(sorted(TYPED)), min_size=1, max_size=3),
    tail=st.lists(st.integers(1, 20), max_size=2),
    rows=st.integers(1, 16),
    typed=st.booleans(),
)
def test_every_request_that_fits_the_model_is_within_its_bound(datatypes, tail, rows, typed):
    model = model_of(*((datatype, [-1, *tail]) for datatype in datatypes), max_batch=rows)
    arrays = {f"i{i}": zeros(datatype, (rows, *tail)) for i, datatype in enumerate(datatypes)}
    asked = request_of("m", arrays, request_id="x" * 36)
    if typed:
        del asked.raw_input_contents[:]
        for given_input, datatype in zip(asked.inputs, datatypes, strict=True):
            field = getattr(given_input.contents, TYPED[datatype])
            field.extend([FULLEST[datatype]] * (rows * int(np.prod(tail))))
    read_inputs(asked, model)
    check_size(asked.ByteSize(), model)


@pytest.mark.parametrize(
    ("model", "most"),
    [
        (model_of(("FP32", [-1, 1000])), (64 << 10) + 8 * 4000),
        (model_of(("UINT8", [-1, 10]), ("FP64", [])), (64 << 10) + 8 * 20 + 8),
        (model_of(("BYTES", [-1])), MAX_MESSAGE_BYTES),
        (model_of(("FP32", [-1, -1])), MAX_MESSAGE_BYTES),
        (model_of(("FP32", [-1, 10**9])), MAX_MESSAGE_BYTES),
    ],
    ids=["rows", "two inputs", "strings", "open sizes", "more than any message"],
)
def test_the_bound_is_the_largest_batch_of_all_inputs(model, most):
    assert largest_request_bytes(model) == most
    check_size(most, model)
    with pytest.raises(ExhaustedError, match=f"at most {most} bytes"):
        check_size(most + 1, model)

"""Asking a head once, and until it answers."""

import json
from concurrent import futures

import grpc
import pytest

from tiersplit_core.errors import OperationError, RequestError
from tiersplit_wire.ask import PAUSE_S, ask, ask_until, main
from tiersplit_wire.client import InferenceClient
from tiersplit_wire.datatypes import zeros
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import inference_pb2_grpc as rpc


class Head(rpc.GRPCInferenceServiceServicer):
    """Answers after so many refusals."""

    def __init__(self, refusals: list[grpc.StatusCode]) -> None:
        self.refusals, self.asked = refusals, []

    def ModelMetadata(self, request, context):  # noqa: N802 - the name in the protocol
        made = pb.ModelMetadataResponse(name=request.name)
        made.inputs.add(name="x", datatype="FP32", shape=[-1, 3, 2])
        made.inputs.add(name="words", datatype="BYTES", shape=[-1])
        return made

    def ModelInfer(self, request, context):  # noqa: N802
        self.asked.append(request)
        if self.refusals:
            context.abort(self.refusals.pop(0), "not now")
        answer = pb.ModelInferResponse(model_name=request.model_name)
        answer.outputs.add(name="y", datatype="FP32", shape=[1, 1])
        answer.raw_output_contents.append(bytes(4))
        answer.parameters["plan"].string_param = "sha256:1"
        return answer


@pytest.fixture
def served():
    """A function that serves a head with these refusals, and returns it with its address."""
    servers = []

    def serve(*refusals: grpc.StatusCode):
        server = grpc.server(futures.ThreadPoolExecutor(2))
        head = Head(list(refusals))
        rpc.add_GRPCInferenceServiceServicer_to_server(head, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return head, f"127.0.0.1:{port}"

    yield serve
    for server in servers:
        server.stop(None)


def test_a_request_has_one_row_of_zeros_for_every_input(served):
    head, address = served()
    with InferenceClient(address) as client:
        reply = ask(client, "m")
    assert [(tensor.name, list(tensor.shape)) for tensor in head.asked[0].inputs] == [("x", [1, 3, 2]), ("words", [1])]
    assert reply.parameters["plan"] == "sha256:1"


def test_a_head_that_is_not_ready_is_asked_again(served):
    head, address = served(grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    pauses = []
    with InferenceClient(address) as client:
        ask_until(client, "m", 60, sleep=pauses.append)
    assert (len(head.asked), pauses) == (3, [PAUSE_S, PAUSE_S])


def test_a_refused_request_is_not_asked_again(served):
    head, address = served(grpc.StatusCode.INVALID_ARGUMENT)
    with InferenceClient(address) as client, pytest.raises(RequestError, match="not now"):
        ask_until(client, "m", 60)
    assert len(head.asked) == 1


def test_patience_ends_with_what_the_last_try_said(served):
    _, address = served(*[grpc.StatusCode.UNAVAILABLE] * 9)
    now = [0.0]
    with InferenceClient(address) as client, pytest.raises(OperationError, match=r"within 3 s; .*not now"):
        ask_until(client, "m", 3, lambda: now[0], lambda pause: now.__setitem__(0, now[0] + pause))


def test_the_answer_is_printed_as_json(served, capsys):
    _, address = served()
    assert main([address, "m"]) == 0
    assert json.loads(capsys.readouterr().out) == {"model": "m", "outputs": {"y": [1, 1]}, "plan": "sha256:1"}


def test_no_answer_ends_with_exit_code_1(served, capsys):
    _, address = served(*[grpc.StatusCode.UNAVAILABLE] * 9)
    assert main([address, "m", "--wait-s", "0"]) == 1
    assert "m did not answer within 0 s" in capsys.readouterr().err


def test_zeros_know_the_protocols_datatypes_alone():
    assert zeros("INT8", (2,)).tolist() == [0, 0]
    assert zeros("BYTES", (1,)).tolist() == [b""]
    with pytest.raises(RequestError, match="FP8"):
        zeros("FP8", (1,))

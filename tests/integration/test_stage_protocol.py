"""The head speaks the Open Inference Protocol: stock clients work, and wrong requests are told what was expected."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.patience import PATIENCE_S, START_S
from tests.support.stages import MODEL, deployment
from tiersplit_wire.client import InferenceClient, request_of
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import inference_pb2_grpc as rpc

SCRIPT = Path(__file__).parents[1] / "support" / "triton_client.py"
X = [0.5, -1.0, 2.0, 0.25]
GOOD = ["image", "FP32", [1, 4], X]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with deployment(tmp_path_factory.mktemp("protocol"), tiers=("edge", "cloud")) as made:
        made.publish(["011"], "011")
        made.controller.wait_active("011")
        yield made


def triton(pair, *cases):
    command = [sys.executable, str(SCRIPT), pair.head, MODEL]
    found = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=START_S)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_the_stock_client_is_answered_by_raw_and_typed_contents(pair):
    expected = pair.model.reference(np.array([X], np.float32))
    raw, chosen, typed = triton(
        pair,
        {"inputs": [GOOD], "id": "request-7"},
        {"inputs": [GOOD], "outputs": ["aux"]},
        {"typed": [["image", "FP32", [1, 4], "fp32_contents", X]]},
    )
    np.testing.assert_allclose(raw["outputs"]["scores"], expected["scores"], rtol=1e-4)
    np.testing.assert_allclose(raw["outputs"]["aux"], expected["aux"], rtol=1e-4)
    assert raw["id"] == "request-7"
    assert raw["parameters"]["plan"] == "011"
    assert raw["parameters"]["stages"] == "edge,cloud"
    assert raw["parameters"]["total_us"] >= raw["parameters"]["compute_us"] > 0
    assert list(chosen["outputs"]) == ["aux"]
    np.testing.assert_allclose(
        np.frombuffer(bytes.fromhex(typed["raw"][0]), np.float32), expected["scores"][0], rtol=1e-4
    )


def test_the_stock_client_finds_server_and_model_ready_and_described(pair):
    calls = ["is_server_live", "is_server_ready", "get_server_metadata"]
    answers = triton(
        pair,
        *({"call": call} for call in calls),
        {"call": "is_model_ready", "arguments": [MODEL]},
        {"call": "get_model_metadata", "arguments": [MODEL]},
    )
    live, ready, server, model_ready, metadata = (found["answer"] for found in answers)
    assert (live, ready, model_ready) == ("True", "True", "True")
    assert MODEL in server
    assert "FP32" in metadata
    assert "scores" in metadata


WRONG = {
    "an unknown model": ({"inputs": [GOOD], "model": "other"}, "INVALID_ARGUMENT", MODEL),
    "an unknown version": ({"inputs": [GOOD], "version": "9"}, "INVALID_ARGUMENT", "'1'"),
    "no input": ({"inputs": []}, "INVALID_ARGUMENT", "image"),
    "an unknown input": ({"inputs": [["picture", "FP32", [1, 4], X]]}, "INVALID_ARGUMENT", "image"),
    "an input too many": ({"inputs": [GOOD, ["more", "FP32", [1, 4], X]]}, "INVALID_ARGUMENT", "image"),
    "an input twice": ({"inputs": [GOOD, GOOD]}, "INVALID_ARGUMENT", "each once"),
    "a foreign datatype": ({"inputs": [["image", "INT64", [1, 4], [1, 2, 3, 4]]]}, "INVALID_ARGUMENT", "FP32"),
    "a wider datatype": ({"inputs": [["image", "FP64", [1, 4], X]]}, "INVALID_ARGUMENT", "FP32"),
    "a wrong dimension": ({"inputs": [["image", "FP32", [1, 3], X[:3]]]}, "INVALID_ARGUMENT", "[-1, 4]"),
    "a wrong rank": ({"inputs": [["image", "FP32", [4], X]]}, "INVALID_ARGUMENT", "[-1, 4]"),
    "an empty batch": ({"inputs": [["image", "FP32", [0, 4], []]]}, "INVALID_ARGUMENT", "1 to 64"),
    "too large a batch": ({"inputs": [["image", "FP32", [65, 4], X * 65]]}, "INVALID_ARGUMENT", "1 to 64"),
    "an unknown output": ({"inputs": [GOOD], "outputs": ["logits"]}, "INVALID_ARGUMENT", "scores"),
    "the wrong typed field": (
        {"typed": [["image", "FP32", [1, 4], "fp64_contents", X]]},
        "INVALID_ARGUMENT",
        "fp32_contents",
    ),
    "too few typed elements": (
        {"typed": [["image", "FP32", [1, 4], "fp32_contents", X[:3]]]},
        "INVALID_ARGUMENT",
        "4 elements",
    ),
    "too few raw bytes": (
        {"typed": [["image", "FP32", [1, 4], "fp32_contents", []]], "raw": [[0] * 15]},
        "INVALID_ARGUMENT",
        "16",
    ),
    "too many raw entries": (
        {"typed": [["image", "FP32", [1, 4], "fp32_contents", []]], "raw": [[0] * 16, [0] * 16]},
        "INVALID_ARGUMENT",
        "one per input",
    ),
    "raw and typed contents": (
        {"typed": [["image", "FP32", [1, 4], "fp32_contents", X]], "raw": [[0] * 16]},
        "INVALID_ARGUMENT",
        "exclude each other",
    ),
    "a negative dimension": (
        {"typed": [["image", "FP32", [-1, 4], "fp32_contents", X]]},
        "INVALID_ARGUMENT",
        "[-1, 4]",
    ),
}


def test_every_wrong_request_is_told_what_was_expected_and_the_next_is_served(pair):
    answers = triton(pair, *(case for case, _, _ in WRONG.values()), {"inputs": [GOOD]})
    for name, answer, (_, status, expected) in zip(WRONG, answers, WRONG.values(), strict=False):
        assert status in answer["status"], (name, answer)
        assert expected in answer["message"], (name, answer)
    assert "outputs" in answers[-1]


def test_health_and_reflection_answer_on_the_head(pair):
    with grpc.insecure_channel(pair.head) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "inference.GRPCInferenceService"):
            found = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
            assert found.status == health_pb2.HealthCheckResponse.SERVING


def test_a_deadline_ends_the_request_in_time(pair):
    with grpc.insecure_channel(pair.head) as channel:
        stub = rpc.GRPCInferenceServiceStub(channel)
        request = request_of(MODEL, {"image": np.ones((1, 4), np.float32)})
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request, timeout=1e-4)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert isinstance(stub.ModelInfer(request, timeout=PATIENCE_S), pb.ModelInferResponse)


def test_the_command_line_sends_an_array_and_prints_the_answer(pair, tmp_path):
    x = np.array([X], np.float32)
    np.save(tmp_path / "x.npy", x)
    command = [sys.executable, "-m", "tiersplit_cli", "infer", "--head", pair.head]
    found = subprocess.run(
        [*command, "--input", str(tmp_path / "x.npy"), "-o", "json"], capture_output=True, text=True, timeout=START_S
    )
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    np.testing.assert_allclose(answer["outputs"]["scores"]["data"], pair.model.reference(x)["scores"][0], rtol=1e-4)
    wrong = subprocess.run(
        [*command, "--input", str(tmp_path / "none.npy")], capture_output=True, text=True, timeout=START_S
    )
    assert wrong.returncode == 2


def test_the_client_tells_ready_from_not_there(pair):
    with InferenceClient(pair.head) as client:
        assert client.ready(PATIENCE_S)
        assert client.server_name() == MODEL
    with InferenceClient("127.0.0.1:1") as client:
        assert not client.ready(timeout_s=1.0)

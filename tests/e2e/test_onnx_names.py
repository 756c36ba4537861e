"""A running ONNX file is called by its own names from Triton's stock client."""

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import onnxruntime as ort
import pytest

from tests.support.local_run import NAME, ROOT, LocalRun, running
from tests.support.onnx_files import SIDE, onnx_model
from tests.support.patience import PATIENCE_S, START_S

pytestmark = pytest.mark.slow
MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {{name: tiny}}
spec:
  model: {{source: {{onnxUri: small.onnx}}}}
  tiers: [{{name: edge}}, {{name: cloud}}]
  links: [{{from: edge, to: cloud, bandwidth: {bandwidth}, latencyMilliseconds: 1}}]
  adaptation: {{cooldownPeriodSeconds: {cooldown}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    folder = tmp_path_factory.mktemp("names")
    (folder / "small.onnx").write_bytes(onnx_model())
    with running(folder, manifest=MANIFEST) as found:
        yield found


def ask(run: LocalRun, *cases: dict[str, object]) -> list[dict[str, object]]:
    """What the stock client gets, in a process of its own."""
    command = [sys.executable, str(ROOT / "tests" / "support" / "triton_client.py"), run.head, NAME]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=START_S, check=True)
    answers: list[dict[str, object]] = json.loads(done.stdout)
    return answers


def test_the_metadata_names_what_the_onnx_file_names(run: LocalRun) -> None:
    (found,) = ask(run, {"call": "get_model_metadata", "arguments": [NAME]})
    said = "".join(str(found["answer"]).split())
    assert f'inputs{{name:"image"datatype:"FP32"shape:-1shape:3shape:{SIDE}shape:{SIDE}}}' in said
    assert 'outputs{name:"scores"' in said


def test_a_request_by_the_names_of_the_onnx_file_is_answered_as_the_file_answers(run: LocalRun) -> None:
    image = np.random.default_rng(0).random((1, 3, SIDE, SIDE), dtype=np.float32)
    expected = ort.InferenceSession(onnx_model()).run(["scores"], {"image": image})[0]
    given = ["image", "FP32", list(image.shape), image.ravel().tolist()]
    (answer,) = ask(run, {"inputs": [given], "outputs": ["scores"], "timeout_s": PATIENCE_S})
    np.testing.assert_allclose(answer["outputs"]["scores"], expected, rtol=1e-4, atol=1e-5)  # type: ignore[index]


def test_a_request_by_another_name_is_told_the_right_one(run: LocalRun) -> None:
    given = ["input", "FP32", [1, 3, SIDE, SIDE], [0.0] * (3 * SIDE * SIDE)]
    (answer,) = ask(run, {"inputs": [given], "timeout_s": PATIENCE_S})
    assert "expected the inputs ['image']" in str(answer["message"])

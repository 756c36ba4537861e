"""`tiersplit run` where the first tier may use fewer bits: an int8 head serves, as accurate as it was rated."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.local_run import LocalRun, running, wait_for
from tests.support.texture_cnn import textures, write_data
from tiersplit_wire.client import InferenceClient

pytestmark = pytest.mark.slow
SAMPLES = 100
READY_S = 540
MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata:
  name: tiny
  annotations: {{tiersplit.dev/local-slowdown: "edge=1000"}}
spec:
  model:
    source: {{torch: {{factory: "tests.support.texture_cnn:texture_cnn"}}}}
    inputs: [{{name: image, datatype: FP32, shape: [-1, 3, 32, 32]}}]
    calibration: {{uri: calibration.npz}}
    validation: {{uri: validation.npz}}
  accuracy: {{maxDrop: 1%}}
  tiers: [{{name: edge, weightBits: [8, 32]}}, {{name: cloud}}]
  links:
  - {{from: edge, to: cloud, bandwidth: {bandwidth}, latencyMilliseconds: 1}}
  adaptation: {{pollingPeriodSeconds: 1, cooldownPeriodSeconds: {cooldown}}}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRun]:
    folder = tmp_path_factory.mktemp("quantised")
    write_data(folder, SAMPLES)
    with running(folder, bandwidth="30k", manifest=MANIFEST, ready_s=READY_S) as found:
        yield found


def serving(run: LocalRun) -> dict[str, Any]:
    return next(plan for plan in run.status()["plans"] if plan["current"])


@pytest.mark.timeout(READY_S + 60)
def test_a_slow_edge_behind_a_narrow_link_serves_from_an_int8_head_within_the_drop(run: LocalRun) -> None:
    wait_for(lambda: serving(run)["bits"], 60, "a plan of fewer bits serves")
    plan, status = serving(run), run.status()
    assert (plan["bits"], plan["form"]) == ("W8A8", "int8")
    assert 0 < plan["layers"]["edge"] < sum(plan["layers"].values())
    floats = [other for other in status["plans"] if not other["bits"]]
    assert plan["expected_s"] < min(other["expected_s"] for other in floats)
    whole = floats[0]["accuracy"]
    assert plan["accuracy"] >= whole - 0.01
    assert f"accuracy: the model reaches {whole:.2%}" in run.said()


@pytest.mark.timeout(240)
def test_its_answers_are_as_accurate_as_the_plan_was_rated(run: LocalRun) -> None:
    plan, (x, classes) = serving(run), textures(SAMPLES, 3)
    right, used = 0, set()
    with InferenceClient(run.head) as client:
        for image, wanted in zip(x, classes, strict=True):
            reply = client.infer("tiny", {"image": image[None]}, timeout_s=60.0)
            used.add(reply.parameters["plan"])
            (scores,) = reply.outputs.values()
            right += int(np.argmax(scores[0]) == wanted)
    assert used == {plan["digest"]}
    assert right / SAMPLES == pytest.approx(plan["accuracy"], abs=0.01)


def test_status_tells_people_the_bits_and_the_accuracy(run: LocalRun) -> None:
    plan, shown = serving(run), run.command("status")
    assert {plan["bits"], f"{plan['form']},", f"{plan['accuracy']:.2%}", "right"} <= set(shown.split())

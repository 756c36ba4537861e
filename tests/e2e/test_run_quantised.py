"""`tiersplit run` where the first tier may use fewer bits: an int8 head serves, as accurate as it was rated."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.support.local_run import LocalRun, running, wait_for
from tests.support.patience import START_S
from tests.support.texture_cnn import textures, write_data
from tiersplit_core.planning.surface import Conditions, surface_from_json
from tiersplit_wire.client import InferenceClient

pytestmark = pytest.mark.slow
SAMPLES = 100
BANDWIDTH_BPS = 20_000
READY_S = 1500
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
    with running(folder, bandwidth=f"{BANDWIDTH_BPS // 1000}k", manifest=MANIFEST, ready_s=READY_S) as found:
        yield found


def serving(run: LocalRun) -> dict[str, Any]:
    return next(plan for plan in run.status()["plans"] if plan["current"])


@pytest.mark.timeout(READY_S + 300)
def test_a_slow_edge_behind_a_narrow_link_serves_from_an_int8_head_within_the_drop(run: LocalRun) -> None:
    wait_for(lambda: serving(run)["bits"] and all(serving(run)["layers"].values()), START_S, "an int8 head serves")
    plan, status = serving(run), run.status()
    assert (plan["bits"], plan["form"]) == ("W8A8", "int8")
    whole = next(other["accuracy"] for other in status["plans"] if not other["bits"])
    assert plan["accuracy"] >= whole - 0.01
    assert f"accuracy: the model reaches {whole:.2%}" in run.said()


def test_at_the_links_own_bandwidth_an_int8_head_is_the_fastest_plan(run: LocalRun) -> None:
    surface = surface_from_json(json.loads((run.folder / ".tiersplit" / "tiny" / "surface.json").read_text()))
    (_, best), *others = surface.ranked(Conditions((BANDWIDTH_BPS,)))
    assert best.plan.widths
    assert set(best.plan.placement.values()) == {"edge", "cloud"}
    assert any(not entry.plan.widths for _, entry in others)


@pytest.mark.timeout(1200)
def test_its_answers_are_as_accurate_as_its_plans_were_rated(run: LocalRun) -> None:
    plans = {plan["digest"]: plan for plan in run.status()["plans"]}
    x, classes = textures(SAMPLES, 3)
    right, used = 0, Counter[str]()
    with InferenceClient(run.head) as client:
        for image, wanted in zip(x, classes, strict=True):
            reply = client.infer("tiny", {"image": image[None]}, timeout_s=60.0)
            used[str(reply.parameters["plan"])] += 1
            (scores,) = reply.outputs.values()
            right += int(np.argmax(scores[0]) == wanted)
    rated = sum(plans[digest]["accuracy"] * count for digest, count in used.items()) / SAMPLES
    assert right / SAMPLES == pytest.approx(rated, abs=0.01)
    assert sum(count for digest, count in used.items() if plans[digest]["bits"]) > SAMPLES / 2


def test_status_tells_people_the_bits_and_the_accuracy(run: LocalRun) -> None:
    plan, shown = serving(run), run.command("status")
    assert {plan["bits"], f"{plan['form']},", f"{plan['accuracy']:.2%}", "right"} <= set(shown.split())

"""Plans are rated by running what gets deployed: their own segments, with what their links do to the values."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from tests.support import calibrated
from tests.support.calibrated import answers, samples, validation
from tests.support.cutting import open_session, ordered
from tiersplit_bundle import Accuracies, Bundle, extend, media
from tiersplit_core.codec.quantize import dequantize, quantize
from tiersplit_core.errors import BundleError, ModelError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import plan_segments, segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import import rating
from tiersplit_import.evaluation import quantised_accuracy
from tiersplit_import.metrics import Answers, Comparison, comparison
from tiersplit_import.net import Array
from tiersplit_import.quantise import Widths
from tiersplit_import.rating import rate, with_accuracy
from tiersplit_import.segments import materialise

TOP1, TOP5 = comparison("Top1"), comparison("Top5")
LAYERS = ("conv1", "conv2", "add", "pool", "fc")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return calibrated.calibrated(tmp_path / "b")


@pytest.fixture
def data(bundle: Bundle, tmp_path: Path) -> Path:
    """Labels that the network itself gives."""
    return validation(bundle, tmp_path / "validation.npz")


def plan(edge: int, widths: Mapping[str, tuple[int, int]], form: RunForm = RunForm.INT8, rest: str = "cloud") -> Plan:
    """The first `edge` layers on the edge."""
    return Plan({name: "edge" if i < edge else rest for i, name in enumerate(LAYERS)}, widths, form)


def cut_and_rated(bundle: Bundle, plans: list[Plan], data: Path, metric: Comparison = TOP1) -> Bundle:
    held = materialise(bundle.root, segments_of(bundle.graph, plans))
    blobs = rate(held, plans, data, metric)
    return extend(held, blobs) if blobs else held


def accuracies(bundle: Bundle) -> Accuracies:
    assert bundle.accuracies is not None
    return bundle.accuracies


WIDTHS = [(8, 8), (4, 8), (2, 8), (2, 32)]


@pytest.mark.parametrize("pair", WIDTHS, ids=str)
def test_the_accuracy_of_a_quantised_model_on_one_tier_is_that_of_the_evaluation_in_memory(
    pair: tuple[int, int], bundle: Bundle, data: Path
) -> None:
    everything = plan(5, dict.fromkeys(LAYERS, pair))
    widths = dict.fromkeys(LAYERS, Widths(*pair))
    found = accuracies(cut_and_rated(bundle, [everything], data))
    assert found.plans == {everything.digest: quantised_accuracy(bundle, widths, data, TOP1, narrow=False)}
    assert found.whole == 1
    assert (found.plans[everything.digest] < 1) == (pair[0] < 8)


@pytest.mark.parametrize("form", [RunForm.INT8, RunForm.PACKED])
def test_a_quantised_head_alone_is_rated_with_the_rest_as_it_is(form: RunForm, bundle: Bundle, data: Path) -> None:
    head = plan(2, dict.fromkeys(LAYERS[:2], (2, 32)), form)
    widths = dict.fromkeys(LAYERS[:2], Widths(2, 32))
    found = accuracies(cut_and_rated(bundle, [plan(2, {}), head], data))
    assert found.plans == {head.digest: quantised_accuracy(bundle, widths, data, TOP1, narrow=False)}


def sessions(bundle: Bundle, plans: list[Plan]) -> list[InferenceSession]:
    """Of what the last plan runs, in running order."""
    own = [name for name, _ in plan_segments(plans[-1], segments_of(bundle.graph, plans))]
    return [open_session(bundle.segment_path(segment)) for segment in ordered(bundle, own)]


def sent(value: Array, bits: int) -> Array:
    """What a link makes of a batch, a frame per sample."""
    frames = [quantize(row, bits) for row in value]
    return np.stack([dequantize(frame, np.dtype(np.float32)) for frame in frames if frame is not None])


def test_a_narrow_value_is_rounded_for_other_tiers_and_stays_exact_for_its_own(bundle: Bundle, data: Path) -> None:
    narrow = plan(2, {"conv1": (8, 2), "conv2": (8, 4)})
    plans = [plan(1, {}), narrow]
    held = cut_and_rated(bundle, plans, data)
    first, second, rest = sessions(held, plans)
    with np.load(data) as arrays:
        x, labels = arrays["x"], arrays["y"]
    (a,) = first.run(["a"], {"x": x})
    (b,) = second.run(["b"], {"a": a})
    (y,) = rest.run(["y"], {"a": sent(a, 2), "b": sent(b, 4)})
    (everywhere,) = rest.run(["y"], {"a": sent(a, 2), "b": sent(second.run(["b"], {"a": sent(a, 2)})[0], 4)})
    assert accuracies(held).plans == {narrow.digest: np.mean(y.argmax(axis=1) == labels)}
    assert not np.allclose(y, everywhere)


def test_golden_answers_are_those_of_the_plans_own_segments(bundle: Bundle, data: Path) -> None:
    narrow = plan(2, dict.fromkeys(LAYERS[:2], (4, 2)))
    held = cut_and_rated(bundle, [narrow], data)
    head, tail = sessions(held, [narrow])
    inputs, golden = held.golden(narrow.digest)
    assert inputs["x"].tolist() == held.golden()[0]["x"].tolist()
    a, b = head.run(["a", "b"], inputs)
    (wanted,) = tail.run(["y"], {"a": sent(a, 2), "b": sent(b, 2)})
    assert golden.keys() == {"y"}
    np.testing.assert_array_equal(golden["y"], wanted)
    assert not np.allclose(golden["y"], answers(bundle, inputs["x"]), rtol=1e-3)


def test_what_is_known_is_not_measured_again(bundle: Bundle, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = [plan(2, dict.fromkeys(LAYERS[:2], (4, 8)))]
    held = cut_and_rated(bundle, plans, data)
    for name in ("accuracy", "forward_accuracy"):
        monkeypatch.setattr(rating, name, lambda *_: pytest.fail("measured again"))
    assert rate(held, plans, data, TOP1) == []
    assert with_accuracy(held, data, TOP1).digest == held.digest


def test_a_second_surface_keeps_what_the_first_one_found(bundle: Bundle, data: Path) -> None:
    first, second = (plan(edge, dict.fromkeys(LAYERS[:edge], (4, 8))) for edge in (2, 3))
    before = cut_and_rated(bundle, [first], data)
    after = cut_and_rated(before, [second, plan(2, {})], data)
    assert accuracies(after).plans.keys() == after.plan_goldens.keys() == {first.digest, second.digest}
    assert accuracies(after).plans[first.digest] == accuracies(before).plans[first.digest]
    assert after.plan_goldens[first.digest] == before.plan_goldens[first.digest]


def test_ratings_by_other_data_or_another_metric_are_not_mixed(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    first, second = (plan(edge, dict.fromkeys(LAYERS[:edge], (2, 8))) for edge in (2, 3))
    held = cut_and_rated(bundle, [first], data)
    by_five = accuracies(cut_and_rated(held, [second], data, TOP5))
    assert (by_five.metric, by_five.plans.keys()) == ("Top5", {second.digest})
    x = samples(10)
    np.savez(tmp_path / "other.npz", x=x, y=(answers(bundle, x).argmax(axis=1) + 1) % 10)
    others = accuracies(cut_and_rated(held, [second], tmp_path / "other.npz"))
    assert (others.whole, others.plans.keys()) == (0, {second.digest})
    assert others.data != by_five.data


def test_plans_that_compute_the_same_on_other_tiers_are_measured_once(
    bundle: Bundle, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = dict.fromkeys(LAYERS[:2], (2, 4))
    twins = [plan(2, widths, rest=rest) for rest in ("mid", "cloud")]
    held = materialise(bundle.root, segments_of(bundle.graph, twins))
    measured, own = [], rating.forward_accuracy
    monkeypatch.setattr(rating, "forward_accuracy", lambda *given: measured.append(1) or own(*given))
    told: list[str] = []
    found = extend(held, rate(held, twins, data, TOP1, told.append))
    assert (len(measured), len(told)) == (1, 2)
    assert len(set(accuracies(found).plans.values())) == 1
    assert found.plan_goldens.keys() == {twin.digest for twin in twins}


def test_each_plan_is_told_with_its_accuracy_and_the_models_own(bundle: Bundle, data: Path) -> None:
    plans = [plan(edge, dict.fromkeys(LAYERS[:edge], (8, 8))) for edge in (2, 5)]
    held = materialise(bundle.root, segments_of(bundle.graph, plans))
    told: list[str] = []
    rate(held, plans, data, TOP1, told.append)
    assert [plans[i].digest[:19] in line for i, line in enumerate(told)] == [True, True]
    assert all("Top1 " in line and line.endswith("the model's own 100.00%") for line in told)
    assert ["1 of 2" in told[0], "2 of 2" in told[1]] == [True, True]


def test_plans_as_they_are_need_no_rating(bundle: Bundle, data: Path) -> None:
    held = cut_and_rated(bundle, [plan(2, {}), plan(5, {})], data)
    assert accuracies(held) == Accuracies("Top1", 1.0, {}, accuracies(held).data)
    assert held.plan_goldens == {}


def test_the_models_own_accuracy_stands_in_document_and_annotation(bundle: Bundle, data: Path) -> None:
    told: list[str] = []
    found = with_accuracy(bundle, data, TOP1, told.append)
    assert accuracies(found).whole == 1
    assert found.manifest["annotations"][media.ACCURACY] == "1.000000"
    assert told == ["Top1 on the validation data: 100.00%"]


def test_a_plan_whose_segments_were_not_cut_is_told_by_the_segment(bundle: Bundle, data: Path) -> None:
    with pytest.raises(BundleError, match=r"seg-\w+-int8-\w+ was not cut"):
        rate(bundle, [plan(2, {"conv1": (8, 8)})], data, TOP1)


def test_validation_data_that_are_not_there_are_told_by_name(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        with_accuracy(bundle, tmp_path / "nowhere.npz", TOP1)
    assert caught.value.path == str(tmp_path / "nowhere.npz")


def test_a_function_that_changes_under_its_name_is_asked_again(
    bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, module = tmp_path / "own_rating.py", "own_rating"
    chosen, answered = [plan(2, dict.fromkeys(LAYERS[:2], (8, 8)))], []
    for number in (0.25, 0.25, 0.75):
        file.write_text(f"def fixed(answers, y):\n    return {number}\n")
        sys.modules.pop(module, None)
        importlib.invalidate_caches()
        bundle = cut_and_rated(bundle, chosen, data, comparison(f"{module}:fixed"))
        answered.append((accuracies(bundle).whole, accuracies(bundle).plans[chosen[0].digest], bundle.digest))
    sys.modules.pop(module)
    assert [(whole, rated) for whole, rated, _ in answered] == [(0.25, 0.25), (0.25, 0.25), (0.75, 0.75)]
    assert answered[0][2] == answered[1][2], "what did not change is not asked again"


@dataclass
class _Nothing:
    """Counts nothing."""

    def add(self, answers: Answers, truth: Array) -> None:
        pass

    def value(self) -> float:
        return float("nan")


def test_a_metric_that_gives_no_number_is_refused(bundle: Bundle, data: Path) -> None:
    with pytest.raises(ModelError, match="user:function gives nan"):
        with_accuracy(bundle, data, Comparison("user:function", lambda _: _Nothing()))

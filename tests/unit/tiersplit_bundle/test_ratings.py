"""What a bundle knows of plans that quantise layers: their accuracy, their golden answers, the model in their forms."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.support.oci_registry import oci_registry
from tests.support.registry_bundles import connect, segment, write
from tiersplit_bundle import Accuracies, Blob, Bundle, extend, media
from tiersplit_bundle.accuracies import accuracies_from_json, accuracies_to_json
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.errors import BundleError
from tiersplit_core.quantization.forms import RunForm

FIRST, SECOND = "sha256:" + "1" * 64, "sha256:" + "2" * 64
DATA = "sha256:" + "d" * 64


def accuracies(whole: float = 0.9, **plans: float) -> Blob:
    named = {{"first": FIRST, "second": SECOND}[name]: found for name, found in plans.items()}
    return Blob(media.ACCURACIES, canonical_json(accuracies_to_json(Accuracies("Top1", whole, named, DATA))))


def golden(plan: str, answer: float) -> Blob:
    arrays = {"input/x": np.ones((1, 2), np.float32), "output/y": np.full((1, 2), answer, np.float32)}
    return Blob(media.PLAN_GOLDEN, save(arrays), {media.PLAN: plan})


def test_accuracies_are_read_as_they_were_written(tmp_path: Path) -> None:
    bundle = extend(write(tmp_path / "b"), [accuracies(first=0.75)])
    assert bundle.accuracies == Accuracies("Top1", 0.9, {FIRST: 0.75}, DATA)
    assert write(tmp_path / "other").accuracies is None


def test_accuracies_of_unknown_data_are_read_too() -> None:
    assert accuracies_from_json({"metric": "Top5", "whole": 1, "plans": {}}) == Accuracies("Top5", 1.0)


def test_the_code_of_a_users_own_metric_is_read_as_it_was_written() -> None:
    known = Accuracies("plates.rating:loose", 0.5, {SECOND: 0.25}, DATA, FIRST)
    assert accuracies_from_json(accuracies_to_json(known)) == known


WRONG = {
    "no metric": ({"metric": None}, "accuracies.metric"),
    "an empty metric": ({"metric": ""}, "accuracies.metric"),
    "a metric without end": ({"metric": "m" * 1000}, "accuracies.metric"),
    "nothing about the model": ({"whole": None}, "accuracies.whole"),
    "more than any number": ({"whole": float("inf")}, "accuracies.whole"),
    "a truth": ({"whole": True}, "accuracies.whole"),
    "no number": ({"whole": float("nan")}, "accuracies.whole"),
    "a list of plans": ({"plans": [FIRST]}, "accuracies.plans"),
    "a plan that is none": ({"plans": {"edge": 0.5}}, "accuracies.plans"),
    "a plan's number as text": ({"plans": {FIRST: "0.5"}}, f"accuracies.plans.{FIRST}"),
    "data that are none": ({"data": "validation.npz"}, "accuracies.data"),
    "code that is none": ({"code": "plates.rating:loose"}, "accuracies.code"),
}


@pytest.mark.parametrize(("change", "field"), WRONG.values(), ids=WRONG)
def test_damaged_accuracies_are_refused_by_the_field(tmp_path: Path, change: dict[str, object], field: str) -> None:
    value = {**accuracies_to_json(Accuracies("Top1", 0.9, {FIRST: 0.5}, DATA)), **change}
    bundle = extend(write(tmp_path / "b"), [Blob(media.ACCURACIES, json.dumps(value).encode())])
    with pytest.raises(BundleError) as caught:
        _ = bundle.accuracies
    assert caught.value.path == field


@pytest.mark.parametrize("replace", [False, True])
def test_of_accuracies_and_surfaces_the_newest_stays_even_where_it_was_there_before(
    tmp_path: Path, replace: bool
) -> None:
    bundle = write(tmp_path / "b")
    for kind in ("a", "b", "a"):
        share = {"a": 0.5, "b": 0.75}[kind]
        bundle = extend(
            bundle, [accuracies(first=share), Blob(media.SURFACE, b'{"kind":"%s"}' % kind.encode())], replace
        )
    assert bundle.accuracies == Accuracies("Top1", 0.9, {FIRST: 0.5}, DATA)
    assert bundle.read_json(media.SURFACE) == {"kind": "a"}
    kinds = [entry.media_type for entry in bundle.layers]
    assert kinds.count(media.ACCURACIES) == kinds.count(media.SURFACE) == 1


@pytest.mark.parametrize("replace", [False, True])
def test_golden_answers_gather_and_those_of_one_plan_are_the_newest(tmp_path: Path, replace: bool) -> None:
    bundle = extend(write(tmp_path / "b"), [golden(FIRST, 1), golden(SECOND, 2)], replace)
    bundle = extend(bundle, [golden(SECOND, 3)], replace)
    assert bundle.plan_goldens.keys() == {FIRST, SECOND}
    answers = [bundle.golden(plan)[1]["y"][0, 0] for plan in (FIRST, SECOND)]
    assert answers == [1, 3]
    assert bundle.golden(FIRST)[0]["x"].tolist() == [[1, 1]]


def test_plans_with_the_same_answers_and_segments_with_the_same_bytes_are_all_listed(tmp_path: Path) -> None:
    same = segment("head")
    twin = Blob(media.SEGMENT, same.data, {**same.annotations, media.SEGMENT_ID: "twin"})
    bundle = extend(write(tmp_path / "b"), [golden(FIRST, 1), golden(SECOND, 1), same, twin])
    assert bundle.plan_goldens.keys() == {FIRST, SECOND}
    assert {found.id: found.digest for found in bundle.segments} == {"head": same.digest, "twin": same.digest}


def test_golden_answers_of_a_plan_that_was_not_rated_are_asked_for_in_vain(tmp_path: Path) -> None:
    bundle = extend(write(tmp_path / "b"), [golden(FIRST, 1)])
    with pytest.raises(BundleError, match="was not rated"):
        bundle.golden(SECOND)


def test_golden_answers_of_nobody_are_refused_by_name(tmp_path: Path) -> None:
    blob = golden("edge", 1)
    bundle = extend(write(tmp_path / "b"), [blob])
    with pytest.raises(BundleError) as caught:
        _ = bundle.plan_goldens
    assert caught.value.path == blob.digest


def test_the_model_in_a_quantised_form_is_found_by_it_and_is_no_segment_of_a_plan(tmp_path: Path) -> None:
    forms = {form: segment(f"whole-{form}") for form in (RunForm.INT8, RunForm.PACKED)}
    marked = [Blob(blob.media_type, blob.data, {**blob.annotations, media.FORM: form}) for form, blob in forms.items()]
    bundle = extend(write(tmp_path / "b"), [*marked, segment("head")])
    assert {form: found.id for form, found in bundle.forms.items()} == {form: f"whole-{form}" for form in forms}
    assert [found.id for found in bundle.segments] == ["head"]
    assert bundle.segment_path(bundle.forms[RunForm.INT8]).read_bytes() == b"segment whole-int8"


def test_a_form_that_is_none_is_refused(tmp_path: Path) -> None:
    blob = segment("whole")
    bundle = extend(write(tmp_path / "b"), [Blob(blob.media_type, blob.data, {**blob.annotations, media.FORM: "fp4"})])
    with pytest.raises(BundleError, match="'fp4' is no run form"):
        _ = bundle.forms


def test_a_registry_keeps_the_same_as_the_disk(tmp_path: Path) -> None:
    steps = [
        [accuracies(), segment("head")],
        [golden(FIRST, 1), accuracies(first=0.5), Blob(media.SURFACE, b"{}")],
        [golden(SECOND, 1), accuracies(first=0.5, second=0.25), segment("head")],
    ]
    disk = write(tmp_path / "a")
    with oci_registry(tmp_path / "registry") as running, connect(running.host) as registry:
        registry.push_bundle(disk)
        for blobs in steps:
            disk = extend(disk, blobs, replace=True)
            registry.extend(blobs, "latest", replace=True)
        pulled: Bundle = registry.pull_bundle(tmp_path / "b")
    assert pulled.manifest == disk.manifest
    assert pulled.accuracies == Accuracies("Top1", 0.9, {FIRST: 0.5, SECOND: 0.25}, DATA)
    assert pulled.plan_goldens.keys() == {FIRST, SECOND}

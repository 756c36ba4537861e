"""`tiersplit materialise` and `tiersplit import` with validation data."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.calibrated import calibrated, validation
from tests.support.onnx_files import CLASSES, SIDE, onnx_model
from tests.support.surfaces import made_up_surface, with_twins
from tiersplit_bundle import Bundle, media
from tiersplit_cli.main import build_app
from tiersplit_core.errors import InputError, ModelError
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.planning.surface import surface_from_json


def run(command, *arguments):
    """What the command printed on stdout and stderr; its errors are raised as they are."""
    result = CliRunner().invoke(build_app(), [command, *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


@pytest.fixture
def planned(tmp_path):
    """A calibrated bundle, validation data, and a surface with bit widths."""
    bundle = calibrated(tmp_path / "b")
    (tmp_path / "surface.json").write_text(json.dumps(with_twins(made_up_surface(bundle))))
    return bundle, validation(bundle, tmp_path / "v.npz"), tmp_path / "surface.json"


def narrow(surface):
    return {plan.digest for plan in surface_from_json(json.loads(surface.read_text())).plans if plan.widths}


def test_plans_are_cut_and_rated_at_once(planned):
    bundle, data, surface = planned
    printed, told = run("materialise", "-b", bundle.root, "--surface", surface, "--validation", data, "-o", "json")
    value, found = json.loads(printed), Bundle.open(bundle.root)
    plans = surface_from_json(json.loads(surface.read_text())).plans
    assert value["digest"] == found.digest
    assert value["segments"] == [spec.id for spec in segments_of(found.graph, plans)]
    assert value["accuracy"] == {"metric": "Top1", "whole": 1.0, "plans": dict(found.accuracies.plans)}
    assert found.accuracies.plans.keys() == found.plan_goldens.keys() == narrow(surface)
    assert value["unrated"] == []
    assert all(digest[:19] in told for digest in narrow(surface))


def test_without_validation_data_plans_are_cut_and_said_to_be_unrated(planned):
    bundle, _, surface = planned
    printed, told = run("materialise", "-b", bundle.root, "--surface", surface, "-o", "json")
    value = json.loads(printed)
    assert value["accuracy"] is None
    assert set(value["unrated"]) == narrow(surface)
    assert f"not rated: {len(narrow(surface))}; give --validation FILE" in told
    assert {spec for spec in value["segments"] if "-int8-" in spec}


def test_people_see_each_plans_accuracy(planned):
    bundle, data, surface = planned
    words = ("-b", bundle.root, "--surface", surface, "--validation", data, "--metric", "Top5")
    printed, _ = run("materialise", *words)
    shares = Bundle.open(bundle.root).accuracies.plans
    assert "Top5: 100.00%" in printed
    assert all(f"{digest}: {share:.2%}" in printed for digest, share in shares.items())


def test_a_second_run_measures_nothing_and_says_the_same(planned, monkeypatch):
    bundle, data, surface = planned
    words = ("-b", bundle.root, "--surface", surface, "--validation", data, "-o", "json")
    first, _ = run("materialise", *words)
    monkeypatch.setattr("tiersplit_import.rating.forward_accuracy", lambda *_: pytest.fail("measured again"))
    again, told = run("materialise", *words)
    assert (again, told) == (first, "")


WRONG = [
    (("--metric", "Top1"), InputError, "--metric", "give --validation"),
    (("--validation", "nowhere.npz"), InputError, "--validation", "there is no file nowhere.npz"),
    (("--validation", "DATA", "--metric", "Best"), ModelError, "--metric", "no metric"),
]


@pytest.mark.parametrize(("words", "kind", "path", "reason"), WRONG, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("command", ["materialise", "import"])
def test_what_is_wrong_is_told_by_the_option_before_anything_is_done(command, words, kind, path, reason, planned):
    bundle, data, surface = planned
    words = [data if word == "DATA" else word for word in words]
    first = ["-b", bundle.root, "--surface", surface] if command == "materialise" else ["m.onnx", "-b", bundle.root]
    with pytest.raises(kind) as caught:
        run(command, *first, *words)
    assert caught.value.path == path
    assert reason in str(caught.value)
    assert Bundle.open(bundle.root).digest == bundle.digest


def test_import_measures_the_models_own_accuracy(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_model())
    draw = np.random.default_rng(0)
    x = draw.normal(size=(12, 3, SIDE, SIDE)).astype(np.float32)
    np.savez(tmp_path / "v.npz", x=x, y=draw.integers(0, CLASSES, 12))
    words = (tmp_path / "m.onnx", "-b", tmp_path / "b", "--validation", tmp_path / "v.npz", "-o", "json")
    value = json.loads(run("import", *words)[0])
    found = Bundle.open(tmp_path / "b")
    assert value["digest"] == found.digest
    assert value["accuracy"] == {"metric": "Top1", "whole": found.accuracies.whole}
    assert 0 < found.accuracies.whole < 1
    assert found.manifest["annotations"][media.ACCURACY] == f"{found.accuracies.whole:.6f}"
    assert json.loads(run("import", *words)[0]) == value

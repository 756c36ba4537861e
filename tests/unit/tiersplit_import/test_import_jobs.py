"""The import room's Jobs against a real registry: what they push, and what they say when they cannot."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.support.cutting import Pieces, assert_close, ordered
from tests.support.file_server import file_server
from tests.support.import_jobs import PLAIN, registry, validation_data
from tests.support.oci_registry import free_port, oci_registry
from tests.support.onnx_files import SIDE, onnx_model
from tests.support.patience import START_S
from tests.support.surfaces import made_up_surface, with_twins
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.job_result import MAX_BYTES, finish
from tiersplit_bundle.layout import canonical_json
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, InputError, ModelError, OperationError
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.planning.surface import surface_from_json, surface_to_json
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import import job, rating
from tiersplit_import.chain import check_chain
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import import_model
from tiersplit_import.plan_run import open_segment
from tiersplit_import.probe import run
from tiersplit_import.segments import materialise as materialise_locally


def test_an_onnx_file_becomes_a_bundle_in_the_registry(running, run_import, message, tmp_path, monkeypatch):
    with file_server(tmp_path, onnx_model()) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        np.savez(tmp_path / "calibration.npz", x=np.ones((4, 3, SIDE, SIDE), np.float32))
        calibration = {"uri": f"file://{tmp_path}/calibration.npz", "samples": 2}
        assert run_import({"source": {"onnxUri": server.url}, "calibration": calibration}, "onnx") == 0
    with registry(running, "onnx", "import-1") as found:
        bundle = found.pull_bundle(tmp_path / "pulled")
    assert message() == {"digest": bundle.digest}
    assert bundle.name == "plate-reader"
    assert bundle.golden()[0]["image"].shape == (1, 3, SIDE, SIDE)
    assert np.all(bundle.golden()[0]["image"] == 1)


def test_a_job_that_runs_again_pushes_nothing_and_says_the_same(run_import, message, onnx_file):
    model = {"source": {"onnxUri": str(onnx_file)}}
    assert run_import(model, "again") == 0
    first = message()
    onnx_file.unlink()
    assert run_import(model, "again") == 0
    assert message() == first


WRONG = [
    ({"source": {"onnxUri": "ftp://x/y.onnx"}}, "spec.model.source.onnxUri", "write https://"),
    ({"source": {"onnxUri": "/nowhere/m.onnx"}}, "spec.model.source.onnxUri", "there is no file"),
    ({"source": {"torch": {"factory": "nowhere:model"}}}, "spec.model.source", "cannot be imported"),
    ({"source": {"bundle": "oci://UPPER"}}, "spec.model.source.bundle", "no reference to a registry"),
    ({"source": {"bundle": "some/where"}}, "spec.model.source.bundle", "write oci://"),
    ({"source": {"onnxUri": 5}}, "spec.model.source.onnxUri", "string"),
]


@pytest.mark.parametrize(("model", "field", "reason"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_model_is_told_by_its_field_and_not_tried_again(run_import, message, model, field, reason):
    inputs = [{"name": "input", "shape": [-1, 3, SIDE, SIDE]}] if "torch" in model["source"] else []
    assert run_import({**model, "inputs": inputs}, "wrong") == 2
    found = message()
    assert (found["field"], found["retry"]) == (field, False)
    assert reason in found["error"]


def test_a_damaged_file_is_told_by_its_address_and_not_by_where_it_was_put(run_import, message, tmp_path, monkeypatch):
    with file_server(tmp_path, b"no model at all") as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        assert run_import({"source": {"onnxUri": server.url}}, "damaged") == 2
    assert message()["field"] == "spec.model.source.onnxUri"
    assert "tiersplit-import-" not in json.dumps(message())


def test_a_registry_that_is_down_is_tried_again(message, tmp_path, onnx_file):
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"name": "m", "model": {"source": {"onnxUri": str(onnx_file)}}}))
    push = ["--push", f"oci://127.0.0.1:{free_port()}/m", "--tag", "t", "--registry-plain-http"]
    assert job.main(["import", "--model", str(file), *push]) == 1
    assert message()["retry"] is True
    assert "cannot be reached" in message()["error"]


def test_a_bundle_of_another_registry_is_copied(running, run_import, message, tmp_path, onnx_file):
    with oci_registry(tmp_path / "other") as other:
        made = import_model(str(onnx_file), tmp_path / "made", ImportOptions(name="m"))
        with registry(other, "theirs", "v1") as theirs:
            theirs.push_bundle(Bundle.open(made.path))
        assert run_import({"source": {"bundle": f"oci://{other.host}/theirs:v1"}}, "ours") == 0
    assert message() == {"digest": made.digest}
    with registry(running, "ours", "import-1") as ours:
        assert ours.pull_bundle(tmp_path / "pulled").digest == made.digest


# Materialise


@pytest.fixture
def planned(running, onnx_file, tmp_path):
    """A bundle with a surface in the registry: its reference, and the surface."""
    made = import_model(str(onnx_file), tmp_path / "planned", ImportOptions(name="m"))
    surface = made_up_surface(Bundle.open(made.path))
    bundle = extend(Bundle.open(made.path), [Blob(media.SURFACE, canonical_json(surface))])
    with registry(running, "planned", "plan-1") as found:
        digest = found.push_bundle(bundle)
        found_at = found.reference.at(digest)
    return found_at, surface_from_json(surface)


def materialise(reference, tag="ready-1"):
    return job.main(["materialise", "--bundle", str(reference), "--push-tag", tag, "--registry-plain-http"])


def test_the_segments_of_a_surface_are_cut_where_the_bundle_lies(running, planned, message, tmp_path):
    reference, surface = planned
    assert materialise(reference) == 0
    with registry(running, "planned", "ready-1") as found:
        bundle = found.pull_bundle(tmp_path / "ready")
    assert message() == {"digest": bundle.digest}
    specs = segments_of(bundle.graph, surface.plans)
    assert len(specs) > 1
    inputs, outputs = bundle.golden()
    assert_close(Pieces(bundle, ordered(bundle, [spec.id for spec in specs]))(inputs), outputs)
    assert surface_from_json(bundle.read_json(media.SURFACE)) == surface


def test_segments_that_are_there_already_are_not_cut_again(running, planned, tmp_path):
    reference, _ = planned
    assert materialise(reference, "ready-2") == 0
    with registry(running, "planned", "ready-2") as found:
        first = found.manifest()
        assert materialise(reference.at(first.digest), "ready-3") == 0
        assert found.manifest("ready-3").digest == first.digest


def test_a_bundle_without_a_surface_is_a_mistake(running, onnx_file, message, tmp_path):
    made = import_model(str(onnx_file), tmp_path / "made", ImportOptions(name="m"))
    with registry(running, "bare", "v1") as found:
        found.push_bundle(Bundle.open(made.path))
    assert materialise(found.reference) == 2
    assert media.SURFACE in message()["error"]


def test_segments_that_are_missing_or_compute_something_else_are_found_out(planned, tmp_path):
    reference, surface = planned
    with Registry(reference, PLAIN) as found:
        bundle = found.pull_bundle(tmp_path / "b")
    specs = segments_of(bundle.graph, surface.plans)
    with pytest.raises(BundleError, match="was not cut"):
        check_chain(bundle, surface.plans)
    (tmp_path / "other.onnx").write_bytes(onnx_model(seed=1))
    other = import_model(str(tmp_path / "other.onnx"), tmp_path / "other", ImportOptions(name="m"))
    cut = materialise_locally(other.path, specs)
    kept = [entry for entry in cut.layers if entry.media_type in {media.SEGMENT, media.WEIGHTS}]
    foreign = [Blob(entry.media_type, cut.read(entry.digest), entry.annotations) for entry in kept]
    with pytest.raises(ModelError, match="off by"):
        check_chain(extend(bundle, foreign), surface.plans)


# Rate


def calibrated_model(tmp_path, onnx_file):
    """`spec.model` with data for both, and a file of it as import's Job gets it."""
    x = np.random.default_rng(4).normal(size=(8, 3, SIDE, SIDE)).astype(np.float32)
    np.savez(tmp_path / "c.npz", x=x)
    validation_data(onnx_file, tmp_path / "v.npz", wrong=2)
    model = {
        "source": {"onnxUri": str(onnx_file)},
        "calibration": {"uri": str(tmp_path / "c.npz")},
        "validation": {"uri": str(tmp_path / "v.npz")},
    }
    (tmp_path / "rate.json").write_text(json.dumps({"name": "m", "model": model}))
    return model, tmp_path / "rate.json"


@pytest.fixture
def with_twins_planned(running, run_import, onnx_file, tmp_path):
    """A calibrated bundle with a surface in which plans have bit widths: import's file, its reference and surface."""
    model, file = calibrated_model(tmp_path, onnx_file)
    assert run_import(model, "twins") == 0
    with registry(running, "twins", "import-1") as found:
        imported = found.pull_bundle(tmp_path / "imported")
        surface = with_twins(made_up_surface(imported))
        reference = found.reference.at(found.extend([Blob(media.SURFACE, canonical_json(surface))], "plan-1"))
    return file, reference, surface_from_json(surface)


def rate_there(reference, file, tag):
    words = ["--bundle", str(reference), "--push-tag", tag, "--model", str(file), "--registry-plain-http"]
    return job.main(["materialise", *words])


def test_plans_with_bit_widths_are_cut_and_rated_where_the_bundle_lies(running, with_twins_planned, tmp_path, capsys):
    file, reference, surface = with_twins_planned
    assert rate_there(reference, file, "rated-1") == 0
    with registry(running, "twins", "rated-1") as found:
        bundle = found.pull_bundle(tmp_path / "rated")
    narrow = {plan.digest for plan in surface.plans if plan.widths}
    assert narrow
    assert bundle.accuracies.plans.keys() == bundle.plan_goldens.keys() == narrow
    assert (bundle.accuracies.metric, bundle.accuracies.whole) == ("Top1", 0.8)
    assert all(0 < share <= 1 for share in bundle.accuracies.plans.values())
    told = capsys.readouterr().err
    assert all(name[:19] in told for name in narrow)
    held = {segment.id for segment in bundle.segments}
    assert {spec.id for spec in segments_of(bundle.graph, surface.plans)} == held


def test_ratings_of_a_round_before_are_kept_and_not_measured_again(running, with_twins_planned, tmp_path, monkeypatch):
    file, reference, _ = with_twins_planned
    assert rate_there(reference, file, "rated-2") == 0
    with registry(running, "twins", "rated-2") as found:
        first = found.manifest()
        monkeypatch.setattr(rating, "forward_accuracy", lambda *_: pytest.fail("measured again"))
        assert rate_there(reference.at(first.digest), file, "rated-3") == 0
        assert found.manifest("rated-3").digest == first.digest


def test_a_job_that_is_ended_before_it_is_done_leaves_its_ratings_to_the_next(
    running, with_twins_planned, tmp_path, monkeypatch, capsys
):
    file, reference, surface = with_twins_planned
    narrow = {plan.digest for plan in surface.plans if plan.widths}
    rated, own = [], rating._Rating.of

    def until_the_deadline(self, run):
        if rated:
            raise OperationError("the Job's deadline")
        rated.append(run)
        return own(self, run)

    monkeypatch.setattr(rating._Rating, "of", until_the_deadline)
    assert rate_there(reference, file, "rated-4") == 1
    with registry(running, "twins", "rated-4") as found:
        assert found.head() is None
    with registry(running, "twins", "rated-4-part") as part:
        assert len(part.pull_bundle(tmp_path / "part").accuracies.plans) == 1
    monkeypatch.setattr(rating._Rating, "of", lambda self, run: rated.append(run) or own(self, run))
    assert rate_there(reference, file, "rated-4") == 0
    assert len(rated) == len(narrow) > 1
    with registry(running, "twins", "rated-4") as found:
        bundle = found.pull_bundle(tmp_path / "whole")
    assert bundle.accuracies.plans.keys() == bundle.plan_goldens.keys() == narrow
    assert "cut 0 of" in capsys.readouterr().err, "what the first one cut is there"


def test_without_the_models_file_plans_are_cut_alone(running, with_twins_planned, tmp_path):
    _, reference, surface = with_twins_planned
    assert materialise(reference, "cut-1") == 0
    with registry(running, "twins", "cut-1") as found:
        bundle = found.pull_bundle(tmp_path / "cut")
    assert bundle.accuracies.plans == bundle.plan_goldens == {}
    assert len(bundle.segments) == len(segments_of(bundle.graph, surface.plans))


def test_validation_data_are_not_fetched_for_plans_that_compute_what_the_model_computes(planned, tmp_path, onnx_file):
    reference, _ = planned
    _, file = calibrated_model(tmp_path, onnx_file)
    (tmp_path / "v.npz").unlink()
    assert rate_there(reference, file, "unrated-1") == 0


def test_wrong_validation_data_are_told_by_their_field_when_plans_are_rated(with_twins_planned, message, tmp_path):
    file, reference, _ = with_twins_planned
    np.savez(tmp_path / "v.npz", x=np.zeros((10, 3, SIDE, SIDE), np.float32))
    assert rate_there(reference, file, "wrong-1") == 2
    assert (message()["field"], message()["retry"]) == ("spec.model.validation.uri", False)


def test_a_calibrated_model_lies_in_the_bundle_in_both_forms(running, run_import, onnx_file, tmp_path):
    model, _ = calibrated_model(tmp_path, onnx_file)
    assert run_import(model, "forms") == 0
    with registry(running, "forms", "import-1") as found:
        bundle = found.pull_bundle(tmp_path / "forms")
    assert {form: segment.id for form, segment in bundle.forms.items()} == {
        RunForm.INT8: "whole-int8",
        RunForm.PACKED: "whole-packed",
    }
    inputs, wanted = bundle.golden()
    for form, segment in bundle.forms.items():
        assert segment.layers == tuple(bundle.graph.index)
        (got,) = run(open_segment(bundle, segment), list(segment.outputs), inputs)
        apart = float(np.mean((got - wanted["scores"]) ** 2) / np.mean(wanted["scores"] ** 2))
        assert 0 < apart < {RunForm.INT8: 0.01, RunForm.PACKED: 0.1}[form]
    assert bundle.segments == ()


def test_a_surface_of_plans_with_bit_widths_alone_has_nothing_to_compare_with_the_model(planned, tmp_path):
    reference, surface = planned
    with Registry(reference, PLAIN) as found:
        bundle = found.pull_bundle(tmp_path / "b")
    assert (
        check_chain(
            bundle, [plan for plan in surface_from_json(with_twins(surface_to_json(surface))).plans if plan.widths]
        )
        is None
    )


# How Jobs end


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("write x", "spec.y"), 2, {"error": "write x", "field": "spec.y", "retry": False}),
        (OperationError("it is gone"), 1, {"error": "it is gone", "field": "", "retry": True}),
        (MemoryError("no room"), 1, {"error": "MemoryError: no room", "field": "", "retry": True}),
    ],
)
def test_each_kind_of_failure_has_its_code_and_its_message(tmp_path, error, code, told):
    def work():
        raise error

    assert finish(work, {"TIERSPLIT_TERMINATION_FILE": str(tmp_path / "log")}) == code
    assert json.loads((tmp_path / "log").read_text()) == told


def test_a_long_reason_still_is_a_document_that_kubernetes_keeps(tmp_path):
    def work():
        raise InputError("ü\n" * 10_000, "x" * 10_000)

    finish(work, {"TIERSPLIT_TERMINATION_FILE": str(tmp_path / "log")})
    data = (tmp_path / "log").read_bytes()
    assert len(data) <= MAX_BYTES
    assert json.loads(data)["retry"] is False


def test_without_torch_an_onnx_job_works_and_a_torch_job_says_what_is_missing(running, tmp_path, onnx_file):
    script = (
        "import sys; sys.modules['torch'] = None; from tiersplit_import.job import main; sys.exit(main(sys.argv[1:]))"
    )
    push = ["--push", f"oci://{running.host}/lean", "--registry-plain-http"]
    codes, told = [], []
    for number, source in enumerate(
        ({"onnxUri": str(onnx_file)}, {"torch": {"factory": "tests.support.models:chain"}})
    ):
        (tmp_path / "model.json").write_text(json.dumps({"name": "m", "model": {"source": source}}))
        command = [
            sys.executable,
            "-c",
            script,
            "import",
            "--model",
            str(tmp_path / "model.json"),
            "--tag",
            f"t{number}",
        ]
        done = subprocess.run(
            [*command, *push],
            env={"TIERSPLIT_TERMINATION_FILE": str(tmp_path / "log"), "PATH": ""},
            capture_output=True,
            timeout=START_S,
        )
        codes.append(done.returncode)
        told.append(json.loads((tmp_path / "log").read_text()))
    assert codes == [0, 2], told
    assert "no torch" in told[1]["error"]

"""The import Job measures a model's accuracy by the manifest's metric, and tells which field does not fit."""

import numpy as np
import pytest

from tests.support.import_jobs import registry, validation_data
from tests.support.onnx_files import SIDE
from tiersplit_bundle import media


def test_the_accuracy_on_validation_data_stands_in_the_manifest(running, run_import, onnx_file, tmp_path):
    validation_data(onnx_file, tmp_path / "v.npz", wrong=3)
    model = {"source": {"onnxUri": str(onnx_file)}, "validation": {"uri": str(tmp_path / "v.npz")}}
    assert run_import(model, "rated") == 0
    with registry(running, "rated", "import-1") as found:
        assert found.manifest().document["annotations"][media.ACCURACY] == "0.700000"
        assert found.pull_bundle(tmp_path / "pulled").name == "plate-reader"


@pytest.mark.parametrize(
    "labels",
    [None, np.zeros((10, 2), int), np.zeros(10), np.zeros(9, int), np.zeros(11, int), np.array(3)],
    ids=["none", "two a sample", "fractions", "too few", "too many", "one number"],
)
def test_validation_data_without_labels_is_a_mistake(run_import, message, onnx_file, tmp_path, labels):
    x = np.zeros((10, 3, SIDE, SIDE), np.float32)
    np.savez(tmp_path / "v.npz", x=x, **({} if labels is None else {"y": labels}))
    model = {"source": {"onnxUri": str(onnx_file)}, "validation": {"uri": str(tmp_path / "v.npz")}}
    assert run_import(model, "unrated") == 2
    assert (message()["field"], message()["retry"]) == ("spec.model.validation.uri", False)


def share_right(outputs, y):
    """A metric of this file's own."""
    return np.mean(outputs["scores"].argmax(axis=1) == y)


def picky(outputs, y):
    """A metric that no answer pleases."""
    raise ValueError("nothing is right")


def test_the_users_own_function_is_the_metric(running, run_import, onnx_file, tmp_path):
    validation_data(onnx_file, tmp_path / "v.npz", wrong=4)
    own = {"uri": str(tmp_path / "v.npz"), "metric": "Function", "function": f"{__name__}:share_right"}
    assert run_import({"source": {"onnxUri": str(onnx_file)}, "validation": own}, "own") == 0
    with registry(running, "own", "import-1") as found:
        bundle = found.pull_bundle(tmp_path / "pulled")
    assert (bundle.accuracies.metric, bundle.accuracies.whole) == (f"{__name__}:share_right", 0.6)


UNFIT = [
    ({"metric": "MeanIoU"}, "uri", "a whole number per pixel"),
    ({"metric": "Top5"}, "metric", "among 5 of 5 classes"),
    ({"metric": "Function"}, "metric", "MODULE:CALLABLE"),
    ({"metric": "Function", "function": "nowhere:at_all"}, "function", "cannot be imported"),
    ({"metric": "Function", "function": f"{__name__}:picky"}, "function", "nothing is right"),
]


@pytest.mark.parametrize(("validation", "field", "words"), UNFIT)
def test_a_metric_that_does_not_fit_is_told_by_its_field(
    run_import, message, onnx_file, tmp_path, validation, field, words
):
    validation_data(onnx_file, tmp_path / "v.npz", wrong=0)
    given = {"uri": str(tmp_path / "v.npz"), **validation}
    assert run_import({"source": {"onnxUri": str(onnx_file)}, "validation": given}, "unfit") == 2
    assert message()["field"] == f"spec.model.validation.{field}"
    assert words in message()["error"]


def test_a_given_bundle_is_rated_too(running, run_import, onnx_file, tmp_path):
    validation_data(onnx_file, tmp_path / "v.npz", wrong=4)
    assert run_import({"source": {"onnxUri": str(onnx_file)}}, "given") == 0
    model = {"source": {"bundle": f"oci://{running.host}/given:import-1"}, "validation": {"uri": f"{tmp_path}/v.npz"}}
    assert run_import(model, "taken") == 0
    with registry(running, "taken", "import-1") as found:
        bundle = found.pull_bundle(tmp_path / "taken")
    assert bundle.accuracies.whole == 0.6
    assert bundle.accuracies.plans == {}

"""A detector's accuracy: of its bundle, and of the plan that runs a part of it with 8 bits."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.small_detector import detector, pictures
from tiersplit_bundle import Bundle, extend
from tiersplit_core.errors import ModelError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.accuracy import accuracy
from tiersplit_import.metrics import OPTION, comparison, mean_average_precision
from tiersplit_import.options import ImportOptions
from tiersplit_import.pipeline import import_model
from tiersplit_import.rating import rate, with_accuracy
from tiersplit_import.segments import materialise

DETECTED = comparison("MeanAveragePrecision")
COUNT = 40


def loose(outputs, y):
    """A metric of this file's own: detections hit from half the overlap on."""
    return mean_average_precision(outputs, y, overlaps=[0.5])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The detector, imported with calibration data."""
    path = tmp_path_factory.mktemp("detector")
    (path / "m.onnx").write_bytes(detector())
    np.savez(path / "calibration.npz", x=pictures(16, seed=3)[0])
    options = ImportOptions(name="detector", calibration=path / "calibration.npz")
    return Bundle.open(import_model(str(path / "m.onnx"), path / "bundle", options).path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    x, y = pictures(COUNT)
    np.savez(tmp_path / "v.npz", x=x, y=y)
    return tmp_path / "v.npz"


def test_a_detector_that_finds_half_of_one_class_is_half_right_there(bundle: Bundle, tmp_path: Path) -> None:
    x, y = pictures(COUNT)
    right = y[y[:, :, 4] == 1]
    missing = np.tile(np.float32([[100, 100, 110, 110, 1]]), (COUNT, len(right), 1))
    missing[1:, :, 4], missing[0, :, 4] = -1, 1
    np.savez(tmp_path / "v.npz", x=x, y=np.concatenate([y, missing], axis=1))
    # Boxes begin a little late, so their overlap with the objects is below 0.90; of class 1 recall ends at 1/2.
    found = accuracy(bundle, tmp_path / "v.npz", comparison(f"{__name__}:loose"))
    assert found == pytest.approx((1 + 51 / 101) / 2)
    assert accuracy(bundle, tmp_path / "v.npz", DETECTED) < found


def test_a_plan_of_a_detector_is_rated_by_its_own_segments(bundle: Bundle, data: Path) -> None:
    layers = list(bundle.graph.index)
    widths = dict.fromkeys(layers[:1], (8, 8))
    plan = Plan({name: "edge" if name in widths else "cloud" for name in layers}, widths, RunForm.INT8)
    held = materialise(bundle.root, segments_of(bundle.graph, [plan]))
    rated = extend(held, rate(with_accuracy(held, data, DETECTED), [plan], data, DETECTED)).accuracies
    assert rated is not None
    assert rated.metric == "MeanAveragePrecision"
    assert 0.5 < rated.whole < 1
    assert rated.plans[plan.digest] == pytest.approx(rated.whole, abs=0.1)


def test_a_truth_that_does_not_fit_is_told_with_its_file(bundle: Bundle, tmp_path: Path) -> None:
    x, y = pictures(4)
    np.savez(tmp_path / "v.npz", x=x, y=y[:, :, :4])
    with pytest.raises(ModelError, match="x1, y1, x2, y2 and class") as caught:
        accuracy(bundle, tmp_path / "v.npz", DETECTED)
    assert caught.value.path == str(tmp_path / "v.npz")


def test_a_model_that_does_not_fit_the_metric_is_told_with_the_option(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", x=pictures(4)[0], y=np.zeros(4, int))
    with pytest.raises(ModelError, match="another metric") as caught:
        accuracy(bundle, tmp_path / "v.npz", comparison("Top1"))
    assert caught.value.path == OPTION

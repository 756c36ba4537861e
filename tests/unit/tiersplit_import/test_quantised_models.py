"""Quantised models: what is measured about layers, and what becomes of the model."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support import models, small_cnn
from tests.support.imports import import_copy
from tiersplit_bundle import Bundle
from tiersplit_core.errors import BundleError
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, Metric, Statistics
from tiersplit_import.calibrate import gather
from tiersplit_import.distortions import wanted_tensors
from tiersplit_import.evaluation import read_model, statistics_of
from tiersplit_import.kernels import kernels_of
from tiersplit_import.options import parse_input
from tiersplit_import.probe import run
from tiersplit_import.proto import session_of
from tiersplit_import.quantise import Memory, Widths, quantised_model
from tiersplit_import.sensitivity import Whole, measured

SAMPLES = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A network made without torch, and data for it."""
    bundle = Bundle.open(small_cnn.small_cnn(tmp_path_factory.mktemp("small") / "b"))
    model, constants = read_model(bundle)
    shape = (SAMPLES, 3, small_cnn.SIDE, small_cnn.SIDE)
    samples = {"x": np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    return Whole(onnx.shape_inference.infer_shapes(model), constants, bundle.graph, samples)


def _measured(whole: Whole, clip: Clip = Clip.MSE, metric: Metric = Metric.MSE) -> Statistics:
    seen = gather(whole.model, whole.constants, wanted_tensors(whole.model, whole.graph), whole.samples)
    return measured(whole, seen, clip, metric)


def _imported(name: str, folder: Path) -> tuple[Whole, Statistics]:
    shape = parse_input(models.INPUTS[name][0]).shape[1:]
    samples = np.random.default_rng(0).standard_normal((SAMPLES, *shape)).astype(np.float32)
    np.savez(folder / "data.npz", x=samples)
    import_copy(name, folder / "b", calibration=folder / "data.npz")
    bundle = Bundle.open(folder / "b")
    model, constants = read_model(bundle)
    return Whole(model, constants, bundle.graph, {bundle.graph.inputs[0].name: samples}), statistics_of(bundle)


def _apart(whole: Whole, found: Statistics, widths: Mapping[str, Widths], narrow: bool = True) -> float:
    """Squared error of the first output, relative to its mean square."""
    output = [whole.graph.output_names[0][1]]
    (own,) = run(session_of(whole.model, whole.constants), output, whole.samples)
    store = Memory()
    made = quantised_model(whole.model, whole.constants, found, widths, store, narrow)
    (got,) = run(session_of(made, {**whole.constants, **store.arrays}), output, whole.samples)
    return float(np.mean((own - got) ** 2) / np.mean(own**2))


@pytest.mark.parametrize("name", ["chain", "shuffle"])
def test_more_bits_stay_closer_to_the_model(name: str, tmp_path: Path) -> None:
    whole, found = _imported(name, tmp_path)
    apart = [_apart(whole, found, dict.fromkeys(whole.graph.index, Widths(bits, bits))) for bits in BIT_WIDTHS]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 1e-3
    assert apart[0] > 0.02
    assert _apart(whole, found, dict.fromkeys(whole.graph.index, Widths(8, 4)), narrow=False) < 2e-3


def test_layers_that_are_not_named_stay_as_they_are(whole: Whole) -> None:
    found = _measured(whole)
    assert _apart(whole, found, {}) == 0
    assert _apart(whole, found, {"fc": Widths(2, 32)}) > 0


def test_the_sizes_of_the_layers_are_those_of_their_constants(whole: Whole) -> None:
    found = _measured(whole)
    assert found.samples == SAMPLES
    kernels = kernels_of(whole.model)
    assert [kernel.layer for kernel in kernels] == ["conv1", "conv2", "fc"]
    for layer in whole.graph.layers:
        own = {kernel.weight for kernel in kernels if kernel.layer == layer.name}
        assert found[layer.name].weight_elements == sum(whole.constants[name].size for name in own)
        assert found[layer.name].weight_bytes(32) == layer.weight_bytes
        assert found[layer.name].output_elements == layer.elements


@pytest.mark.parametrize("clip", Clip)
def test_distortions_fall_with_the_bits_whatever_the_clip(clip: Clip, whole: Whole) -> None:
    found = _measured(whole, clip)
    assert found.clip is clip
    for layer in found.layers:
        errors = [layer.distortion(bits, bits) for bits in (*BIT_WIDTHS, 16)]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > errors[-1] == 0


def test_each_layers_distortion_is_the_mean_squared_error_of_its_values(whole: Whole) -> None:
    found = _measured(whole, Clip.MIN_MAX)
    session = session_of(whole.model, whole.constants)
    (scores,) = run(session, ["y"], whole.samples)
    low, high = min(scores.min(), 0), max(scores.max(), 0)
    step = (high - low) / 255
    wanted = np.mean((np.rint(scores / step) * step - scores) ** 2)
    assert found["fc"].activation_distortion[8] == pytest.approx(wanted, rel=0.2)
    assert found["fc"].ranges["y"][8] == pytest.approx((low, high))


@pytest.mark.parametrize("metric", [metric for metric in Metric if metric is not Metric.MSE])
def test_each_metric_finds_two_bits_worse_than_eight(metric: Metric, whole: Whole) -> None:
    found = _measured(whole, metric=metric)
    assert found.metric is metric
    coarse = sum(layer.distortion(2, 2) for layer in found.layers)
    assert coarse > 5 * sum(layer.distortion(8, 8) for layer in found.layers) >= 0
    assert found.input_distortion[2] > found.input_distortion[8] >= 0


def test_a_bundle_without_calibration_data_says_so(tmp_path: Path) -> None:
    bundle = Bundle.open(small_cnn.small_cnn(tmp_path / "b"))
    assert bundle.quantization is None
    with pytest.raises(BundleError, match="--calibration"):
        statistics_of(bundle)

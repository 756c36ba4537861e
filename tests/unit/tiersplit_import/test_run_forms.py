"""Segments in quantised forms: a stage computes with them what was evaluated, from fewer bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support import calibrated, small_cnn
from tests.support.calibrated import answers, samples
from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_bundle.layout import blob_file
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.evaluation import read_model, statistics_of
from tiersplit_import.net import Array
from tiersplit_import.probe import run
from tiersplit_import.proto import session_of
from tiersplit_import.quantise import Memory, Widths, quantised_model
from tiersplit_import.run_forms import VariantCutter
from tiersplit_import.segments import materialise
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort

Widened = Mapping[str, tuple[int, int]]
FORMS = [(RunForm.INT8, bits) for bits in (2, 4, 6, 8)] + [(RunForm.PACKED, bits) for bits in (2, 4, 8)]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A network whose second convolution is large enough to lie outside of its segment, with statistics."""
    monkeypatch.setattr(small_cnn, "CHANNELS", 32)
    return calibrated.calibrated(tmp_path / "b")


def _plan(bundle: Bundle, layers: Sequence[str], form: RunForm, widths: Widened) -> Plan:
    """The first layers on the edge, the rest in the cloud."""
    return Plan({name: "edge" if name in layers else "cloud" for name in bundle.graph.index}, widths, form)


def _head(bundle: Bundle, layers: Sequence[str], form: RunForm, widths: Widened) -> tuple[Bundle, BundleSegment]:
    """The segment of the first layers, cut."""
    spec = segments_of(bundle.graph, [_plan(bundle, layers, form, widths)])[0]
    assert spec.form is form
    held = materialise(bundle.root, [spec])
    return held, next(found for found in held.segments if found.id == spec.id)


def _run(bundle: Bundle, segment: BundleSegment, values: Mapping[str, Array]) -> dict[str, Array]:
    """As a stage runs it."""
    pool = SegmentPool(BlobStore(bundle.root), 1)
    info = SegmentInfo(segment.id, segment.digest, segment.weights, segment.inputs, segment.outputs)
    pool.load(info)
    found = pool.run(info, {name: to_ort(value) for name, value in values.items()})
    return {name: np.asarray(value.numpy()) for name, value in found.items()}


def _bytes(bundle: Bundle, segment: BundleSegment) -> int:
    return sum(bundle.descriptor(digest).size for digest in segment.weights)


@pytest.mark.parametrize(("form", "bits"), FORMS)
def test_a_stage_computes_what_was_evaluated(form: RunForm, bits: int, bundle: Bundle) -> None:
    layers = list(bundle.graph.index)
    held, variant = _head(bundle, layers, form, dict.fromkeys(layers, (bits, 8)))
    widths = dict.fromkeys(layers, Widths(bits, 8 if form is RunForm.INT8 else 32))
    model, constants = read_model(bundle)
    store = Memory()
    made = quantised_model(model, constants, statistics_of(bundle), widths, store, narrow=False)
    (wanted,) = run(session_of(made, {**constants, **store.arrays}), ["y"], {"x": samples(3)})
    got = _run(held, variant, {"x": samples(3)})["y"]
    np.testing.assert_allclose(got, wanted, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize(("form", "bits"), FORMS)
def test_weights_take_as_many_bits_as_they_have(form: RunForm, bits: int, bundle: Bundle) -> None:
    held, variant = _head(bundle, ["conv1", "conv2"], form, {"conv2": (bits, 8)})
    conv1, conv2 = statistics_of(bundle)["conv1"], statistics_of(bundle)["conv2"]
    assert abs(_bytes(held, variant) - conv1.weight_bytes(32) - conv2.weight_bytes(bits)) <= 64


def test_a_quantised_head_and_a_float_rest_stay_close_to_the_model(bundle: Bundle) -> None:
    names = list(bundle.graph.index)
    plan = _plan(bundle, names[:2], RunForm.INT8, dict.fromkeys(names[:2], (8, 8)))
    specs = segments_of(bundle.graph, [plan])
    held = materialise(bundle.root, specs)
    head, tail = (next(found for found in held.segments if found.id == spec.id) for spec in specs)
    values = {"x": samples(2)}
    crossing = _run(held, head, values)
    got = _run(held, tail, {name: crossing[name] for name in tail.inputs})["y"]
    wanted = answers(bundle, values["x"])
    apart = float(np.mean((got - wanted) ** 2) / np.mean(wanted**2))
    assert 0 < apart < 2e-3


def test_a_float_segment_stays_as_it_is_beside_its_variants(bundle: Bundle) -> None:
    before, as_it_is = _head(bundle, ["conv1", "conv2"], RunForm.FLOAT, {})
    held, variant = _head(before, ["conv1", "conv2"], RunForm.INT8, {"conv2": (4, 8)})
    assert variant.id != as_it_is.id
    assert held.segments == (as_it_is, variant)


def test_a_variant_that_is_there_is_not_cut_again(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    held, _ = _head(bundle, ["conv1", "conv2"], RunForm.INT8, {"conv2": (4, 8)})
    monkeypatch.setattr(VariantCutter, "blobs", lambda *_: pytest.fail("cut again"))
    again, _ = _head(held, ["conv1", "conv2"], RunForm.INT8, {"conv2": (4, 8)})
    assert again.digest == held.digest


def test_variants_that_are_the_same_file_are_found_by_each_of_their_names(bundle: Bundle) -> None:
    layers = list(bundle.graph.index)
    plans = [_plan(bundle, layers, RunForm.PACKED, {"pool": (bits, 32)}) for bits in (2, 4)]
    specs = segments_of(bundle.graph, plans)
    held = materialise(bundle.root, specs)
    assert [segment.id for segment in held.segments] == [spec.id for spec in specs]
    assert len({spec.id for spec in specs}) == 2
    assert len({segment.digest for segment in held.segments}) == 1


def test_a_variant_needs_calibration_data_and_its_absence_is_told(tmp_path: Path) -> None:
    bundle = Bundle.open(small_cnn.small_cnn(tmp_path / "b"))
    with pytest.raises(BundleError, match="--calibration"):
        _head(bundle, ["conv1"], RunForm.INT8, {"conv1": (8, 8)})
    assert Bundle.open(bundle.root).segments == ()


def test_damaged_packed_weights_are_refused_by_the_stage(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    held, variant = _head(bundle, ["conv1", "conv2"], RunForm.INT8, {"conv2": (4, 8)})
    for digest in variant.weights:
        path = blob_file(held.root, digest)
        data = path.read_bytes()
        if data.startswith(b"tiersplit.packed"):
            path.write_bytes(data[:-1])
    monkeypatch.setattr(BlobStore, "path", lambda self, digest: blob_file(held.root, digest))
    with pytest.raises(OperationError, match="packed weights"):
        _run(held, variant, {"x": samples(1)})

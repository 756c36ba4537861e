"""Segments in quantised forms: a stage computes with them what was evaluated, from fewer bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support import small_cnn
from tiersplit_bundle import Blob, Bundle, BundleSegment, extend, media
from tiersplit_bundle.layout import blob_file, canonical_json
from tiersplit_core.errors import OperationError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec, segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_import.calibrate import gather
from tiersplit_import.distortions import wanted_tensors
from tiersplit_import.evaluation import read_model, statistics_of
from tiersplit_import.net import Array
from tiersplit_import.probe import run
from tiersplit_import.proto import session_of
from tiersplit_import.quantise import Memory, Widths, quantised_model
from tiersplit_import.run_forms import variant_blobs
from tiersplit_import.segments import materialise
from tiersplit_import.sensitivity import Whole, measured
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort

FORMS = [(RunForm.INT8, bits) for bits in (2, 4, 6, 8)] + [(RunForm.PACKED, bits) for bits in (2, 4, 8)]


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """A network whose second convolution is large enough to lie outside of its segment, with statistics."""
    monkeypatch.setattr(small_cnn, "CHANNELS", 32)
    made = Bundle.open(small_cnn.small_cnn(tmp_path / "b"))
    model, constants = read_model(made)
    whole = Whole(onnx.shape_inference.infer_shapes(model), constants, made.graph, {"x": _inputs(8)})
    seen = gather(whole.model, constants, wanted_tensors(whole.model, made.graph), whole.samples)
    return extend(made, [Blob(media.QUANTIZATION, canonical_json(statistics_to_json(measured(whole, seen))))])


def _inputs(count: int) -> Array:
    shape = (count, 3, small_cnn.SIDE, small_cnn.SIDE)
    return np.random.default_rng(2).standard_normal(shape).astype(np.float32)


def _segment(bundle: Bundle, layers: Sequence[str]) -> SegmentSpec:
    """The segment of the first layers."""
    plan = Plan({name: "edge" if name in layers else "cloud" for name in bundle.graph.index})
    return segments_of(bundle.graph, [plan])[0]


def _variant(
    bundle: Bundle, segment: SegmentSpec, form: RunForm, widths: Mapping[str, Widths]
) -> tuple[Bundle, BundleSegment]:
    blobs = variant_blobs(bundle, segment, form, widths)
    held = extend(bundle, blobs)
    return held, next(found for found in held.segments if found.digest == blobs[-1].digest)


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
    segment = _segment(bundle, list(bundle.graph.index))
    widths = dict.fromkeys(bundle.graph.index, Widths(bits, 8))
    held, variant = _variant(bundle, segment, form, widths)
    if form is RunForm.PACKED:
        widths = dict.fromkeys(bundle.graph.index, Widths(bits, 32))
    model, constants = read_model(bundle)
    store = Memory()
    made = quantised_model(model, constants, statistics_of(bundle), widths, store, narrow=False)
    (wanted,) = run(session_of(made, {**constants, **store.arrays}), ["y"], {"x": _inputs(3)})
    got = _run(held, variant, {"x": _inputs(3)})["y"]
    np.testing.assert_allclose(got, wanted, atol=1e-4 * float(np.abs(wanted).max()))


@pytest.mark.parametrize(("form", "bits"), FORMS)
def test_weights_take_as_many_bits_as_they_have(form: RunForm, bits: int, bundle: Bundle) -> None:
    segment = _segment(bundle, ["conv1", "conv2"])
    held, variant = _variant(bundle, segment, form, {"conv2": Widths(bits, 8)})
    conv1, conv2 = statistics_of(bundle)["conv1"], statistics_of(bundle)["conv2"]
    assert abs(_bytes(held, variant) - conv1.weight_bytes(32) - conv2.weight_bytes(bits)) <= 64


def test_a_quantised_head_and_a_float_rest_stay_close_to_the_model(bundle: Bundle) -> None:
    names = list(bundle.graph.index)
    plan = Plan({name: "edge" if name in names[:2] else "cloud" for name in names})
    first, rest = segments_of(bundle.graph, [plan])
    held, head = _variant(materialise(bundle.root, [rest]), first, RunForm.INT8, dict.fromkeys(names, Widths(8, 8)))
    tail = next(found for found in held.segments if found.id == rest.id)
    values = {"x": _inputs(2)}
    crossing = _run(held, head, values)
    got = _run(held, tail, {name: crossing[name] for name in tail.inputs})["y"]
    model, constants = read_model(bundle)
    (wanted,) = run(session_of(model, constants), ["y"], values)
    apart = float(np.mean((got - wanted) ** 2) / np.mean(wanted**2))
    assert 0 < apart < 2e-3


def test_a_float_segment_stays_as_it_is_beside_its_variants(bundle: Bundle) -> None:
    segment = _segment(bundle, ["conv1", "conv2"])
    before = materialise(bundle.root, [segment])
    held, variant = _variant(before, segment, RunForm.INT8, {"conv2": Widths(4, 8)})
    assert variant.id != segment.id
    assert next(found for found in held.segments if found.id == segment.id) == before.segments[0]


def test_damaged_packed_weights_are_refused_by_the_stage(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = _segment(bundle, ["conv1", "conv2"])
    held, variant = _variant(bundle, segment, RunForm.INT8, {"conv2": Widths(4, 8)})
    for digest in variant.weights:
        path = blob_file(held.root, digest)
        data = path.read_bytes()
        if data.startswith(b"tiersplit.packed"):
            path.write_bytes(data[:-1])
    monkeypatch.setattr(BlobStore, "path", lambda self, digest: blob_file(held.root, digest))
    with pytest.raises(OperationError, match="packed weights"):
        _run(held, variant, {"x": _inputs(1)})

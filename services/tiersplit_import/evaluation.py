"""How often a model is right once layers have the bit widths of a plan."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, TensorProto, numpy_helper

from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.codec.quantize import QUANTISED_BITS, dequantize, quantize
from tiersplit_core.errors import BundleError
from tiersplit_core.quantization.packed import MAGIC, PACKED_NAME, is_packed, unpack_weights
from tiersplit_core.quantization.statistics import Statistics
from tiersplit_import.accuracy import forward_accuracy, session_accuracy
from tiersplit_import.metrics import Answers, Comparison
from tiersplit_import.net import Array
from tiersplit_import.probe import open_session, run, session_options
from tiersplit_import.proto import session_of
from tiersplit_import.quantise import Memory, Widths, quantised_model


def read_model(bundle: Bundle) -> tuple[ModelProto, dict[str, Array]]:
    """The whole canonical model, and its constants by name."""
    path = bundle.model_path
    model = onnx.load(str(path), load_external_data=False)
    return model, read_constants(model, path.parent)


def read_constants(model: ModelProto, blobs: Path) -> dict[str, Array]:
    """The constants of a model or segment whose large ones lie in `blobs`."""
    found = {}
    for tensor in model.graph.initializer:
        entry = TensorProto()
        entry.CopyFrom(tensor)
        found[tensor.name] = numpy_helper.to_array(entry, base_dir=str(blobs))
    return found


def statistics_of(bundle: Bundle) -> Statistics:
    """The bundle's statistics for quantisation.

    Raises:
        BundleError: it has none.
    """
    if bundle.quantization is None:
        raise BundleError("it was imported without calibration data; import it with --calibration", bundle.digest)
    return bundle.quantization


def quantised_accuracy(
    bundle: Bundle, widths: Mapping[str, Widths], path: Path, metric: Comparison, narrow: bool = True
) -> float:
    """How often a model is right whose layers have the bit widths of `widths`.

    Args:
        bundle: complete, imported with calibration data.
        widths: by layer; the others stay as they are.
        path: an .npz file with samples in `x` and the truth in `y`.
        metric: how answers are compared with the truth.
        narrow: as `quantised_model` has it.

    Raises:
        BundleError: the bundle has no statistics for quantisation.
        ModelError: the file or the model's outputs are something else.
    """
    model, constants = read_model(bundle)
    store = Memory()
    made = quantised_model(model, constants, statistics_of(bundle), widths, store, narrow)
    return session_accuracy(session_of(made, {**constants, **store.arrays}), bundle.graph, path, metric)


def segments_accuracy(
    bundle: Bundle, segments: Sequence[BundleSegment], crossing: Mapping[str, int], path: Path, metric: Comparison
) -> float:
    """How often the very segments that get deployed are right.

    Args:
        bundle: holds their files.
        segments: in running order, in whatever forms; together they run each layer once.
        crossing: transmission bits of the tensors that cross a link; each sample is rounded as a frame of its own.
        path: an .npz file with samples in `x` and the truth in `y`.
        metric: how answers are compared with the truth.

    Raises:
        BundleError: a file is missing or damaged.
        ModelError: the data or the outputs are something else.
    """
    sessions = [(segment, open_segment(bundle, segment)) for segment in segments]

    def forward(feeds: Mapping[str, Array]) -> Answers:
        values = {name: _crossed(value, crossing.get(name, 32)) for name, value in feeds.items()}
        for segment, session in sessions:
            found = run(session, list(segment.outputs), {name: values[name] for name in segment.inputs})
            pairs = zip(segment.outputs, found, strict=True)
            values |= {name: _crossed(value, crossing.get(name, 32)) for name, value in pairs}
        return {key: values[tensor] for key, tensor in bundle.graph.output_names}

    return forward_accuracy(forward, bundle.graph, path, metric)


def open_segment(bundle: Bundle, segment: BundleSegment) -> ort.InferenceSession:
    """A session of a segment in any form.

    Raises:
        BundleError: a blob is missing or damaged.
        ModelError: ONNX Runtime does not take it.
        StatisticsError: packed weights are malformed.
    """
    options = session_options()
    blobs = [bundle.blob_path(digest) for digest in segment.weights]
    packed = [(f"{PACKED_NAME}{blob.name}", blob.read_bytes()) for blob in blobs if _is_packed(blob)]
    if packed:
        values = [ort.OrtValue.ortvalue_from_numpy(unpack_weights(data)) for _, data in packed]
        options.add_external_initializers([name for name, _ in packed], values)
    return open_session(str(bundle.segment_path(segment)), options)


def _is_packed(blob: Path) -> bool:
    with blob.open("rb") as file:
        return is_packed(file.read(len(MAGIC)))


def _crossed(value: Array, bits: int) -> Array:
    """What arrives when each sample is sent with `bits` bits."""
    if bits not in QUANTISED_BITS or value.dtype.kind != "f":
        return value
    sent = [(row, quantize(row, bits)) for row in value]
    rows = [row if found is None else dequantize(found, value.dtype) for row, found in sent]
    return np.stack(rows).reshape(value.shape)

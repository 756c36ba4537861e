"""How often a model is right once layers have the bit widths of a plan."""

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, numpy_helper

from tiersplit_bundle import Bundle
from tiersplit_core.errors import BundleError
from tiersplit_core.quantization.statistics import Statistics
from tiersplit_import.accuracy import session_accuracy
from tiersplit_import.metrics import Comparison
from tiersplit_import.net import Array
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

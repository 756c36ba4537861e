"""The small network with statistics for quantisation, and validation data that it answers rightly."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from tests.support import small_cnn
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_import.calibrate import gather
from tiersplit_import.distortions import wanted_tensors
from tiersplit_import.evaluation import read_model
from tiersplit_import.net import Array
from tiersplit_import.probe import run
from tiersplit_import.proto import session_of
from tiersplit_import.sensitivity import Whole, measured


def calibrated(path: Path, x: Array | None = None) -> Bundle:
    """The network's bundle at `path`, made without torch, calibrated on `x` (None: a few of `samples`)."""
    return with_statistics(Bundle.open(small_cnn.small_cnn(path)), {"x": samples(8) if x is None else x})


def with_statistics(bundle: Bundle, given: Mapping[str, Array]) -> Bundle:
    """`bundle` with what a calibration on `given` finds out."""
    model, constants = read_model(bundle)
    whole = Whole(onnx.shape_inference.infer_shapes(model), constants, bundle.graph, given)
    seen = gather(whole.model, constants, wanted_tensors(whole.model, bundle.graph), whole.samples)
    return extend(bundle, [Blob(media.QUANTIZATION, canonical_json(statistics_to_json(measured(whole, seen))))])


def samples(count: int, seed: int = 2) -> Array:
    """Pictures of noise in various colours, so that the network finds various classes in them."""
    draw = np.random.default_rng(seed)
    noise = draw.standard_normal((count, 3, small_cnn.SIDE, small_cnn.SIDE))
    return (noise + draw.normal(0, 4, (count, 3, 1, 1))).astype(np.float32)


def answers(bundle: Bundle, x: Array) -> Array:
    """The network's scores."""
    model, constants = read_model(bundle)
    (found,) = run(session_of(model, constants), ["y"], {"x": x})
    return found


def validation(bundle: Bundle, path: Path, count: int = 40, seed: int = 5) -> Path:
    """An .npz file whose labels are the network's own answers."""
    x = samples(count, seed)
    np.savez(path, x=x, y=answers(bundle, x).argmax(axis=1))
    return path

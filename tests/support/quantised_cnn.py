"""A small residual network as a bundle with statistics for quantisation and with its quantised forms, without torch."""

import numpy as np
import onnx

from tests.support import small_cnn
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_import.calibrate import gather
from tiersplit_import.cutter import Cutter
from tiersplit_import.distortions import wanted_tensors
from tiersplit_import.evaluation import read_model
from tiersplit_import.run_forms import VariantCutter, whole_forms
from tiersplit_import.sensitivity import Whole, measured


def images(count, seed=2):
    """Inputs of the network, shape (count, 3, side, side)."""
    shape = (count, 3, small_cnn.SIDE, small_cnn.SIDE)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def quantised_cnn(path):
    """The bundle at `path`, calibrated on eight random images."""
    bundle = Bundle.open(small_cnn.small_cnn(path))
    model, constants = read_model(bundle)
    whole = Whole(onnx.shape_inference.infer_shapes(model), constants, bundle.graph, {"x": images(8)})
    seen = gather(whole.model, constants, wanted_tensors(whole.model, bundle.graph), whole.samples)
    found = measured(whole, seen)
    known = extend(bundle, [Blob(media.QUANTIZATION, canonical_json(statistics_to_json(found)))])
    return extend(known, whole_forms(variant_cutter(known), known.graph))


def variant_cutter(bundle):
    """What cuts segments of the bundle in quantised forms."""
    model = onnx.load(str(bundle.model_path), load_external_data=False)
    return VariantCutter(Cutter(model, bundle.graph), bundle.quantization, bundle.model_path.parent)

"""A small residual network as a bundle with statistics for quantisation and with its quantised forms, without torch."""

import numpy as np
import onnx

from tests.support import small_cnn
from tests.support.calibrated import calibrated
from tiersplit_bundle import extend
from tiersplit_import.cutter import Cutter
from tiersplit_import.run_forms import VariantCutter, whole_forms


def images(count, seed=2):
    """Inputs of the network, shape (count, 3, side, side)."""
    shape = (count, 3, small_cnn.SIDE, small_cnn.SIDE)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def quantised_cnn(path):
    """The bundle at `path`, calibrated on eight random images."""
    known = calibrated(path, images(8))
    return extend(known, whole_forms(variant_cutter(known), known.graph))


def variant_cutter(bundle):
    """What cuts segments of the bundle in quantised forms."""
    model = onnx.load(str(bundle.model_path), load_external_data=False)
    return VariantCutter(Cutter(model, bundle.graph), bundle.quantization, bundle.model_path.parent)

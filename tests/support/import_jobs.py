"""The import room's Jobs in tests: the registry as they see it, and validation data for their small model."""

import numpy as np
import onnxruntime as ort

from tests.support.onnx_files import CLASSES, SIDE
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry

PLAIN = RegistryAccess(plain_http=True)


def registry(running, repository, tag):
    """A repository of the running registry."""
    return Registry(Reference(running.host, repository, tag), PLAIN)


def validation_data(onnx_file, path, wrong):
    """Samples with the model's own answers as labels, `wrong` of ten changed."""
    session = ort.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(3).normal(size=(10, 3, SIDE, SIDE)).astype(np.float32)
    y = session.run(None, {"image": x})[0].argmax(axis=1)
    y[:wrong] = (y[:wrong] + 1) % CLASSES
    np.savez(path, x=x, y=y)

"""What an imported plate reader answers, and how good that is: counted on the very network that is served."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from examples.plates.reading import accuracy, texts_of
from examples.plates.scene import Scenes
from tiersplit_bundle import Bundle

_BATCH = 20
_READER = "reader."
"""How the names of the reader's layers begin: they are those of the module's parts."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one reader comes to.

    Attributes:
        accuracy: share of the frames whose whole plate was read rightly.
        overlap: mean intersection over union of found and true boxes, tilt left out, where there is a plate.
        weight_bytes: of the whole network.
        reader_bytes: of its reader alone.
    """

    accuracy: float
    overlap: float
    weight_bytes: int
    reader_bytes: int


def answers(bundle: Bundle, frames: NDArray[np.uint8]) -> Mapping[str, NDArray[np.float32]]:
    """The undivided network's outputs by name."""
    session = ort.InferenceSession(str(bundle.model_path), providers=["CPUExecutionProvider"])
    names = dict(bundle.graph.output_names)
    given = bundle.graph.inputs[0].name
    parts = [session.run([*names.values()], {given: frames[i : i + _BATCH]}) for i in range(0, len(frames), _BATCH)]
    return {name: np.concatenate(part) for name, part in zip(names, zip(*parts, strict=True), strict=True)}


def result_of(bundle: Bundle, found: Mapping[str, NDArray[np.float32]], scenes: Scenes) -> Result:
    """How good the answers `found` to the frames of `scenes` are."""
    layers = bundle.graph.layers
    shown = scenes.boxes[:, 2] > 0
    return Result(
        accuracy=accuracy(texts_of(found["characters"], found["score"]), scenes.texts),
        overlap=float(overlaps(found["box"][shown], scenes.boxes[shown]).mean()),
        weight_bytes=sum(layer.weight_bytes for layer in layers),
        reader_bytes=sum(layer.weight_bytes for layer in layers if layer.name.startswith(_READER)),
    )


def overlaps(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of pairs of boxes (N×5, see `Scenes`), as if none were tilted."""
    low = np.maximum(one[:, :2] - one[:, 2:4] / 2, other[:, :2] - other[:, 2:4] / 2)
    high = np.minimum(one[:, :2] + one[:, 2:4] / 2, other[:, :2] + other[:, 2:4] / 2)
    shared = (high - low).clip(0).prod(1)
    either: NDArray[np.float32] = shared / (one[:, 2:4].prod(1) + other[:, 2:4].prod(1) - shared)
    return either

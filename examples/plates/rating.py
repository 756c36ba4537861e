"""How often plates are read rightly: the metric of this example's validation data."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from examples.plates.plate import CHARACTERS
from examples.plates.reading import accuracy, texts_of


def share_read(outputs: Mapping[str, NDArray[np.float32]], y: NDArray[np.int64]) -> float:
    """The share of frames whose whole plate was read rightly.

    Args:
        outputs: the network's outputs by name.
        y: `Scenes.characters` of the same frames.
    """
    said = ["".join(CHARACTERS[i] for i in row if i >= 0) for row in y]
    return accuracy(texts_of(outputs["characters"], outputs["score"]), said)

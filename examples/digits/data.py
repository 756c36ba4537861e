"""Real handwritten digits as a camera would send them: colour pictures of 96×96 bytes.

The pictures are the 1797 of scikit-learn's `load_digits` (shipped in the package, so nothing is downloaded), 8×8 grey
values scaled up twelve times.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

SIDE = 96
"""Height and width of a picture."""
TEST_PICTURES = 360
"""How many pictures are kept for the test, the same share of each digit."""
_INK = 255 / 16  # load_digits counts ink from 0 to 16


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures with what they show.

    Attributes:
        x: N×3×96×96 bytes.
        y: N digits.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]


def load_pictures(seed: int = 0) -> tuple[Pictures, Pictures]:
    """The pictures to train on and the pictures to test with, always the same for one seed."""
    digits = load_digits()
    grey = zoom(digits.images, (1, SIDE / 8, SIDE / 8), order=1, mode="nearest", grid_mode=True)
    x = np.repeat((grey * _INK).round().astype(np.uint8)[:, None], 3, axis=1)
    test = _every_digit_alike(digits.target, TEST_PICTURES, np.random.default_rng(seed))
    train = np.setdiff1d(np.arange(len(x)), test)
    y = digits.target.astype(np.int64)
    return Pictures(x[train], y[train]), Pictures(x[test], y[test])


def _every_digit_alike(y: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of `count` pictures, equally many of each digit, in random order."""
    digits = np.unique(y)
    chosen = [rng.choice(np.flatnonzero(y == digit), count // len(digits), replace=False) for digit in digits]
    return rng.permutation(np.concatenate(chosen))

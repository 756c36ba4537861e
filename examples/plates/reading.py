"""From the network's numbers to plates, and how many of them are right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from examples.plates.plate import CHARACTERS

Floats = NDArray[np.floating[Any]]


def texts_of(characters: Floats, score: Floats) -> list[str]:
    """What the plates say.

    Args:
        characters: N×columns×classes logits; the last class is a column without a character.
        score: N×1 logits; below 0 there is no plate, and nothing is read.
    """
    return [_text(columns) if seen > 0 else "" for columns, seen in zip(characters, score[:, 0], strict=True)]


def _text(columns: Floats) -> str:
    """Each run of columns that likelier have a character than none is one character: the one that they like best.

    Between two characters there are always columns without one, so columns that waver between S and 5 are not both.
    """
    likely = softmax(columns, axis=-1)
    written = likely[:, -1] < 0.5
    runs = np.split(likely[:, :-1], np.flatnonzero(np.diff(written)) + 1)
    first = 0 if written[0] else 1
    return "".join(CHARACTERS[run.sum(0).argmax()] for run in runs[first::2])


def accuracy(read: Sequence[str], said: Sequence[str]) -> float:
    """The share of frames whose whole plate was read rightly; nothing is right where there is none."""
    return sum(one == other for one, other in zip(read, said, strict=True)) / len(said)

"""From the network's numbers to plates, and how many of them are right."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.plates.plate import CHARACTERS

Floats = NDArray[np.floating[Any]]


def texts_of(characters: Floats, score: Floats) -> list[str]:
    """What the plates say.

    Args:
        characters: N×columns×classes logits; the last class is a column without a character.
        score: N×1 logits; below 0 there is no plate, and nothing is read.
    """
    best = characters.argmax(-1)
    return [_text(row) if seen > 0 else "" for row, seen in zip(best.tolist(), score[:, 0], strict=True)]


def _text(columns: Sequence[int]) -> str:
    """Neighbouring columns of one class are one character; equal characters have a column without one in between."""
    return "".join(CHARACTERS[best] for best, _ in groupby(columns) if best < len(CHARACTERS))


def accuracy(read: Sequence[str], said: Sequence[str]) -> float:
    """The share of frames whose whole plate was read rightly; nothing is right where there is none."""
    return sum(one == other for one, other in zip(read, said, strict=True)) / len(said)

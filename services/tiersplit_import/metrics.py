"""What accuracy is: how a model's answers are compared with the truth of the validation data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tiersplit_api.v1alpha1.model import Metric
from tiersplit_core.errors import ModelError
from tiersplit_import.net import Array

OPTION = "--metric"
"""Stands in an error's `path` where the metric does not fit the model."""

Answers = Mapping[str, Array]
"""The model's outputs of a batch, in the model's order, by the names that clients call them."""


class Tally(Protocol):
    """What is known after some of the samples."""

    def add(self, answers: Answers, truth: Array) -> None:
        """Compare the answers of a batch with their part of `y`.

        Raises:
            ModelError: they are no answers of the kind that the metric compares.
        """

    def value(self) -> float:
        """The metric over all that was added; larger is better."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric, ready to compare answers.

    Attributes:
        name: the metric's word in the manifest, or the user's function as `module:callable`.
        start: checks the whole `y` of the validation data and begins to compare.
    """

    name: str
    start: Callable[[Array], Tally]


def comparison(name: str) -> Comparison:
    """The metric that a person names.

    Args:
        name: as `Comparison.name`.

    Raises:
        ModelError: there is no such metric.
    """
    if name in _STARTS:
        return Comparison(name, _STARTS[name])
    raise ModelError(f"{name!r} is no metric; write one of {', '.join(_STARTS)}", OPTION)


@dataclass
class _Top:
    """The share of samples whose label is among the `best` classes with the highest scores."""

    best: int
    right: int = 0
    count: int = 0

    def add(self, answers: Answers, truth: Array) -> None:
        """See `Tally`."""
        scores = next(iter(answers.values()))
        if scores.ndim != 2 or len(scores) != len(truth):
            reason = f"the first output has shape {scores.shape}; accuracy needs scores of (batch, classes)"
            raise ModelError(reason, OPTION)
        highest = np.argsort(-scores, axis=1, kind="stable")[:, : self.best]
        self.right += int(np.sum(highest == truth[:, None]))
        self.count += len(truth)

    def value(self) -> float:
        """See `Tally`."""
        return self.right / self.count


def _top(best: int) -> Callable[[Array], Tally]:
    def start(truth: Array) -> Tally:
        if truth.ndim != 1 or truth.dtype.kind not in "iu":
            raise ModelError(f"`y` has shape {truth.shape} of {truth.dtype}; write one whole number per sample")
        return _Top(best)

    return start


_STARTS: Mapping[str, Callable[[Array], Tally]] = {Metric.TOP1.value: _top(1), Metric.TOP5.value: _top(5)}

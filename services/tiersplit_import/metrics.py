"""What accuracy is: how a model's answers are compared with the truth of the validation data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tiersplit_api.v1alpha1.model import Metric
from tiersplit_core.errors import ModelError
from tiersplit_core.units import format_bytes
from tiersplit_import.callables import code_digest, find_callable
from tiersplit_import.detections import OVERLAPS, AveragePrecision, Objects
from tiersplit_import.net import Array

OPTION = "--metric"
"""Stands in an error's `path` where the metric does not fit the model; where `y` is at fault, nothing stands there."""

IGNORED = 255
"""Pixels with this label are not compared."""

NOTHING = -1
"""Rows of `y` with this class stand where a picture has fewer objects than others."""

_DETECTED = ("boxes", "scores", "labels")
_MOST_BYTES = 2**30

Answers = Mapping[str, Array]
"""The model's outputs of a batch, in the model's order, by the names that clients call them."""

Function = Callable[[dict[str, Array], Array], Any]
"""The user's own metric: a number from all answers, joined along the batch, and `y`."""


class Tally(Protocol):
    """What is known after some of the samples."""

    def add(self, answers: Answers, truth: Array) -> None:
        """Compare the answers of a batch with their part of `y`.

        Raises:
            ModelError: they are no answers of the kind that the metric compares.
        """

    def value(self) -> float:
        """The metric over all that was added; larger is better.

        Raises:
            ModelError: the user's own function fails.
        """


Start = Callable[[Array], Tally]
"""Begins to compare; raises `ModelError` where `y` is not what the metric compares with."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A metric, ready to compare answers.

    Attributes:
        name: the metric's word in the manifest, or the user's own function as `module:callable`.
        start: checks the whole `y` of the validation data and begins to compare.
        code: digest of the code of the user's own function, which may change under the same name; else empty.
    """

    name: str
    start: Start
    code: str = ""


def comparison(name: str) -> Comparison:
    """The metric that a person names.

    Args:
        name: as `Comparison.name`.

    Raises:
        ModelError: there is no such metric or function.
    """
    if name in _STARTS:
        return Comparison(name, _STARTS[name])
    words = ", ".join(_STARTS)
    if ":" not in name:
        raise ModelError(f"{name!r} is no metric; write one of {words}, or MODULE:CALLABLE of your own", OPTION)
    try:
        function = find_callable(name, "compares outputs with y", "plates.rating:share_read")
    except ModelError as error:
        raise ModelError(f"{name}: {error.reason}", OPTION) from error
    return Comparison(name, lambda _: _Own(name, function), code_digest(name, function))


@dataclass
class _Top:
    """The share of samples whose label is among the `best` classes with the highest scores."""

    best: int
    right: int = 0
    count: int = 0

    def add(self, answers: Answers, truth: Array) -> None:
        """See `Tally`."""
        scores = _first(answers, 2, "scores of (batch, classes)")
        if scores.shape[1] <= self.best:
            reason = f"among {self.best} of {scores.shape[1]} classes the label always is; compare fewer"
            raise ModelError(reason, OPTION)
        _refuse_classes(truth, scores.shape[1])
        highest = np.argsort(-scores, axis=1, kind="stable")[:, : self.best]
        self.right += int(np.sum(highest == truth[:, None]))
        self.count += len(truth)

    def value(self) -> float:
        """See `Tally`."""
        return self.right / self.count


def _top(best: int) -> Start:
    def start(truth: Array) -> Tally:
        if truth.ndim != 1 or truth.dtype.kind not in "iu":
            raise ModelError(f"`y` has shape {truth.shape} of {truth.dtype}; write one whole number per sample")
        return _Top(best)

    return start


@dataclass
class _MeanIou:
    """The mean, over the classes that are said or answered somewhere, of intersection over union of their pixels."""

    both: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    either: Array = field(default_factory=lambda: np.zeros(0, np.int64))

    def add(self, answers: Answers, truth: Array) -> None:
        """See `Tally`."""
        scores = _first(answers, 4, "scores of (batch, classes, height, width)")
        classes = scores.shape[1]
        if scores.shape[2:] != truth.shape[1:]:
            reason = f"`y` has pictures of {truth.shape[1:]} pixels, the first output of {scores.shape[2:]}"
            raise ModelError(f"{reason}; write labels of the output's height and width")
        said = truth != IGNORED
        _refuse_classes(truth[said], classes)
        label, answer = truth[said].astype(np.int64), scores.argmax(axis=1)[said]
        both, labels, found = (np.bincount(v, minlength=classes) for v in (label[label == answer], label, answer))
        self.both = both if not self.both.size else self.both + both
        either = labels + found - both
        self.either = either if not self.either.size else self.either + either

    def value(self) -> float:
        """See `Tally`."""
        there = self.either > 0
        return float(np.mean(self.both[there] / self.either[there]))


def _mean_iou(truth: Array) -> Tally:
    if truth.ndim != 3 or truth.dtype.kind not in "iu":
        reason = f"`y` has shape {truth.shape} of {truth.dtype}"
        raise ModelError(f"{reason}; write a whole number per pixel, (samples, height, width), {IGNORED} for none")
    if np.all(truth == IGNORED):
        raise ModelError(f"every pixel of `y` is {IGNORED}, which is not compared; write the classes of some")
    return _MeanIou()


def mean_average_precision(outputs: Answers, y: Array, overlaps: Sequence[float] = OVERLAPS) -> float:
    """The metric `MeanAveragePrecision`, for functions that want other overlaps.

    Args:
        outputs: a detector's `boxes` (n, k, 4), `scores` (n, k) and `labels` (n, k).
        y: rows of x1, y1, x2, y2 and class, (n, m, 5).
        overlaps: intersections over union from which on a detection hits.

    Raises:
        ModelError: they are something else.
    """
    tally = _detections(y, overlaps)
    tally.add(outputs, y)
    return tally.value()


@dataclass
class _Detections:
    """Mean average precision of a detector."""

    precision: AveragePrecision

    def add(self, answers: Answers, truth: Array) -> None:
        """See `Tally`."""
        boxes, scores, labels = _detected(answers)
        for i, rows in enumerate(truth):
            # Also false where the score is no number.
            there, objects = scores[i] > 0, rows[rows[:, 4] != NOTHING]
            found = Objects(boxes[i][there].astype(np.float64), labels[i][there].astype(np.int64))
            self.precision.add(found, scores[i][there], Objects(objects[:, :4], objects[:, 4].astype(np.int64)))

    def value(self) -> float:
        """See `Tally`."""
        return self.precision.mean()


def _detected(answers: Answers) -> tuple[Array, Array, Array]:
    missing = [name for name in _DETECTED if name not in answers]
    if missing:
        reason = f"the model's outputs are {', '.join(answers)}; this metric needs {', '.join(_DETECTED)}"
        raise ModelError(f"{reason}: name them so, or write a function of your own", OPTION)
    boxes, scores, labels = (answers[name] for name in _DETECTED)
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not boxes.shape[:2] == scores.shape == labels.shape:
        shapes = f"boxes, scores and labels have shapes {boxes.shape}, {scores.shape} and {labels.shape}"
        raise ModelError(f"{shapes}; this metric needs (batch, k, 4), (batch, k) and (batch, k)", OPTION)
    return boxes, scores, labels


def _detections(truth: Array, overlaps: Sequence[float] = OVERLAPS) -> Tally:
    if truth.ndim != 3 or truth.shape[2] != 5 or truth.dtype.kind not in "iuf":
        reason = f"`y` has shape {truth.shape} of {truth.dtype}; write (samples, objects, 5) numbers"
        raise ModelError(f"{reason}: x1, y1, x2, y2 and class, class {NOTHING} where there are fewer objects")
    objects = truth[truth[:, :, 4] != NOTHING]
    if not len(objects):
        raise ModelError("`y` has no object; write x1, y1, x2, y2 and class of some")
    classes = objects[:, 4]
    if not np.all((classes >= 0) & (classes == np.floor(classes))):
        raise ModelError(f"classes in `y` are whole numbers from 0, and {NOTHING} where there is no object")
    if not np.all(objects[:, :2] < objects[:, 2:4]):
        raise ModelError("a box in `y` ends before it begins; write its corners x1, y1, x2, y2, no width and height")
    labels, counts = np.unique(classes.astype(np.int64), return_counts=True)
    return _Detections(AveragePrecision(dict(zip(labels.tolist(), counts.tolist(), strict=True)), overlaps))


@dataclass
class _Own:
    """What the user's own function says about all answers together."""

    name: str
    function: Function
    answers: list[Answers] = field(default_factory=list)
    truth: list[Array] = field(default_factory=list)
    held: int = 0

    def add(self, answers: Answers, truth: Array) -> None:
        """See `Tally`."""
        self.held += sum(value.nbytes for value in answers.values())
        if self.held > _MOST_BYTES:
            most = format_bytes(_MOST_BYTES)
            raise ModelError(f"the answers to all samples take more than {most}, too much for a function; give fewer")
        self.answers.append(answers)
        self.truth.append(truth)

    def value(self) -> float:
        """See `Tally`."""
        outputs = {key: np.concatenate([answers[key] for answers in self.answers]) for key in self.answers[0]}
        try:
            found = float(self.function(outputs, np.concatenate(self.truth)))
        except Exception as error:
            raise ModelError(f"{self.name} raised {type(error).__name__}: {error}", OPTION) from error
        if not np.isfinite(found):
            raise ModelError(f"{self.name} returned {found}; return a finite number, larger where better", OPTION)
        return found


def _first(answers: Answers, axes: int, what: str) -> Array:
    name, scores = next(iter(answers.items()))
    if scores.ndim != axes or not scores.size:
        reason = f"the first output, {name!r}, has shape {scores.shape}; this metric needs {what}"
        raise ModelError(f"{reason}; write another metric, or a function of your own", OPTION)
    return scores


def _refuse_classes(labels: Array, classes: int) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ModelError(f"`y` has the class {wrong}; the model's classes are 0 to {classes - 1}")


_STARTS: Mapping[str, Start] = {
    Metric.TOP1.value: _top(1),
    Metric.TOP5.value: _top(5),
    Metric.MEAN_AVERAGE_PRECISION.value: _detections,
    Metric.MEAN_IOU.value: _mean_iou,
}

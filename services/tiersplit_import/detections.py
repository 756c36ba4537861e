"""Average precision of detections, by COCO's rules.

In each picture the detections of a class, best score first, take the object of that class which they overlap most and
which none before them took (Everingham et al., "The PASCAL Visual Object Classes (VOC) challenge", IJCV 2010). Of the
precisions at 101 recalls the mean is taken, over them, over ten overlaps and over the classes (Lin et al., "Microsoft
COCO: common objects in context", ECCV 2014, and its evaluation code).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tiersplit_import.net import Array

OVERLAPS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""Intersections over union from which on a detection hits an object."""

_RECALLS = np.linspace(0, 1, 101)
_MOST = 100
"""Detections of one class in one picture that count: those with the highest scores."""


@dataclass(frozen=True, slots=True)
class Objects:
    """What is in a picture.

    Attributes:
        boxes: two corners each, x1, y1, x2, y2, shape (n, 4).
        labels: classes, whole numbers, shape (n,).
    """

    boxes: Array
    labels: Array


@dataclass
class AveragePrecision:
    """What is known of a detector after some pictures.

    Attributes:
        counts: objects per class in all pictures together, of which there are more than none.
        overlaps: as `OVERLAPS`.
    """

    counts: dict[int, int]
    overlaps: Sequence[float] = OVERLAPS
    _scores: list[Array] = field(default_factory=list)
    _labels: list[Array] = field(default_factory=list)
    _hits: list[Array] = field(default_factory=list)

    def add(self, found: Objects, scores: Array, truth: Objects) -> None:
        """See one more picture.

        Args:
            found: the detections.
            scores: of each of them, shape (n,).
            truth: the objects.
        """
        order = np.argsort(-scores, kind="stable")
        order = order[_rank_in_class(found.labels[order]) < _MOST]
        kept = Objects(found.boxes[order], found.labels[order])
        self._scores.append(scores[order])
        self._labels.append(kept.labels)
        self._hits.append(hits(kept, truth, self.overlaps))

    def mean(self) -> float:
        """Over overlaps, classes and recalls."""
        labels, scores, all_hits = map(np.concatenate, (self._labels, self._scores, self._hits))
        order = np.argsort(-scores, kind="stable")
        found = [all_hits[order[labels[order] == label]] for label in self.counts]
        return float(np.mean([_precisions(*pair) for pair in zip(found, self.counts.values(), strict=True)]))


def hits(found: Objects, truth: Objects, overlaps: Sequence[float]) -> Array:
    """Which detections hit an object.

    Args:
        found: detections of one picture, best first.
        truth: the picture's objects.
        overlaps: intersections over union from which on a detection hits.

    Returns:
        Truth values of shape (detections, overlaps).
    """
    shared = np.where(found.labels[:, None] == truth.labels, intersection_over_union(found.boxes, truth.boxes), 0.0)
    least, every = np.asarray(overlaps), np.arange(len(overlaps))
    free = np.ones((len(least), len(truth.labels)), bool)
    hit = np.zeros((len(shared), len(least)), bool)
    for i in np.flatnonzero((shared >= least.min()).any(axis=1)):
        left = np.where(free, shared[i], 0.0)
        # Of objects that are overlapped alike, COCO's evaluation takes the last.
        best = left.shape[1] - 1 - left[:, ::-1].argmax(axis=1)
        hit[i] = left[every, best] >= least
        free[every[hit[i]], best[hit[i]]] = False
    return hit


def intersection_over_union(left: Array, right: Array) -> Array:
    """Of each box with each other: (n, 4) and (m, 4) to (n, m); 0 of boxes without an area."""
    low, high = np.maximum(left[:, None, :2], right[None, :, :2]), np.minimum(left[:, None, 2:], right[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0), axis=-1)
    either = _areas(left)[:, None] + _areas(right)[None, :] - both
    shared: Array = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shared


def _areas(boxes: Array) -> Array:
    areas: Array = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    return areas


def _rank_in_class(labels: Array) -> Array:
    """How many of the same class stand before each."""
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    ranks = np.empty(len(labels), np.int64)
    ranks[order] = np.arange(len(labels)) - np.repeat(starts, counts)
    return ranks


def _precisions(hit: Array, count: int) -> Array:
    """The precision at each recall, (overlaps, recalls), of hits (detections, overlaps), best first."""
    right = np.cumsum(hit.T, axis=1)
    precision = right / np.arange(1, len(hit) + 1)
    # The precision at a recall is the best one at that recall or more; 0 where the recall is never reached.
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([precision, np.zeros((len(right), 1))], axis=1)
    at = np.stack([np.searchsorted(row / count, _RECALLS) for row in right])
    read: Array = np.take_along_axis(padded, at, axis=1)
    return read

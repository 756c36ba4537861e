"""Mean average precision the slow way: one class, one overlap, one detection, one object at a time."""

from collections.abc import Sequence

import numpy as np

RECALLS = np.linspace(0, 1, 101).tolist()
MOST = 100

Box = Sequence[float]
Detection = tuple[Box, float, int]
"""Box, score and class."""
Object = tuple[Box, int]
Picture = tuple[Sequence[Detection], Sequence[Object]]


def mean_average_precision(pictures: Sequence[Picture], overlaps: Sequence[float]) -> float:
    """Over the classes of all objects, and over overlaps."""
    classes = sorted({label for _, objects in pictures for _, label in objects})
    return float(np.mean([average_precision(pictures, label, least) for label in classes for least in overlaps]))


def average_precision(pictures: Sequence[Picture], label: int, least: float) -> float:
    """Of one class, where detections hit from one overlap on."""
    found = [pair for picture in pictures for pair in hits(picture, label, least)]
    found.sort(key=lambda pair: -pair[0])
    objects = sum(own == label for _, objects in pictures for _, own in objects)
    curve, right = [], 0
    for i, (_, hit) in enumerate(found):
        right += hit
        curve.append((right / objects, right / (i + 1)))
    best = [max((precision for at, precision in curve if at >= recall), default=0.0) for recall in RECALLS]
    return sum(best) / len(best)


def hits(picture: Picture, label: int, least: float) -> list[tuple[float, bool]]:
    """Score of each detection of the class, and whether it hits an object that none before it took."""
    detections = sorted((one for one in picture[0] if one[2] == label), key=lambda one: -one[1])[:MOST]
    objects = [box for box, own in picture[1] if own == label]
    taken: set[int] = set()
    found = []
    for box, score, _ in detections:
        free = [(overlap(box, other), i) for i, other in enumerate(objects) if i not in taken]
        shared, best = max(free, default=(0.0, -1))
        if shared >= least:
            taken.add(best)
        found.append((score, shared >= least))
    return found


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    either = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - both
    return both / either

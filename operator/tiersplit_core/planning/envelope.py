"""The lower envelope of planes over the unit box: its value and its vertices.

Eisner and Severance, "Mathematical techniques for efficient record segmentation in large shared databases", JACM 1976,
find a concave piecewise linear function exactly by asking for it at the vertices of what is known of it. One parameter:
the crossings of the lines. Two: every plane's polygon, clipped from the box. More: Qhull (Barber et al. 1996).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SAME = 1e-12


def values(planes: Floats, points: Floats) -> Floats:
    """Every plane at every point.

    Args:
        planes: constant and slopes per plane, shape (P, d + 1).
        points: shape (N, d).

    Returns:
        Shape (N, P).
    """
    return np.asarray(planes[:, 0] + points @ planes[:, 1:].T)


def vertices(planes: Floats) -> Floats:
    """The vertices of the envelope's cells over [0, 1]^d, corners of the box included, shape (N, d)."""
    dimensions = planes.shape[1] - 1
    if dimensions == 0:
        return np.zeros((1, 0))
    if dimensions == 1:
        return _vertices_of_lines(planes)
    if dimensions == 2:
        return np.unique(np.concatenate([polygon for polygon in polygons(planes) if len(polygon)]), axis=0)
    return _vertices_by_qhull(planes)


def polygons(planes: Floats) -> list[Floats]:
    """For planes over [0, 1]²: the polygon in which each is the lowest, shape (corners, 2), empty where it never is."""
    box = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    found = []
    for i, plane in enumerate(planes):
        polygon = box
        for j, other in enumerate(planes):
            if j == i or not len(polygon):
                continue
            difference = plane - other
            scale = max(abs(plane[0]), np.abs(plane[1:]).max(), 1e-300)
            # Of planes that are equal everywhere the first has the polygon.
            if np.abs(difference).max() <= _SAME * scale:
                polygon = polygon[:0] if j < i else polygon
            else:
                polygon = _clip(polygon, difference)
        found.append(polygon)
    return found


def _clip(polygon: Floats, difference: Floats) -> Floats:
    """The part of a convex polygon where `difference` is at most 0 (Sutherland and Hodgman 1974)."""
    heights = difference[0] + polygon @ difference[1:]
    kept = []
    for i, (point, height) in enumerate(zip(polygon, heights, strict=True)):
        before, lower = polygon[i - 1], heights[i - 1]
        if (height > 0) != (lower > 0) and height != lower:
            kept.append(before + (point - before) * (lower / (lower - height)))
        if height <= 0:
            kept.append(point)
    return np.array(kept).reshape(-1, 2)


def _vertices_of_lines(lines: Floats) -> Floats:
    at = 0.0
    current = lines[np.lexsort((lines[:, 1], lines[:, 0]))[0]]
    found = [0.0]
    while True:
        falling = lines[lines[:, 1] < current[1]]
        crossings = (falling[:, 0] - current[0]) / (current[1] - falling[:, 1])
        ahead = crossings >= at
        if not ahead.any() or crossings[ahead].min() >= 1.0:
            return np.array([[u] for u in (*found, 1.0)])
        at = float(crossings[ahead].min())
        meeting = falling[ahead][crossings[ahead] <= at]
        current = meeting[np.argmin(meeting[:, 1])]
        if at > found[-1]:
            found.append(at)


def _vertices_by_qhull(planes: Floats) -> Floats:
    from scipy.spatial import HalfspaceIntersection, QhullError  # noqa: PLC0415 - only surfaces of many parameters need it

    dimensions = planes.shape[1] - 1
    unit = np.eye(dimensions)
    corners = _corners(dimensions)
    scale = float(np.abs(values(planes, corners)).max()) or 1.0
    planes = np.unique(planes / scale, axis=0)
    floor = float(values(planes, corners).min()) - 1.0
    # Rows [a, b] say a · (θ, v) + b <= 0: v below every plane, θ in the box, v above the floor.
    below = np.column_stack((-planes[:, 1:], np.ones(len(planes)), -planes[:, 0]))
    zero, one = np.zeros((dimensions, 1)), np.ones((dimensions, 1))
    box = np.vstack((np.hstack((-unit, zero, zero)), np.hstack((unit, zero, -one))))
    bottom = np.concatenate((np.zeros(dimensions), [-1.0, floor]))
    middle = np.full(dimensions, 0.5)
    height = (float(values(planes, middle[None]).min()) + floor) / 2
    halfspaces, inside = np.vstack((below, box, bottom)), np.append(middle, height)
    try:
        points = HalfspaceIntersection(halfspaces, inside).intersections
    except QhullError:
        points = HalfspaceIntersection(halfspaces, inside, qhull_options="QJ").intersections
    points = points[np.isfinite(points).all(axis=1)]
    points = np.clip(points[points[:, -1] > floor + 0.5][:, :-1], 0.0, 1.0)
    return np.unique(np.round(np.vstack((points, corners)), 12), axis=0)


def _corners(dimensions: int) -> Floats:
    return np.array(np.meshgrid(*([[0.0, 1.0]] * dimensions))).reshape(dimensions, -1).T

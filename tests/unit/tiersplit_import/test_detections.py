"""Mean average precision: equal to a slow reference, and to what follows by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import detection_reference as reference
from tiersplit_import.detections import OVERLAPS, AveragePrecision, Objects, hits, intersection_over_union

SIDES = st.integers(1, 5)
BOXES = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), st.integers(0, 4), st.integers(0, 4), SIDES, SIDES)
LABELS = st.integers(0, 2)
# Few scores and corners: equal ones are where mistakes hide.
DETECTIONS = st.lists(st.tuples(BOXES, st.sampled_from([0.25, 0.5, 0.75, 1.0]), LABELS), max_size=8)
PICTURES = st.lists(
    st.tuples(DETECTIONS, st.lists(st.tuples(BOXES, LABELS), max_size=5)), min_size=1, max_size=4
).filter(lambda pictures: any(objects for _, objects in pictures))


def judged(pictures, overlaps=OVERLAPS) -> float:
    labels = [label for _, objects in pictures for _, label in objects]
    precision = AveragePrecision({label: labels.count(label) for label in labels}, overlaps)
    for found, objects in pictures:
        boxes, scores, classes = ([one[i] for one in found] for i in range(3))
        precision.add(
            Objects(np.reshape(np.array(boxes, float), (-1, 4)), np.array(classes, int)),
            np.array(scores, float),
            Objects(np.reshape([box for box, _ in objects], (-1, 4)), np.array([own for _, own in objects], int)),
        )
    return precision.mean()


@given(PICTURES)
def test_it_is_what_one_detection_and_one_object_at_a_time_give(pictures):
    assert judged(pictures) == pytest.approx(reference.mean_average_precision(pictures, OVERLAPS), abs=1e-12)


@given(PICTURES, st.sampled_from(OVERLAPS))
def test_one_overlap_is_judged_as_the_reference_judges_it(pictures, least):
    assert judged(pictures, [least]) == pytest.approx(reference.mean_average_precision(pictures, [least]), abs=1e-12)


@given(PICTURES)
def test_a_stricter_overlap_never_finds_more(pictures):
    values = [judged(pictures, [least]) for least in OVERLAPS]
    assert values == sorted(values, reverse=True)


def test_of_one_class_the_hundred_best_of_a_picture_count():
    draw = np.random.default_rng(5)
    far = [((100 + i, 0, 101 + i, 1), float(score), 0) for i, score in enumerate(draw.uniform(0.5, 1, 150))]
    pictures = [([*far, ((0, 0, 2, 2), 0.4, 0), ((0, 0, 2, 2), 0.4, 1)], [((0, 0, 2, 2), 0), ((0, 0, 2, 2), 1)])]
    assert judged(pictures) == reference.mean_average_precision(pictures, OVERLAPS) == 0.5


UNIT, DOUBLE, FAR = (0, 0, 1, 1), (0, 0, 1, 2), (5, 5, 6, 6)
BY_HAND = {
    "every object found": ([([(UNIT, 0.9, 0)], [(UNIT, 0)])], 1.0),
    "nothing found": ([([], [(UNIT, 0)])], 0.0),
    "another class": ([([(UNIT, 0.9, 1)], [(UNIT, 0)])], 0.0),
    # Half of the box: a hit at the overlap 0.50 alone.
    "half the overlap": ([([(UNIT, 0.9, 0)], [(DOUBLE, 0)])], 0.1),
    # Recall reaches 1/2: 51 of the 101 recalls, from 0 to 0.50, are read at precision 1.
    "one of two objects": ([([(UNIT, 0.9, 0)], [(UNIT, 0), (FAR, 0)])], 51 / 101),
    "a false one before the right one": ([([(FAR, 0.9, 0), (UNIT, 0.8, 0)], [(UNIT, 0)])], 0.5),
    "a false one after the right one": ([([(FAR, 0.7, 0), (UNIT, 0.8, 0)], [(UNIT, 0)])], 1.0),
    "found twice": ([([(UNIT, 0.9, 0), (UNIT, 0.8, 0)], [(UNIT, 0), (FAR, 0)])], 51 / 101),
    "one class of two": ([([(UNIT, 0.9, 0)], [(UNIT, 0), (UNIT, 1)])], 0.5),
    "a false one in an empty picture": ([([(UNIT, 0.8, 0)], [(UNIT, 0)]), ([(UNIT, 0.9, 0)], [])], 0.5),
    "a class that is nowhere": ([([(UNIT, 0.8, 0), (FAR, 0.9, 7)], [(UNIT, 0)])], 1.0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_a_case_has_the_value_that_follows_by_hand(case):
    pictures, expected = BY_HAND[case]
    assert judged(pictures) == pytest.approx(expected, abs=1e-12)


def test_an_object_is_taken_by_the_best_detection_only_and_leaves_others_to_the_next():
    truth = Objects(np.array([[0, 0, 4, 4], [0, 0, 4, 3]], float), np.array([0, 0]))
    found = Objects(np.array([[0, 0, 4, 4], [0, 0, 4, 4], [0, 0, 4, 4]], float), np.array([0, 0, 0]))
    assert hits(found, truth, [0.5, 0.75, 0.8]).tolist() == [[True] * 3, [True, True, False], [False] * 3]


def test_boxes_without_an_area_or_a_place_overlap_nothing():
    odd = np.array([[0, 0, 0, 0], [1, 1, 0, 0], [np.nan] * 4])
    assert np.all(intersection_over_union(odd, odd) == 0)

"""Metrics of answers: equal to slow references however they are batched, and clear where data do not fit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as drawn

from tests.support import detection_reference as reference
from tiersplit_core.errors import ModelError
from tiersplit_import import metrics
from tiersplit_import.detections import OVERLAPS
from tiersplit_import.metrics import IGNORED, OPTION, comparison, mean_average_precision

OWN = f"{__name__}:share_of_threes"
SCORES = drawn.arrays(np.float32, (7, 6), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
CUTS = st.lists(st.integers(1, 6), unique=True, max_size=3).map(sorted)


def share_of_threes(outputs, y):
    """A metric of this file's own: needs all outputs by name, and all of `y`."""
    assert set(outputs) == {"scores", "other"}
    return np.mean((outputs["scores"].argmax(axis=1) == 3) & (outputs["other"] == y))


def nothing(outputs, y):
    return None


def endless(outputs, y):
    return float("inf")


def broken(outputs, y):
    return outputs["boxes"]


def value(name, answers, truth, cuts=()):
    """The metric of answers that arrive in batches which begin at `cuts`."""
    tally = comparison(name).start(truth)
    for start, end in zip([0, *cuts], [*cuts, len(truth)], strict=True):
        tally.add({key: array[start:end] for key, array in answers.items()}, truth[start:end])
    return tally.value()


@given(SCORES, drawn.arrays(np.int64, 7, elements=st.integers(0, 5)), CUTS, st.sampled_from([1, 5]))
def test_top_counts_labels_among_the_highest_scores(scores, labels, cuts, best):
    ranked = [sorted(range(6), key=lambda c, row=row: (-row[c], c))[:best] for row in scores.tolist()]
    expected = np.mean([label in row for label, row in zip(labels.tolist(), ranked, strict=True)])
    assert value(f"Top{best}", {"scores": scores}, labels, cuts) == pytest.approx(expected)


@given(
    drawn.arrays(np.float32, (7, 3, 2, 4), elements=st.sampled_from([0.0, 0.5, 1.0])),
    drawn.arrays(np.uint8, (7, 2, 4), elements=st.sampled_from([0, 1, 2, IGNORED])),
    CUTS,
)
def test_mean_iou_is_that_of_the_sets_of_pixels(scores, labels, cuts):
    labels[0, 0, 0] = 1
    answers = scores.argmax(axis=1)
    ious = []
    for label in range(3):
        said = {tuple(at) for at in np.argwhere(labels == label)}
        found = {tuple(at) for at in np.argwhere((answers == label) & (labels != IGNORED))}
        ious += [len(said & found) / len(said | found)] if said | found else []
    assert value("MeanIoU", {"out": scores, "aux": scores[:, :1]}, labels, cuts) == pytest.approx(np.mean(ious))


def test_mean_iou_of_a_worked_picture():
    labels = np.array([[[0, 0, 1], [0, 1, IGNORED]]])
    answers = np.array([[[0, 1, 1], [0, 1, 2]]])
    scores = np.moveaxis(np.eye(4)[answers], -1, 1)
    # Class 0: 2 of 3 pixels. Class 1: 2 of 3. Class 2 is answered where nothing is compared, class 3 nowhere.
    assert value("MeanIoU", {"out": scores}, labels) == pytest.approx(2 / 3)


def detections(draw):
    """Answers of a detector about seven pictures, with padding, and the truth."""
    corner = draw.integers(0, 4, (7, 6, 2))
    boxes = np.concatenate([corner, corner + draw.integers(1, 4, (7, 6, 2))], axis=2).astype(np.float32)
    scores = draw.choice([0.0, 0.25, 0.5, 1.0], (7, 6)).astype(np.float32)
    answers = {"boxes": boxes, "scores": scores, "labels": draw.integers(0, 2, (7, 6))}
    rows = np.concatenate([boxes[:, :4], draw.integers(-1, 2, (7, 4, 1))], axis=2)
    rows[0, 0, 4] = 1
    return answers, rows


@given(st.integers(0, 10_000), CUTS)
def test_mean_average_precision_ignores_padding_and_batches(seed, cuts):
    answers, truth = detections(np.random.default_rng(seed))
    pictures = [
        (
            [one for one in zip(*(part.tolist() for part in picture), strict=True) if one[1] > 0],
            [(row[:4], int(row[4])) for row in rows.tolist() if row[4] >= 0],
        )
        for *picture, rows in zip(*answers.values(), truth, strict=True)
    ]
    expected = reference.mean_average_precision(pictures, OVERLAPS)
    assert value("MeanAveragePrecision", answers, truth, cuts) == pytest.approx(expected, abs=1e-12)
    assert mean_average_precision(answers, truth) == pytest.approx(expected, abs=1e-12)
    loose = reference.mean_average_precision(pictures, [0.5])
    assert mean_average_precision(answers, truth, overlaps=[0.5]) == pytest.approx(loose, abs=1e-12)


def test_a_detection_whose_score_or_box_is_no_number_finds_nothing():
    truth = np.array([[[0, 0, 4, 4, 0]]], np.float32)
    boxes = np.array([[[0, 0, 4, 4], [np.nan] * 4]], np.float32)
    answers = {"boxes": boxes, "scores": np.array([[np.nan, 0.5]]), "labels": np.array([[0, 0]])}
    assert value("MeanAveragePrecision", answers, truth) == 0


@given(SCORES, CUTS)
def test_the_users_function_gets_all_answers_at_once(scores, cuts):
    other = np.arange(7) % 2
    expected = share_of_threes({"scores": scores, "other": other}, np.zeros(7))
    assert value(OWN, {"scores": scores, "other": other}, np.zeros(7), cuts) == expected


def rows(*row):
    """A truth of two pictures with three equal objects each."""
    return np.tile(row, (2, 3, 1))


OBJECTS = rows(0, 0, 1, 1, 0)
WRONG_TRUTH = [
    ("Top1", np.zeros(2), "one whole number per sample"),
    ("Top5", np.zeros((2, 1), int), "one whole number per sample"),
    ("MeanIoU", np.zeros((2, 4), int), "a whole number per pixel"),
    ("MeanIoU", np.zeros((2, 4, 4)), "a whole number per pixel"),
    ("MeanIoU", np.full((2, 4, 4), IGNORED), "write the classes of some"),
    ("MeanAveragePrecision", np.zeros((2, 4)), "x1, y1, x2, y2 and class"),
    ("MeanAveragePrecision", np.full((2, 3, 5), "a"), "x1, y1, x2, y2 and class"),
    ("MeanAveragePrecision", rows(-1, -1, -1, -1, -1), "no object"),
    ("MeanAveragePrecision", rows(0, 0, 1, 1, 0.5), "whole numbers"),
    ("MeanAveragePrecision", rows(0, 0, 1, 1, -2), "whole numbers"),
    ("MeanAveragePrecision", rows(0, 0, 1, 1, np.nan), "whole numbers"),
    ("MeanAveragePrecision", rows(4, 4, 2, 2, 0), "no width and height"),
]


@pytest.mark.parametrize(("name", "truth", "words"), WRONG_TRUTH)
def test_a_truth_of_another_kind_is_refused_before_anything_runs(name, truth, words):
    with pytest.raises(ModelError, match=words) as caught:
        comparison(name).start(truth)
    assert caught.value.path == ""


LABELS, MAPS = np.array([0, 1]), np.zeros((2, 4, 4), int)
BOXES = {"boxes": np.zeros((2, 3, 4)), "scores": np.zeros((2, 3)), "labels": np.zeros((2, 3), int)}
WRONG_ANSWERS = [
    ("Top1", LABELS, {"out": np.zeros((2, 3, 4))}, OPTION, r"scores of \(batch, classes\)"),
    ("Top5", LABELS, {"out": np.zeros((2, 5))}, OPTION, "among 5 of 5 classes"),
    ("Top1", np.array([0, 3]), {"out": np.zeros((2, 3))}, "", "classes are 0 to 2"),
    ("Top1", np.array([0, -1]), {"out": np.zeros((2, 3))}, "", "the class -1"),
    ("MeanIoU", MAPS, {"out": np.zeros((2, 3))}, OPTION, "classes, height, width"),
    ("MeanIoU", MAPS, {"out": np.zeros((2, 3, 2, 4))}, "", "labels of the output's height and width"),
    ("MeanIoU", MAPS + 3, {"out": np.zeros((2, 3, 4, 4))}, "", "classes are 0 to 2"),
    ("MeanAveragePrecision", OBJECTS, {"out": np.zeros((2, 3))}, OPTION, "outputs are out"),
    ("MeanAveragePrecision", OBJECTS, BOXES | {"scores": np.zeros((2, 4))}, OPTION, "have shapes"),
    (f"{__name__}:nothing", LABELS, BOXES, OPTION, "nothing raised TypeError"),
    (f"{__name__}:endless", LABELS, BOXES, OPTION, "returned inf"),
    (f"{__name__}:broken", LABELS, BOXES, OPTION, "broken raised TypeError"),
]


@pytest.mark.parametrize(("name", "truth", "answers", "path", "words"), WRONG_ANSWERS)
def test_answers_of_another_kind_are_told_with_what_to_write(name, truth, answers, path, words):
    with pytest.raises(ModelError, match=words) as caught:
        value(name, answers, truth)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("top1", "write one of Top1, Top5, MeanAveragePrecision, MeanIoU, or MODULE:CALLABLE"),
        ("Function", "or MODULE:CALLABLE of your own"),
        ("nowhere:at_all", "cannot be imported"),
        ("numpy:no_such_thing", "has no 'no_such_thing'"),
        ("numpy:pi", "is a float, not a callable that compares outputs with y"),
    ],
)
def test_a_metric_that_is_none_is_refused(name, words):
    with pytest.raises(ModelError, match=words) as caught:
        comparison(name)
    assert caught.value.path == OPTION


def test_answers_that_do_not_fit_into_memory_together_are_not_gathered(monkeypatch):
    monkeypatch.setattr(metrics, "_MOST_BYTES", 100)
    with pytest.raises(ModelError, match="give fewer"):
        value(OWN, {"scores": np.zeros((7, 6)), "other": np.zeros(7)}, np.zeros(7))

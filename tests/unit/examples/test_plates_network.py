from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.plates import store
from examples.plates.evaluate import overlaps
from examples.plates.model import (
    BLANK,
    COLUMNS,
    MARGIN,
    ROWS,
    STRIDE,
    boxes_of,
    cut_out,
    large,
    likeliest,
    plate_reader,
    small,
)
from examples.plates.plate import CHARACTERS
from examples.plates.rating import share_read
from examples.plates.reading import accuracy, texts_of
from examples.plates.scene import HEIGHT, WIDTH, draw_scenes
from examples.plates.train import Batch, batches, brightness, column_classes, detector_loss, shaken
from tiersplit_api.v1alpha1.loading import load_manifest
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model

ROWS_OF_CELLS, COLUMNS_OF_CELLS = HEIGHT // STRIDE, WIDTH // STRIDE
CELLS = ROWS_OF_CELLS * COLUMNS_OF_CELLS


@pytest.fixture(scope="module")
def batch() -> Batch:
    scenes = draw_scenes(32, 4)
    return next(batches(scenes, lambda chosen: brightness(scenes.frames[chosen])))


def logits(text: str) -> np.ndarray:
    """Columns of which each says one character; `_` says that there is none."""
    classes = [BLANK if character == "_" else CHARACTERS.index(character) for character in text]
    return 9 * np.eye(BLANK + 1, dtype=np.float32)[classes][None]


@pytest.mark.parametrize("build", [small, large])
@pytest.mark.parametrize("rows", [1, 3])
def test_a_network_answers_characters_a_box_and_a_score_for_each_frame(build, rows):
    with torch.inference_mode():
        answer = build().eval()(torch.rand(rows, 3, HEIGHT, WIDTH))
    assert {name: tuple(value.shape) for name, value in answer.items()} == {
        "characters": (rows, COLUMNS, BLANK + 1),
        "box": (rows, 5),
        "score": (rows, 1),
    }


def test_both_networks_are_the_same_up_to_the_reader():
    shapes = [
        {name: value.shape for name, value in build().state_dict().items() if not name.startswith("reader.")}
        for build in (small, large)
    ]
    assert shapes[0] == shapes[1]
    readers = [sum(value.numel() for value in build().reader.parameters()) for build in (small, large)]
    assert readers[1] > 5 * readers[0]


@pytest.mark.parametrize(
    ("columns", "text"), [("__AA_B_", "AB"), ("_A_A__A", "AAA"), ("A_B", "AB"), ("____", ""), ("_7__Z7Z", "7Z")]
)
def test_neighbouring_columns_with_a_character_are_one_character(columns, text):
    assert texts_of(logits(columns), np.array([[1.0]])) == [text]


def test_a_column_that_wavers_between_two_characters_is_no_column_without_one():
    columns = logits("_A_")
    columns[0, 1, [3, 4, BLANK]] = 8.5, 8.4, 8.8
    columns[0, 1, CHARACTERS.index("A")] = 0
    assert texts_of(columns, np.array([[1.0]])) == ["3"]


def test_nothing_is_read_where_no_plate_was_found():
    assert texts_of(logits("_A_"), np.array([[-0.1]])) == [""]


def test_a_plate_counts_only_when_it_is_read_wholly():
    assert accuracy(["AB1", "AB1", "", ""], ["AB1", "AB7", "", "X"]) == 0.5


def test_a_cell_that_says_nothing_means_a_box_around_its_own_middle():
    _, boxes = boxes_of(torch.zeros(1, 6, ROWS_OF_CELLS, COLUMNS_OF_CELLS))
    assert boxes.shape == (1, CELLS, 5)
    assert boxes[0, COLUMNS_OF_CELLS + 2, :2].tolist() == [2.5 * STRIDE, 1.5 * STRIDE]
    assert not boxes[..., 4].any()


@given(st.integers(0, CELLS - 1))
def test_the_cell_that_is_sure_decides_the_box(cell):
    seen = torch.zeros(1, CELLS)
    seen[0, cell] = 30.0
    _, boxes = boxes_of(torch.zeros(1, 6, ROWS_OF_CELLS, COLUMNS_OF_CELLS))
    torch.testing.assert_close(likeliest(seen, boxes)[0], boxes[0, cell], atol=1e-2, rtol=0)


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.2, 0.2), st.floats(90, 150), st.floats(90, 160), st.floats(60, 100))
def test_what_is_cut_out_is_the_box_turned_upright(tilt, width, x, y):
    # Features that say where they are: the place's x and y in pixels.
    places_x = (torch.arange(64) + 0.5) * 4
    places_y = (torch.arange(40) + 0.5) * 4
    features = torch.stack(torch.meshgrid(places_y, places_x, indexing="ij")).flip(0)[None]
    box = torch.tensor([[x, y, width, 28.0, tilt]])
    found = cut_out(features, box)[0]
    assert found.shape == (2, ROWS, COLUMNS)
    right = torch.tensor([np.cos(tilt), np.sin(tilt)], dtype=torch.float32) * width / 2 * MARGIN[0]
    middle = found[:, ROWS // 2 - 1 : ROWS // 2 + 1].mean(1)
    torch.testing.assert_close(middle[:, -1] - middle[:, 0], 2 * right, atol=0.05, rtol=0)
    torch.testing.assert_close(found.mean((1, 2)), torch.tensor([x, y]), atol=0.05, rtol=0)


def test_the_columns_of_true_boxes_spell_the_plates(batch):
    classes = column_classes(batch.boxes[batch.shown], batch)
    said = [
        "".join(CHARACTERS[i] for i in row if i >= 0)
        for row, shown in zip(batch.characters, batch.shown, strict=True)
        if shown
    ]
    spelt = texts_of(9 * np.eye(BLANK + 1)[classes.numpy()], np.ones((len(classes), 1)))
    assert spelt == said


def test_columns_keep_to_the_plate_when_the_box_is_beside_it(batch):
    true = batch.boxes[batch.shown]
    moved = true.clone()
    one_column = 2 * MARGIN[0] / (COLUMNS - 1) * true[:, 2] / 2
    moved[:, 0] += one_column * torch.cos(true[:, 4])
    moved[:, 1] += one_column * torch.sin(true[:, 4])
    classes, shifted = column_classes(true, batch), column_classes(moved, batch)
    assert (classes[:, 1:] == shifted[:, :-1]).float().mean() > 0.98


def test_shaken_boxes_stay_near(batch):
    true = batch.boxes[batch.shown]
    assert overlaps(shaken(true).numpy(), true.numpy()).mean() > 0.8


def test_a_detector_that_is_right_loses_less_than_one_that_is_not(batch):
    wrong = torch.zeros(len(batch.boxes), 6, ROWS_OF_CELLS, COLUMNS_OF_CELLS)
    right = wrong.clone()
    right[:, 0] = -8.0
    for i, (x, y, width, height, tilt) in enumerate(batch.boxes.tolist()):
        if width:
            row, column = int(y // STRIDE), int(x // STRIDE)
            offset = [x / STRIDE - column - 0.5, y / STRIDE - row - 0.5]
            right[i, :, row, column] = torch.tensor([8.0, *offset, np.log(width / 118), np.log(height / 28), tilt])
    assert detector_loss(right, batch) < 0.5 * detector_loss(wrong, batch)


def test_boxes_overlap_wholly_with_themselves_and_not_with_those_far_away():
    box = np.array([[50, 50, 40, 20, 0]], np.float32)
    assert overlaps(box, box).tolist() == [1.0]
    near, far = box.copy(), box.copy()
    near[:, 0], far[:, 0] = 70, 110
    assert overlaps(box, near).tolist() == pytest.approx([1 / 3])
    assert overlaps(box, far).tolist() == [0.0]


def test_a_reader_that_was_not_trained_yet_says_how_to_train_it(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"python -m examples\.plates\.train"):
        plate_reader()


def test_the_manifest_describes_the_frames_that_are_drawn():
    spec = load_manifest(Path(store.HERE) / "split.yaml").spec
    (frame,) = spec.model.inputs
    assert frame.shape == [-1, 3, HEIGHT, WIDTH]
    assert spec.model.source.torch.factory == "examples.plates.model:plate_reader"


@pytest.mark.slow
def test_the_network_is_imported_whole_and_hands_little_from_the_stem_to_the_rest(tmp_path):
    options = ImportOptions(inputs=(parse_input(f"frame:FP32:-1x3x{HEIGHT}x{WIDTH}"),), wire_uint8=True)
    graph = import_model("examples.plates.model:small", tmp_path / "b", options).graph
    assert [key for key, _ in graph.output_names] == ["characters", "box", "score"]
    assert [(spec.name, spec.dtype) for spec in graph.inputs] == [("frame", "uint8")]
    (features,) = graph["stem.2.conv"].tensors
    assert features.shape == (1, 8, HEIGHT // 4, WIDTH // 4)
    # 96 features of a column and 48 of the state before, 4 gates of 48, both directions.
    assert graph["reader.lstm"].macs == COLUMNS * 2 * 4 * 48 * (96 + 48)


def test_a_plate_counts_as_read_when_every_character_is_right_and_nothing_where_there_is_none():
    read, score = (
        np.concatenate([logits("A_B_5_"), logits("A_B_S_"), logits("A_B_5_")]),
        np.array([[1.0], [1.0], [-1.0]]),
    )
    said = np.full((3, 7), -1)
    said[:2, :3] = [CHARACTERS.index(character) for character in "AB5"]
    assert share_read({"characters": read, "score": score}, said) == 2 / 3

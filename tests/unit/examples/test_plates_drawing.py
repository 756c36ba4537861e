import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples.plates.picture import corners, sheet
from examples.plates.plate import CHARACTERS, LONGEST, SHORTEST, Plate, draw_plate, positions
from examples.plates.scene import HEIGHT, WIDTH, _mount, draw_scenes

SEEDS = st.integers(0, 2**32)
COUNT = 12


@pytest.fixture(scope="module")
def scenes():
    return draw_scenes(COUNT, 5)


def test_one_seed_draws_the_same_frames_again_and_another_one_others(scenes):
    again, others = draw_scenes(COUNT, 5), draw_scenes(COUNT, 6)
    assert np.array_equal(scenes.frames, again.frames)
    assert scenes.texts == again.texts
    assert not np.array_equal(scenes.frames, others.frames)
    assert scenes.texts != others.texts


def test_fewer_frames_of_a_seed_are_the_first_of_more(scenes):
    assert np.array_equal(draw_scenes(3, 5).frames, scenes.frames[:3])


def test_frames_are_what_a_camera_sends(scenes):
    assert scenes.frames.shape == (COUNT, 3, HEIGHT, WIDTH)
    assert scenes.frames.dtype == np.uint8
    assert all(frame.std() > 5 for frame in scenes.frames)


def test_some_frames_have_no_plate_and_their_boxes_are_zeros():
    many = draw_scenes(60, 9)
    bare = [i for i, text in enumerate(many.texts) if not text]
    assert 1 <= len(bare) <= 20
    assert not many.boxes[bare].any()
    assert all(many.boxes[i, 2] > 0 for i in range(60) if i not in bare)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_plate_says_allowed_characters_whose_middles_run_from_left_to_right(seed):
    plate = draw_plate(np.random.default_rng(seed))
    assert SHORTEST <= len(plate.text) <= LONGEST
    assert set(plate.text) <= set(CHARACTERS)
    assert plate.centres == tuple(sorted(plate.centres))
    assert plate.centres[0] > 0
    assert plate.centres[-1] < 1
    assert [CHARACTERS[i] for i in positions(plate.text)] == list(plate.text)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_the_ink_of_every_character_is_around_its_middle(seed):
    plate = draw_plate(np.random.default_rng(seed))
    grey = np.asarray(plate.image.convert("L"), float)[12:-12]
    ground = np.median(grey)
    width = plate.image.width
    for centre in plate.centres:
        around = grey[:, round((centre - plate.pitch / 3) * width) : round((centre + plate.pitch / 3) * width)]
        assert np.abs(around - ground).max() > 60


def test_boxes_lie_wholly_in_the_frame():
    many = draw_scenes(60, 3)
    places = np.array([corners(box) for box in many.boxes[many.boxes[:, 2] > 0]])
    assert places.min() >= 0
    assert places[..., 0].max() <= WIDTH
    assert places[..., 1].max() <= HEIGHT


@pytest.mark.parametrize("tilt", [-0.17, 0.0, 0.1])
def test_a_plate_is_seen_where_its_box_says(tilt):
    box = np.array([120, 70, 100, 25, tilt], np.float32)
    scene = Image.new("RGB", (WIDTH, HEIGHT))
    _mount(scene, Plate("", Image.new("RGB", (384, 96), "white"), (), 0.1), box)
    rows, columns = np.nonzero(np.asarray(scene.convert("L")) > 127)
    places = np.array(corners(box))
    assert columns.min() == pytest.approx(places[:, 0].min(), abs=2)
    assert columns.max() == pytest.approx(places[:, 0].max(), abs=2)
    assert rows.min() == pytest.approx(places[:, 1].min(), abs=2)
    assert rows.max() == pytest.approx(places[:, 1].max(), abs=2)


def test_the_picture_shows_what_was_misread_in_red(scenes):
    right = [[("small", text)] for text in scenes.texts]
    wrong = [[("small", f"{text}X")] for text in scenes.texts]
    good, bad = (sheet(scenes.frames, scenes.boxes, reads, scenes.texts) for reads in (right, wrong))
    assert good.size == bad.size
    assert _count(bad, (205, 45, 45)) > 50 > _count(good, (205, 45, 45))


def _count(picture, colour):
    return int((np.asarray(picture) == colour).all(-1).sum())

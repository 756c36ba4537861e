"""What a camera at a gate sees: a car's back with its plate, somewhere in the frame, in any light."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from examples.plates.plate import LONGEST, Plate, draw_plate, positions

HEIGHT, WIDTH = 160, 256
"""Size of a frame in pixels."""
WITHOUT_PLATE = 0.1
"""Share of the frames in which there is none."""
_LARGEST_TILT = math.radians(10)
_WIDTHS = (92.0, 150.0)


@dataclass(frozen=True, slots=True)
class Scenes:
    """Frames with what they show; `LONGEST` places for characters, those after the last one are filled.

    Attributes:
        frames: N×3×160×256 bytes.
        texts: what the plates say; empty where there is no plate.
        boxes: N×5: the plate's middle (x, y), width and height in pixels, tilt in radians; zeros without a plate.
        characters: N×`LONGEST` positions in `CHARACTERS`; -1 fills.
        centres: N×`LONGEST`: the characters' middles along the plate, from -1 (left) to 1 (right); infinity fills.
        pitches: N widths of a character along the plate, in the units of `centres`.
    """

    frames: NDArray[np.uint8]
    texts: tuple[str, ...]
    boxes: NDArray[np.float32]
    characters: NDArray[np.int64]
    centres: NDArray[np.float32]
    pitches: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)


def draw_scenes(count: int, seed: int) -> Scenes:
    """`count` frames, always the same for one seed."""
    frames, texts = np.empty((count, 3, HEIGHT, WIDTH), np.uint8), []
    boxes, pitches = np.zeros((count, 5), np.float32), np.ones(count, np.float32)
    characters = np.full((count, LONGEST), -1, np.int64)
    centres = np.full((count, LONGEST), np.inf, np.float32)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        plate = draw_plate(rng) if rng.random() >= WITHOUT_PLATE else None
        frames[i], boxes[i] = draw_scene(plate, rng)
        texts.append(plate.text if plate else "")
        if plate:
            length = len(plate.text)
            characters[i, :length] = positions(plate.text)
            centres[i, :length] = 2 * np.asarray(plate.centres) - 1
            pitches[i] = 2 * plate.pitch
    return Scenes(frames, tuple(texts), boxes, characters, centres, pitches)


def draw_scene(plate: Plate | None, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One frame, 3×160×256, with its box as in `Scenes`; `plate` is None where the frame shows none."""
    box = _place(plate, rng) if plate else np.zeros(5, np.float32)
    scene = _background(rng)
    _car(scene, box if plate else _anywhere(rng), rng)
    if plate:
        _mount(scene, plate, box)
    return _seen(scene, rng), box


def _place(plate: Plate, rng: np.random.Generator) -> NDArray[np.float32]:
    """A box in which the plate lies wholly inside the frame."""
    width, tilt = rng.uniform(*_WIDTHS), rng.uniform(-_LARGEST_TILT, _LARGEST_TILT)
    height = width * plate.image.height / plate.image.width
    reach_x = (width * math.cos(tilt) + height * abs(math.sin(tilt))) / 2 + 2
    reach_y = (width * abs(math.sin(tilt)) + height * math.cos(tilt)) / 2 + 2
    x, y = rng.uniform(reach_x, WIDTH - reach_x), rng.uniform(reach_y, HEIGHT - reach_y)
    return np.array([x, y, width, height, tilt], np.float32)


def _anywhere(rng: np.random.Generator) -> NDArray[np.float32]:
    return np.array([rng.uniform(60, WIDTH - 60), rng.uniform(50, HEIGHT - 40), 110, 28, 0], np.float32)


def _colour(rng: np.random.Generator, low: int = 20, high: int = 235) -> tuple[int, int, int]:
    red, green, blue = rng.integers(low, high, 3).tolist()
    return red, green, blue


def _background(rng: np.random.Generator) -> Image.Image:
    """A wall or sky over a road, with things that have edges like a plate's."""
    top, bottom = np.array(_colour(rng)), np.array(_colour(rng, 40, 150))
    ramp = np.linspace(0, 1, HEIGHT)[:, None, None] ** rng.uniform(0.5, 2)
    scene = Image.fromarray(np.repeat(top * (1 - ramp) + bottom * ramp, WIDTH, axis=1).astype(np.uint8))
    pen = ImageDraw.Draw(scene)
    for _ in range(rng.integers(3, 10)):
        x, y = rng.uniform(-20, WIDTH), rng.uniform(-20, HEIGHT)
        size = rng.uniform(10, 90, 2)
        shape = pen.ellipse if rng.random() < 0.25 else pen.rectangle
        shape((x, y, x + size[0], y + size[1]), _colour(rng), _colour(rng) if rng.random() < 0.3 else None)
    for _ in range(rng.integers(0, 5)):
        pen.line(rng.uniform(0, WIDTH, 4).tolist(), _colour(rng), int(rng.integers(1, 4)))
    return scene


def _car(scene: Image.Image, box: NDArray[np.float32], rng: np.random.Generator) -> None:
    """A body around the box, its lamps and a bumper."""
    x, y, width, height, _ = box.tolist()
    body, pen = _colour(rng), ImageDraw.Draw(scene)
    half, up, down = width * rng.uniform(0.7, 1.1), height * rng.uniform(1.2, 3), height * rng.uniform(0.9, 2)
    pen.rounded_rectangle((x - half, y - up, x + half, y + down), height / 2, body)
    darker = tuple(value * 2 // 3 for value in body)
    pen.rectangle((x - half, y + down * 0.7, x + half, y + down), darker)
    for side in (-1, 1):
        middle = x + side * half * 0.85
        pen.ellipse((middle - 9, y - up * 0.7 - 7, middle + 9, y - up * 0.7 + 7), _colour(rng, 90, 255))


def _mount(scene: Image.Image, plate: Plate, box: NDArray[np.float32]) -> None:
    """Put the plate into its box."""
    x, y, width, height, tilt = box.tolist()
    small = plate.image.resize((round(width), round(height)), Image.Resampling.LANCZOS)
    cos, sin = math.cos(tilt), math.sin(tilt)
    # From a place in the frame to the place in the plate that is seen there.
    to_plate = (cos, sin, small.width / 2 - cos * x - sin * y, -sin, cos, small.height / 2 + sin * x - cos * y)
    turned = small.transform(scene.size, Image.Transform.AFFINE, to_plate, Image.Resampling.BICUBIC)
    mask = Image.new("L", small.size, 255)
    mask = mask.transform(scene.size, Image.Transform.AFFINE, to_plate, Image.Resampling.BILINEAR)
    scene.paste(turned, mask=mask)


def _seen(scene: Image.Image, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The scene as the camera gives it: a little out of focus, in some light, with noise; 3×160×256."""
    blurred = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.9)))
    pixels = np.asarray(blurred, np.float32)
    contrast, light = rng.uniform(0.55, 1.1), rng.uniform(-25, 25)
    shade = np.linspace(*rng.uniform(0.75, 1.1, 2), WIDTH, dtype=np.float32)[None, :, None]
    pixels = ((pixels - 128) * contrast + 128 + light) * shade
    pixels += rng.standard_normal(pixels.shape, np.float32) * rng.uniform(1, 14)
    return np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))

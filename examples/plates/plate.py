"""Number plates that nobody drives with: drawn with random characters, fonts, colours and gaps."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

CHARACTERS = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""What a plate may say; I and O are left out, as they are on real plates, because 1 and 0 look like them."""
SHORTEST, LONGEST = 5, 7
HEIGHT = 96
"""Height of a plate as it is drawn, in pixels; scenes show it smaller."""

_FONTS = (
    "DejaVuSans-Bold",
    "DejaVuSans",
    "DejaVuSansMono-Bold",
    "DejaVuSansMono",
    "DejaVuSerif-Bold",
    "STIXGeneralBol",
)
_COLOURS = (  # background and ink
    ((245, 245, 240), (20, 20, 25)),
    ((250, 205, 40), (20, 20, 20)),
    ((200, 225, 245), (15, 30, 110)),
    ((235, 240, 230), (10, 90, 40)),
    ((30, 50, 120), (240, 240, 245)),
    ((35, 35, 38), (235, 235, 230)),
)
_STRIP = (25, 60, 160)


@dataclass(frozen=True, slots=True)
class Plate:
    """A plate, seen from the front.

    Attributes:
        text: what it says, gaps and dashes left out.
        image: RGB, `HEIGHT` pixels high.
        centres: where the middle of each character is, from 0 (left edge) to 1 (right edge).
        pitch: the mean width of a character with the space around it, as a share of the plate's width.
    """

    text: str
    image: Image.Image
    centres: tuple[float, ...]
    pitch: float


def draw_plate(rng: np.random.Generator) -> Plate:
    """A plate of 5 to 7 random characters."""
    text = "".join(rng.choice(list(CHARACTERS), rng.integers(SHORTEST, LONGEST + 1)))
    font = _font(str(rng.choice(_FONTS)), int(rng.integers(60, 76)))
    widths = [font.getlength(character) + rng.uniform(3, 7) for character in text]
    gap, at_gap = rng.uniform(12, 26), int(rng.integers(2, len(text) - 1))
    starts = np.cumsum([0.0, *widths[:-1]]) + np.where(np.arange(len(text)) >= at_gap, gap, 0.0)
    left, right = rng.uniform(10, 30, 2)
    ground, ink = _COLOURS[rng.integers(len(_COLOURS))]
    width = left + starts[-1] + widths[-1] + right
    image = _blank(round(width), ground, ink, strip=left > 22)
    pen = ImageDraw.Draw(image)
    for character, start in zip(text, starts, strict=True):
        pen.text((left + start, HEIGHT / 2), character, ink, font, anchor="lm")
    if rng.random() < 0.5:
        _dash(pen, left + starts[at_gap] - gap / 2, ink)
    centres = (left + starts + np.asarray(widths) / 2) / width
    return Plate(text, image, tuple(centres.tolist()), float(np.mean(widths) / width))


def _blank(width: int, ground: tuple[int, int, int], ink: tuple[int, int, int], *, strip: bool) -> Image.Image:
    image = Image.new("RGB", (width, HEIGHT), ground)
    pen = ImageDraw.Draw(image)
    if strip:
        pen.rectangle((0, 0, 14, HEIGHT), _STRIP)
    pen.rectangle((1, 1, width - 2, HEIGHT - 2), outline=ink, width=3)
    return image


def _dash(pen: ImageDraw.ImageDraw, middle: float, ink: tuple[int, int, int]) -> None:
    pen.rectangle((middle - 5, HEIGHT / 2 - 3, middle + 3, HEIGHT / 2 + 3), ink)


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)


def positions(text: str) -> NDArray[np.int64]:
    """The place of each of the text's characters in `CHARACTERS`."""
    return np.array([CHARACTERS.index(character) for character in text], np.int64)

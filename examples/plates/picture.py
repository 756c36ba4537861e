"""A picture of frames with the boxes that were found and the plates that were read."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

RIGHT, WRONG, PAPER, INK = (40, 150, 70), (205, 45, 45), (250, 250, 248), (40, 40, 45)
_SCALE, _CAPTION, _SPACE = 1.5, 46, 12
_FONT = "DejaVuSansMono"


def sheet(
    frames: NDArray[np.uint8],
    boxes: NDArray[np.floating[Any]],
    reads: Sequence[Sequence[tuple[str, str]]],
    said: Sequence[str],
    columns: int = 4,
) -> Image.Image:
    """All frames side by side, each over what was read.

    Args:
        frames: N×3×H×W bytes.
        boxes: N×5, see `Scenes`.
        reads: for each frame, (reader, what it read); the box is drawn where any of them read something.
        said: what the plates say.
        columns: frames in a row.
    """
    cards = [_card(*card) for card in zip(frames, boxes, reads, said, strict=True)]
    width, height = cards[0].width + _SPACE, cards[0].height + _SPACE
    rows = -(-len(cards) // columns)
    page = Image.new("RGB", (columns * width + _SPACE, rows * height + _SPACE), PAPER)
    for i, card in enumerate(cards):
        page.paste(card, (_SPACE + i % columns * width, _SPACE + i // columns * height))
    return page


def _card(
    frame: NDArray[np.uint8], box: NDArray[np.floating[Any]], reads: Sequence[tuple[str, str]], said: str
) -> Image.Image:
    seen = Image.fromarray(frame.transpose(1, 2, 0))
    seen = seen.resize((round(seen.width * _SCALE), round(seen.height * _SCALE)), Image.Resampling.BICUBIC)
    card = Image.new("RGB", (seen.width, seen.height + _CAPTION), PAPER)
    card.paste(seen)
    pen, font = ImageDraw.Draw(card), _font(16)
    if any(text for _, text in reads):
        colour = RIGHT if all(text == said for _, text in reads) else WRONG
        pen.polygon([(x * _SCALE, y * _SCALE) for x, y in corners(box)], outline=colour, width=3)
    for i, (name, text) in enumerate(reads):
        line = f"{name:5} {text or 'no plate'}" + ("" if text == said else f"  is {said or 'none'}")
        pen.text((2, seen.height + 4 + 20 * i), line, RIGHT if text == said else WRONG, font)
    return card


def corners(box: NDArray[np.floating[Any]]) -> list[tuple[float, float]]:
    """The corners of a tilted box, clockwise from the plate's upper left."""
    x, y, width, height, tilt = box.tolist()
    cos, sin = math.cos(tilt), math.sin(tilt)
    sides = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ways = [(across * width / 2, down * height / 2) for across, down in sides]
    return [(x + right * cos - down * sin, y + right * sin + down * cos) for right, down in ways]


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{_FONT}.ttf"), size)

"""One look for every picture: dark on light, colours that colour-blind eyes tell apart, no clutter."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, FAINT, PAPER = "#1b2430", "#5b6673", "#e3e7ec", "#ffffff"
ACCENT = "#b3261e"
TIERS = ("#d9822b", "#2a9d8f", "#3b5ba5", "#8e5ea2", "#c0504d", "#6b7280")
"""Warm near the sensor, cool toward the cloud."""
LINKS = ("#c9ced6", "#a9b1bc", "#8a94a1", "#6e7987", "#566170")
REGIONS = ("#6d3d91", "#2f7d4f", "#b5487f", "#8a6d1d", "#4a6fa5", "#9c4a2f", "#4d5b66", "#1f7a8c")
"""For plans; none of them is a tier's colour. White text is legible on each."""

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": "#b6bec8",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "tiersplit",
}


@contextmanager
def look() -> Iterator[None]:
    """Draw inside this to get the common look; nothing of it stays behind."""
    with mpl.rc_context(_SETTINGS):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """A figure that belongs to no window system and no global state."""
    figure = Figure(figsize=(width_in, height_in))
    figure.set_layout_engine("constrained", h_pad=0.12, w_pad=0.12, hspace=0.03)
    return figure


def light_grid(axes: Axes, axis: Literal["both", "x", "y"] = "y") -> None:
    """Faint lines to read values by."""
    axes.grid(visible=True, axis=axis, color=FAINT, linewidth=0.9)


def to_png(figure: Figure) -> bytes:
    """The figure as PNG bytes at 160 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, metadata={"Software": "tiersplit"})
    return buffer.getvalue()


def to_svg(figure: Figure, label: str, prefix: str) -> str:
    """The figure as an inline `<svg>` element that scales with the page.

    Args:
        figure: what to draw.
        label: what a screen reader says.
        prefix: makes the element ids unique on a page with several pictures.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{_escape(label)}"', 1)


def colours(names: Sequence[str], palette: Sequence[str]) -> dict[str, str]:
    """A colour per name, the same names always in the same colours."""
    return {name: palette[i % len(palette)] for i, name in enumerate(names)}


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

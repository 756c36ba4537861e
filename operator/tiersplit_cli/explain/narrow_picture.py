"""The picture of a plan's bit widths: bits and error per layer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tiersplit_cli.explain.narrow import Narrow
from tiersplit_cli.explain.style import FAINT, MUTED, TIERS, light_grid
from tiersplit_core.cost.arrays import Floats

HEIGHTS = (2.5, 2.3)
"""Inches of the two pictures."""
_WIDEST = 8
_MAX_NAMED_LAYERS = 36
_WIDTH = 0.4


def draw_bits(axes: Axes, narrow: Narrow) -> None:
    """Bits of weights and of activations per layer; pale over its whole height where it runs as it is."""
    at = np.arange(len(narrow.layers))
    for kind, (label, colour) in enumerate((("weights", TIERS[0]), ("activations", TIERS[2]))):
        axes.bar(at + _WIDTH * (kind - 0.5), _bits(narrow, kind), _WIDTH, color=colour, label=label)
    wide = [i for i, layer in enumerate(narrow.layers) if layer.widths is None]
    if wide:
        axes.bar(wide, _WIDEST, 2 * _WIDTH, color=FAINT, label="as it is")
    axes.set_ylim(0, _WIDEST * 1.05)
    axes.set_yticks((0, 2, 4, 6, 8))
    axes.set_title(f"Bits per layer on {narrow.tier}")
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=9.5)
    light_grid(axes)
    axes.set_xlim(-0.7, len(at) - 0.3)
    axes.set_xticks([])


def draw_distortion(axes: Axes, narrow: Narrow) -> None:
    """The error that each layer adds, on a logarithmic axis."""
    errors = np.array([layer.distortion for layer in narrow.layers])
    at = np.arange(len(errors))
    seen = errors > 0
    axes.bar(at[seen], errors[seen], 2 * _WIDTH, color=MUTED)
    if seen.any():
        axes.set_yscale("log")
        axes.set_ylim(errors[seen].min() / 3, errors[seen].max() * 3)
    axes.set_xlim(-0.7, len(at) - 0.3)
    axes.set_title(f"Distortion that each adds, {narrow.distortion:.3g} together")
    _name_layers(axes, narrow)
    light_grid(axes)


def _bits(narrow: Narrow, kind: int) -> Floats:
    """Bits of weights (0) or activations (1) per layer; none where a layer has no weights, or runs as it is."""
    found = [0 if layer.widths is None else min(layer.widths[kind], _WIDEST) for layer in narrow.layers]
    if kind == 0:
        found = [bits if layer.wide_weight_bytes else 0 for bits, layer in zip(found, narrow.layers, strict=True)]
    return np.array(found, dtype=np.float64)


def _name_layers(axes: Axes, narrow: Narrow) -> None:
    names = [layer.name if len(layer.name) <= 18 else f"…{layer.name[-17:]}" for layer in narrow.layers]
    if len(names) > _MAX_NAMED_LAYERS:
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.set_xlabel("layers in execution order")
        return
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")

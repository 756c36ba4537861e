"""Figure 4, worked: what the edge holds while it runs MnasNet's inverted residual with squeeze and excitation.

Layer 2's output waits for the sum that ends the block (layer 11), so it is held beside what the layers between hand on
(§3.2). The figure prints no sizes: here layer 2 hands on 24 bytes and the expanded layers 72.
"""

from tiersplit_cli.papers.rows import Row
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.memory import stage_live_bytes
from tiersplit_core.cost.problem import Link, MemoryModel, Problem, ProblemLayer, Tier

_SIZES = {"conv": 24, "pointwise": 72, "depthwise": 72, "pool": 3, "excite": 3, "scale": 72, "project": 24, "sum": 24}
_READS = {
    "conv": ("input",),
    "pointwise": ("conv",),
    "depthwise": ("pointwise",),
    "pool": ("depthwise",),
    "excite": ("pool",),
    "scale": ("depthwise", "excite"),
    "project": ("scale",),
    "sum": ("conv", "project"),
}


def rows() -> list[Row]:
    """Bytes held at the depthwise layer, as the paper counts them and as they really are."""
    paper, real = (held_at("depthwise", model) for model in (MemoryModel.AUTOSPLIT, MemoryModel.WORKING_SET))
    both = f"{_SIZES['conv'] + _SIZES['pointwise']} (layers 2 and 3)"
    note = "the layer's own output stands beside its input while it runs; the paper's working set counts one of them"
    what = "example of figure 4: bytes held at the depthwise layer"
    return [
        Row("autosplit/figure-4/autosplit", f"{what}, memory_model autosplit", both, str(paper)),
        Row("autosplit/figure-4/working_set", f"{what}, memory_model working_set", both, str(real), note=note),
    ]


def held_at(layer: str, model: MemoryModel) -> int:
    """Bytes that the edge holds, weights aside, at one layer of the block."""
    layers = tuple(
        ProblemLayer(name, _READS[name], size, 0, {"edge": 1.0, "cloud": 1.0}) for name, size in _SIZES.items()
    )
    tiers = (Tier("edge"), Tier("cloud"))
    problem = Problem(layers, ("sum",), 24, tiers, (Link("edge", "cloud", 8.0, 0.0),), memory_model=model)
    arrays = arrays_of(problem)
    held = stage_live_bytes(arrays, arrays.tiers_of(dict.fromkeys(_SIZES, "edge")), 0)
    return int(held[list(_SIZES).index(layer)])

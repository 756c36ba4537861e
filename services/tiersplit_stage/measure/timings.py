"""From runs to timings: medians, spreads, and kernels summed up to layers."""

from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np

from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.layers import Timing
from tiersplit_stage.measure.attribution import owners, work
from tiersplit_stage.measure.job import Kernel


def timing_of(seconds: Sequence[float], factor: float = 1.0) -> Timing:
    """Median and interquartile range of `seconds`, each times `factor`."""
    low, middle, high = np.percentile(np.asarray(seconds, float), (25, 50, 75))
    return Timing(float(middle) * factor, float(high - low) * factor, len(seconds))


def layer_timings(
    graph: LayerGraph, kernels: Sequence[Kernel], whole_s: float, layers: Sequence[str]
) -> dict[str, Timing]:
    """Seconds per layer, which sum to `whole_s`.

    A kernel's seconds belong to its layer and to the layers that were fused into it, divided by their work. Seconds of
    the run that no kernel explains (dispatch, allocation, kernels without a layer) are divided in proportion.

    Args:
        graph: the layer graph.
        kernels: kernels of the program that runs `layers`.
        whole_s: median seconds of the program, measured without the profiler.
        layers: the layers of the program, in execution order.
    """
    runs = _runs_per_layer(kernels, set(layers))
    members = _members(graph, set(runs), layers)
    raw: dict[str, Timing] = {}
    for owner, names in members.items():
        timing, total = timing_of(runs[owner]), sum(work(graph, name) for name in names)
        for name in names:
            share = work(graph, name) / total
            raw[name] = Timing(timing.median_s * share, timing.spread_s * share, timing.runs)
    return _scaled(raw, whole_s, layers)


def _runs_per_layer(kernels: Sequence[Kernel], layers: set[str]) -> dict[str, list[float]]:
    runs: dict[str, list[float]] = {}
    for kernel in kernels:
        if kernel.layer in layers:
            before = runs.get(str(kernel.layer), [0.0] * len(kernel.seconds))
            runs[str(kernel.layer)] = [a + b for a, b in zip(before, kernel.seconds, strict=True)]
    return runs


def _members(graph: LayerGraph, running: set[str], layers: Sequence[str]) -> dict[str, list[str]]:
    fused = owners(graph, running)
    members: dict[str, list[str]] = {}
    for name in layers:
        owner = name if name in running else fused.get(name)
        if owner is not None:
            members.setdefault(owner, []).append(name)
    return members


def _scaled(raw: Mapping[str, Timing], whole_s: float, layers: Sequence[str]) -> dict[str, Timing]:
    total = fsum(timing.median_s for timing in raw.values())
    if total <= 0:
        return {name: Timing(whole_s / len(layers)) for name in layers}
    factor = whole_s / total
    nothing = Timing(0.0)
    return {
        name: Timing(timing.median_s * factor, timing.spread_s * factor, timing.runs)
        for name, timing in ((name, raw.get(name, nothing)) for name in layers)
    }

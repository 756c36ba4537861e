"""Figure 8: what a split of Faster R-CNN and of YOLOv3 sends, and where that allows one (appendix B).

Sizes alone decide which splits equation 6 allows, so no statistics are needed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiersplit_cli.papers.autosplit.simulated import EDGE, problem_of
from tiersplit_cli.papers.rows import Row
from tiersplit_cli.papers.stored import stored_graph
from tiersplit_core.cost.arrays import Bools, arrays_of
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.autosplit.potential_splits import heads_in_order, transmission_dag
from tiersplit_core.planning.guidelines import Outcome, outcome_of
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.variants import systolic_seconds, with_variants
from tiersplit_core.profile.systolic import ARRAYS
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics

_ID = "autosplit/figure-8"


@dataclass(frozen=True, slots=True)
class Detector:
    """What the paper says about one: where its backbone ends, the values that cross there, and where it runs."""

    backbone_end: str
    values: int
    outcome: Outcome


_DETECTORS = {
    "faster_rcnn": Detector("backbone.body.layer4.2.relu", 4, Outcome.CLOUD_ONLY),
    "faster_rcnn_late": Detector("backbone.body.layer4.2.relu", 3, Outcome.SPLIT),
    "yolov3": Detector("layers.74.add", 3, Outcome.SPLIT),
}
_ANY_ERROR = (
    "the fastest plan with layers of the edge at these bits, whatever they err: no statistics of detectors that need "
    "trained proposals are stored; the stem's pooled output of 692,224 elements "
    "is below the image's 519,168 bytes from 4 bits down, with either pyramid"
)


def rows() -> list[Row]:
    """Per detector: values that cross, splits that equation 6 allows, and the fastest plan at each width."""
    return [row for name, paper in _DETECTORS.items() for row in _of(name, paper)]


def sent_behind(graph: LayerGraph) -> Bools:
    """Which values (the input first) cross behind each layer of the execution order but the last."""
    arrays = arrays_of(problem_of(graph))
    return transmission_dag(arrays, heads_in_order(arrays)[1:-1])


def _of(name: str, paper: Detector) -> Iterator[Row]:
    graph = stored_graph(name)
    crossing = sent_behind(graph)
    values = int(crossing[graph.index[paper.backbone_end]].sum())
    quantity = f"{name}: values that a split behind the backbone sends"
    yield Row(f"{_ID}/{name}/values", quantity, str(paper.values), str(values))
    elements = crossing @ np.array([0, *(layer.elements for layer in graph.layers)])
    image = sum(tensor.elements for tensor in graph.inputs)
    for bits in BIT_WIDTHS:
        allowed = int((elements * bits <= image * 8).sum())
        ours = f"{_fastest(graph, bits)}; {allowed} of {len(elements)} splits send no more than the image"
        quantity = f"{name}: where it runs at {bits} bits"
        yield Row(f"{_ID}/{name}/{bits}", quantity, paper.outcome.value, ours, False, _ANY_ERROR)


def _fastest(graph: LayerGraph, bits: int) -> str:
    hardware = {EDGE: systolic_seconds(graph, ARRAYS["eyeriss"])}
    solution = solve(with_variants(problem_of(graph), _sizes(graph), hardware, (bits,)), "autosplit")
    head = solution.plan.layers_on(EDGE) if solution.plan else ()
    found = outcome_of([0 if layer.name in head else 1 for layer in graph.layers])
    return f"{found} behind {head[-1]}" if found is Outcome.SPLIT else found.value


def _sizes(graph: LayerGraph) -> Statistics:
    """Statistics that know sizes alone: nothing errs."""
    exact = dict.fromkeys(BIT_WIDTHS, 0.0)
    layers = tuple(
        LayerStatistics(layer.name, layer.weight_bytes // 4, layer.elements, exact if layer.weight_bytes else {}, exact)
        for layer in graph.layers
    )
    return Statistics(Metric.MSE, Clip.MIN_MAX, 0, layers)

"""Figure 8: what a split of Faster R-CNN and of YOLOv3 sends, and where that allows one (appendix B)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiersplit_cli.papers.autosplit.search import (
    NOT_TRAINED,
    REFERENCE_BITS,
    chosen,
    frontier,
    last_layer,
    outcome,
    outcomes_by_error,
)
from tiersplit_cli.papers.autosplit.simulated import EDGE, numbered, problem_of, simulated
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
    """What the paper says about one.

    Attributes:
        backbone_end: the layer at which its backbone ends.
        values: how many values cross there.
        outcome: where it runs.
        why: where ours comes from.
        on_values: the same about the values.
    """

    backbone_end: str
    values: int
    outcome: Outcome
    why: str
    on_values: str = ""


_STEM = "the stem's pooled output of 692,224 elements is below the image's 519,168 bytes from 4 bits down"
_DETECTORS = {
    "faster_rcnn": Detector(
        "backbone.body.layer4.2.relu",
        4,
        Outcome.CLOUD_ONLY,
        f"{_STEM}; behind it the pyramid's values come on top, and at 8 bits no split sends less than the image",
    ),
    "faster_rcnn_late": Detector(
        "backbone.body.layer4.2.relu", 3, Outcome.SPLIT, f"{_STEM}, before the pyramid reads anything"
    ),
    "yolov3": Detector(
        "layers.74.add",
        1,
        Outcome.SPLIT,
        "from 4 bits up sending a split's values takes this edge longer than running the rest",
        "appendix B counts what detection layers collect from row 82 on; the published network's routes read rows 36 "
        "and 61 again, so a split behind them sends these, too",
    ),
}
_ANY_ERROR = "the fastest plan with the edge's layers at these bits, whatever they err"


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
    yield Row(f"{_ID}/{name}/values", quantity, str(paper.values), str(values), note=paper.on_values)
    yield _outcome(name, paper)
    elements = crossing @ np.array([0, *(layer.elements for layer in graph.layers)])
    image = sum(tensor.elements for tensor in graph.inputs)
    for bits in BIT_WIDTHS:
        allowed = int((elements * bits <= image * 8).sum())
        ours = f"{_fastest(graph, bits)}; {allowed} of {len(elements)} splits send no more than the image"
        quantity = f"{name}: where it runs at {bits} bits"
        note = f"{_ANY_ERROR}; {paper.why}"
        yield Row(f"{_ID}/{name}/{bits}", quantity, paper.outcome.value, ours, False, note)


def _outcome(name: str, paper: Detector) -> Row:
    on, found = simulated(name), chosen(name)
    ours = f"{outcome(found)} at E = D(U{REFERENCE_BITS})"
    if outcome(found) is Outcome.SPLIT:
        ours += f", behind {numbered(last_layer(on, found), on)}"
    note = f"{outcomes_by_error(frontier(name), on.error_of(8))}. {paper.why}. {NOT_TRAINED}"
    return Row(f"{_ID}/{name}/outcome", f"{name}: where it runs", paper.outcome.value, ours, False, note)


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

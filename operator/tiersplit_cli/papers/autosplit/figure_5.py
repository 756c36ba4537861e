"""Figure 5 and section 5.2: latency against error for ResNet-50 and YOLOv3, with the methods that have one answer."""

from collections.abc import Iterator, Sequence

from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, fastest_within, frontier
from tiersplit_cli.papers.autosplit.simulated import FAST_EDGE, seconds_of, simulated
from tiersplit_cli.papers.rows import Row, percent
from tiersplit_core.planning.autosplit.solutions import Candidate

MODELS = {"resnet50": "ResNet-50", "yolov3": "YOLOv3"}
METHODS = {
    "U2": "u2",
    "U4": "u4",
    "U6": "u6",
    "U8": "u8",
    "CLOUD16": "cloud16",
    "QDMP": "qdmp",
    "Neurosurgeon": "neurosurgeon",
}
_PRINTED = {
    ("yolov3", "QDMP"): "75%",
    ("yolov3", "Neurosurgeon"): "75%",
    ("resnet50", "CLOUD16"): "100%",
    ("yolov3", "CLOUD16"): "100%",
}
_THRESHOLDS = {
    "resnet50": (("0%", 1.0), ("1%", 0.57), ("5%", 0.43), ("10%", 0.43)),
    "yolov3": (("0%", 1.0), ("10%", 0.37), ("20%", 0.32), ("50%", 0.24)),
}
"""Section 5.2: latency over CLOUD-ONLY's at a threshold of accuracy."""
_LEAST = {
    "resnet50": "this edge runs the network at 8 bits in 45% of CLOUD-ONLY's time already",
    "yolov3": "at 2 bits the best split sends 173,056 bytes, 33% of the image, and its head takes the edge 0.2 s",
}
_NO_THRESHOLD = (
    "accuracy is unknown with untrained weights: the row says from which E (in units of D(U8)) this latency is reached"
)


def figure_rows() -> list[Row]:
    """Where the methods with one answer lie, and the two ends of AUTO-SPLIT's frontier."""
    return [row for model in MODELS for row in (*_methods(model), _frontier(model))]


def section_rows() -> list[Row]:
    """From which E on the paper's latencies are reached."""
    return [row for model, printed in _THRESHOLDS.items() for row in _thresholds(model, printed)]


def _methods(model: str) -> Iterator[Row]:
    on = simulated(model)
    for name, solver in METHODS.items():
        found = on.solved(solver)
        error = (found.distortion or 0.0) / on.error_of(8)
        ours = f"{percent(seconds_of(found) / on.cloud_only_s)}, error {error:.3g} D(U8)"
        printed = _PRINTED.get((model, name), "a point without numbers")
        note = FAST_EDGE if printed == "75%" else ""
        yield Row(
            f"autosplit/figure-5/{model}/{name}",
            f"{MODELS[model]}, {name}: latency over CLOUD-ONLY's",
            printed,
            ours,
            note=note,
        )


def _frontier(model: str) -> Row:
    on, found = simulated(model), frontier(model)
    ours = f"{len(found)} answers from {percent(found[0].objective_s / on.cloud_only_s)} to 100%"
    quantity = f"{MODELS[model]}, AUTO-SPLIT: answers over all E"
    return Row(f"autosplit/figure-5/{model}/AUTO-SPLIT", quantity, "4 thresholds", ours, False, NOT_TRAINED)


def _thresholds(model: str, printed: Sequence[tuple[str, float]]) -> Iterator[Row]:
    for threshold, latency in printed:
        yield Row(
            f"autosplit/section-5.2/{model}/{threshold}",
            f"{MODELS[model]}: latency over CLOUD-ONLY's at a threshold of {threshold}",
            percent(latency),
            _reached(model, frontier(model), latency),
            comparable=threshold == "0%",
            note="" if threshold == "0%" else f"{_NO_THRESHOLD}. {_LEAST[model]}",
        )


def _reached(model: str, found: Sequence[Candidate], latency: float) -> str:
    on = simulated(model)
    if latency == 1.0:
        return f"{percent(fastest_within(found, 0.0).objective_s / on.cloud_only_s)} at E = 0"
    fast = [one for one in found if one.objective_s <= latency * on.cloud_only_s]
    if not fast:
        return f"at no E; least {percent(found[0].objective_s / on.cloud_only_s)}"
    last = fast[-1]
    return f"{percent(last.objective_s / on.cloud_only_s)} from E = {last.distortion / on.error_of(8):.3g} D(U8)"

"""Table 8: AUTO-SPLIT at other network speeds (appendix B)."""

from tiersplit_cli.papers.autosplit.search import (
    NOT_TRAINED,
    chosen,
    frontier,
    last_layer,
    outcome,
    outcomes_by_error,
    reached,
)
from tiersplit_cli.papers.autosplit.simulated import numbered, simulated
from tiersplit_cli.papers.rows import Row
from tiersplit_core.planning.guidelines import Outcome

PRINTED = {
    ("yolov3", 1): 0.26,
    ("yolov3", 3): 0.37,
    ("yolov3", 10): 0.83,
    ("yolov3", 20): 0.75,
    ("yolov3_spp", 20): 0.71,
}
"""Latency over CLOUD-ONLY's by network and megabits per second."""
_ACCURACIES = {
    ("yolov3", 1): "0.37 of 0.39",
    ("yolov3", 3): "0.37 of 0.39",
    ("yolov3", 10): "0.34 of 0.39",
    ("yolov3", 20): "0.25 of 0.39",
    ("yolov3_spp", 20): "0.37 of 0.41",
}
"""Mean average precision, AUTO-SPLIT's of CLOUD-ONLY's."""

_WHY = {
    1: "",
    3: "at 2 bits the split sends 173,056 bytes, a third of the image, and no split that sends less is faster. ",
    10: "",
    20: "the image travels in 0.21 s; before its best split this edge takes 0.18 s and then sends for 0.07 s. ",
}


def rows() -> list[Row]:
    """Latency over CLOUD-ONLY's at each speed."""
    return [_row(model, mbps, latency) for (model, mbps), latency in PRINTED.items()]


def _row(model: str, mbps: int, latency: float) -> Row:
    on, found = simulated(model, float(mbps)), chosen(model, float(mbps))
    ours = f"{found.objective_s / on.cloud_only_s:.2f}, {outcome(found)}"
    if outcome(found) is Outcome.SPLIT:
        ours += f" behind {numbered(last_layer(on, found), on)}"
    return Row(
        f"autosplit/8/{model}/{mbps}",
        f"{model} at {mbps} Mbps: latency over CLOUD-ONLY's",
        f"{latency:g} (mAP {_ACCURACIES[model, mbps]})",
        ours,
        comparable=False,
        note=f"{_WHY[mbps]}{_swept(model, float(mbps), latency)}. {NOT_TRAINED}",
    )


def _swept(model: str, mbps: float, latency: float) -> str:
    """Which outcome appears at which E, and from which E on the paper's latency is reached."""
    on, found = simulated(model, mbps), frontier(model, mbps)
    unit = on.error_of(8)
    return f"{outcomes_by_error(found, unit)}; {latency:g} {reached(found, unit, latency * on.cloud_only_s)}"

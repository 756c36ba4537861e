"""Figure 5 and section 5.2: latency against error for ResNet-50 and YOLOv3, with the methods that have one answer."""

from collections.abc import Iterator, Sequence

from tiersplit_cli.papers.autosplit.evaluation import evaluated, head_up_to
from tiersplit_cli.papers.autosplit.published import TABLE_2
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, fastest_within, frontier, most_exact_within, reached
from tiersplit_cli.papers.autosplit.simulated import FAST_EDGE, UPLINK_MBPS, seconds_of, simulated
from tiersplit_cli.papers.numbering import convolution_index
from tiersplit_cli.papers.rows import Row, percent
from tiersplit_core.planning.autosplit.solutions import Candidate
from tiersplit_core.profile.systolic import ORIGINAL_BITS

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
_NO_NUMBERS = "a point without numbers"
_LOSSES = {"U2": "mAP drop over 80%", "U4": "mAP drop over 80%", "U6": "mAP drop over 80%", "U8": "mAP drop of 10–50%"}
"""What sections 5.2 and 5.3 say of detectors at uniform bits."""
THRESHOLDS = {
    "resnet50": (("0%", 1.0), ("1%", 0.57), ("5%", 0.43), ("10%", 0.43)),
    "yolov3": (("0%", 1.0), ("10%", 0.37), ("20%", 0.32), ("50%", 0.24)),
}
"""Section 5.2: latency over CLOUD-ONLY's at a threshold of accuracy."""
_LEAST = {
    "resnet50": "this edge runs the network at 8 bits in 45% of CLOUD-ONLY's time already",
    "yolov3": (
        "at 2 bits the best split sends 173,056 bytes, 33% of the image, and its head takes the edge 0.2 s; later ones "
        "send rows 36 and 61 for YOLOv3's routes, too, which the paper seems to leave out (figure 5)"
    ),
}
_NO_THRESHOLD = (
    "accuracy is unknown with untrained weights: the row says from which E (in units of D(U8)) this latency is reached"
)


def figure_rows() -> list[Row]:
    """Where the methods with one answer lie, and the two ends of AUTO-SPLIT's frontier."""
    return [row for model in MODELS for row in (*_methods(model), _frontier(model))]


def section_rows() -> list[Row]:
    """From which E on the paper's latencies are reached."""
    return [row for model, printed in THRESHOLDS.items() for row in _thresholds(model, printed)]


def _methods(model: str) -> Iterator[Row]:
    on = simulated(model)
    for name, solver in METHODS.items():
        found = on.solved(solver)
        error = (found.distortion or 0.0) / on.error_of(8)
        ours = f"{percent(seconds_of(found) / on.cloud_only_s)}, error {error:.3g} D(U8)"
        printed = _PRINTED.get((model, name), _NO_NUMBERS)
        lost = f"; {_LOSSES[name]}" if model == "yolov3" and name in _LOSSES else ""
        yield Row(
            f"autosplit/figure-5/{model}/{name}",
            f"{MODELS[model]}, {name}: latency over CLOUD-ONLY's",
            printed + lost,
            ours,
            comparable=printed != _NO_NUMBERS,
            note=_note(printed),
        )


def _note(printed: str) -> str:
    if printed == _NO_NUMBERS:
        return "the figure prints no latency; with untrained weights the error stands in place of a loss of accuracy"
    return "" if printed == "100%" else f"{FAST_EDGE}. {_papers_split()}"


def _papers_split() -> str:
    """What YOLOv3's split of QDMP in table 2 costs here, with and without the values that later routes read."""
    on, split = simulated("yolov3"), TABLE_2["yolov3"].qdmp_split
    index = convolution_index(on.graph)
    found = evaluated(on, head_up_to(on, index, split), ORIGINAL_BITS, ORIGINAL_BITS)
    own = next(layer.elements for layer in on.graph.layers if index[layer.name] == split)
    routes_s = ORIGINAL_BITS * (found.sent_elements - own) / (1e6 * UPLINK_MBPS)
    whole, alone = (percent(seconds / on.cloud_only_s) for seconds in (found.seconds, found.seconds - routes_s))
    return (
        f"Behind split {split} of table 2 later routes read rows 36, 61 and 79, {found.sent_elements:,} elements: "
        f"{whole}. The paper's value leaves them out: with the split's own {own:,} alone it is {alone} here"
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
    first, least = most_exact_within(found, latency * on.cloud_only_s), found[0]
    where = reached(found, on.error_of(8), latency * on.cloud_only_s)
    share = percent((first or least).objective_s / on.cloud_only_s)
    return f"{share} {where}" if first else f"{where}; least {share}"

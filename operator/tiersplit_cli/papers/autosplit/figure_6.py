"""Figure 6: outcome and latency per network at 3 Mbps, all normalised to CLOUD-ONLY (§5.3)."""

from tiersplit_cli.papers.autosplit.published import MODELS, OUTCOMES
from tiersplit_cli.papers.autosplit.search import (
    NOT_TRAINED,
    REFERENCE_BITS,
    chosen,
    fastest_within,
    frontier,
    intervals,
    last_layer,
    outcome,
    outcomes_by_error,
)
from tiersplit_cli.papers.autosplit.simulated import numbered, seconds_of, simulated
from tiersplit_cli.papers.rows import Row
from tiersplit_core.planning.guidelines import Outcome

_ID = "autosplit/figure-6"
_STEM = "behind its stem 200,704 elements at 2 bits travel in a third of the image's time, with little error"
_CLASSIFIER = "the cloud is left the classifier alone, which saves less than 1 ms: all but edge-only"
_WHY = {
    "resnet50": _STEM,
    "resnext50_32x4d": f"{_STEM}; the paper does not say why it stays on the cloud",
    "mobilenet_v2": _CLASSIFIER,
    "mnasnet1_0": _CLASSIFIER,
    "googlenet": _CLASSIFIER,
    "yolov3_tiny": "edge-only takes 7.6% of CLOUD-ONLY's time and the fastest split 6.3%, so E decides",
}
_ROUNDING = 1 + 1e-9
COMPARED = {"Neurosurgeon": "neurosurgeon", "QDMP": "qdmp", "U8": "u8"}


def rows() -> list[Row]:
    """Per network its outcome and its bars, and how many outcomes are the paper's."""
    found = [row for model in MODELS for row in (_outcome(model), _bars(model))]
    same = sum(outcome(chosen(model)) is OUTCOMES[model] for model in MODELS)
    somewhere = sum(any(one.outcome is OUTCOMES[model] for one in intervals(frontier(model))) for model in MODELS)
    count, factor = best_common_error()
    common = f"{count} at E = {factor:.3g} D(U8) for all of them"
    total = f"{same} of {len(MODELS)} at the reference E, {common}, {somewhere} at an E of their own"
    note = f"where a split leaves the classifier alone to the cloud, it saves less than 1 ms. {NOT_TRAINED}"
    return [*found, Row(f"{_ID}/outcomes", "outcomes as in the paper", f"{len(MODELS)}", total, False, note)]


def best_common_error() -> tuple[int, float]:
    """The most networks that have the paper's outcome at one multiple of D(U8), and the least such multiple."""
    units = {model: simulated(model).error_of(8) for model in MODELS}
    factors = sorted(found.distortion / units[model] for model in MODELS for found in frontier(model))
    counts = [sum(_as_printed(model, factor * units[model]) for model in MODELS) for factor in factors]
    most = max(counts)
    return most, factors[counts.index(most)]


def _as_printed(model: str, error: float) -> bool:
    return outcome(fastest_within(frontier(model), error * _ROUNDING)) is OUTCOMES[model]


def _outcome(model: str) -> Row:
    on, found = simulated(model), chosen(model)
    ours = f"{outcome(found)} at E = D(U{REFERENCE_BITS})"
    if outcome(found) is Outcome.SPLIT:
        ours += f", behind {numbered(last_layer(on, found), on)}"
    swept = outcomes_by_error(frontier(model), on.error_of(8))
    note = ". ".join(part for part in (swept, _WHY.get(model, ""), NOT_TRAINED) if part)
    return Row(f"{_ID}/{model}/outcome", f"{model}: where it runs", OUTCOMES[model].value, ours, False, note)


def _bars(model: str) -> Row:
    on = simulated(model)
    bars = {name: seconds_of(on.solved(solver)) for name, solver in COMPARED.items()}
    bars["AUTO-SPLIT"] = chosen(model).objective_s
    ours = ", ".join(f"{name} {seconds / on.cloud_only_s:.3g}" for name, seconds in bars.items())
    quantity = f"{model}: latency over CLOUD-ONLY's {on.cloud_only_s:.3g} s"
    return Row(f"{_ID}/{model}/latency", quantity, "bars without numbers", ours, False, NOT_TRAINED)

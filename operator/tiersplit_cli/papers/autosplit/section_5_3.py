"""Section 5.3: by how much AUTO-SPLIT is faster than each method, per network and on average."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from tiersplit_cli.papers.autosplit.published import MODELS
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, chosen, frontier, outcome, reached
from tiersplit_cli.papers.autosplit.simulated import (
    FAST_EDGE,
    SIXTEEN_BIT_PASSES,
    UPLINK_MBPS,
    seconds_of,
    simulated,
)
from tiersplit_cli.papers.rows import Row, percent
from tiersplit_core.planning.guidelines import Outcome

_ID = "autosplit/section-5.3"
_TPU_PASSES = 4
_READINGS = {
    SIXTEEN_BIT_PASSES: "products of 16 bits take as long as those of 8, as SCALE-Sim counts cycles",
    _TPU_PASSES: "products of 16 bits take four passes of an 8-bit multiplier, as on a TPU",
}
_FLOAT_EDGE = f"{FAST_EDGE}, so floats gain least from quantising; how much depends on what 16 bits cost"
_WHY = {
    "QDMP": _FLOAT_EDGE,
    "Neurosurgeon": _FLOAT_EDGE,
    "U8": "U8 computes as fast as AUTO-SPLIT does, so only memory traffic and splits differ",
    "CLOUD-ONLY": "small networks take little of the time that the picture travels",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A method to compare with, and what the paper says: by which share AUTO-SPLIT's latency is lower.

    Attributes:
        solver: its name here.
        on_average: the paper's mean.
        low: the least share over networks; None where the paper prints none.
        high: the largest one.
    """

    solver: str
    on_average: float
    low: float | None = None
    high: float | None = None

    @property
    def over_networks(self) -> str:
        """The paper's range."""
        return "not printed" if self.low is None or self.high is None else f"{100 * self.low:g}–{self.high:.0%}"

    def covers(self, share: float) -> bool:
        """Whether the paper's range, if there is one, contains a share."""
        return self.low is None or self.high is None or self.low <= share <= self.high


METHODS = {
    "QDMP": Method("qdmp", 0.4, 0.2, 0.8),
    "Neurosurgeon": Method("neurosurgeon", 0.47, 0.24, 0.92),
    "U8": Method("u8", 0.25),
    "CLOUD-ONLY": Method("cloud16", 0.7, 0.32, 0.92),
}
_YOLOV3 = {
    "QDMP": "51% (section 5.2: 37% against 75%)",
    "Neurosurgeon": "51% (section 5.2: 37% against 75%)",
    "CLOUD-ONLY": "63% (section 5.2: 37%), 58% (appendix B on figure 6)",
}
"""What the paper says of this network alone."""
_ROUTES = "the paper seems to leave out what YOLOv3's routes read (figure 5)"


def rows() -> list[Row]:
    """Every network against each method, the ranges and means, and what is said about the methods themselves."""
    each = [_per_network(model, name) for model in MODELS for name in METHODS]
    readings = (SIXTEEN_BIT_PASSES, _TPU_PASSES)
    together = [row for name in METHODS for passes in readings for row in _together(name, passes)]
    return [*each, *together, *_among_methods()]


def reduction(model: str, solver: str, passes: int = SIXTEEN_BIT_PASSES) -> float:
    """1 − AUTO-SPLIT's latency over a method's."""
    other = seconds_of(simulated(model, UPLINK_MBPS, passes).solved(solver))
    return 1 - chosen(model, UPLINK_MBPS, passes).objective_s / other


def _per_network(model: str, name: str) -> Row:
    method, found = METHODS[name], reduction(model, METHODS[name].solver)
    printed = _YOLOV3.get(name, method.over_networks) if model == "yolov3" else method.over_networks
    why = "" if method.covers(found) else _WHY[name]
    routes = _ROUTES if (model, name) == ("yolov3", "CLOUD-ONLY") else ""
    note = ". ".join(part for part in (why, _swept(model, method), routes, NOT_TRAINED) if part)
    return Row(f"{_ID}/{name}/{model}", f"{model}: lower than {name} by", printed, percent(found), False, note)


def _swept(model: str, method: Method) -> str:
    """The most that any E gains, and from which E on the paper's range begins."""
    on, found = simulated(model), frontier(model)
    other = seconds_of(on.solved(method.solver))
    most = f"up to {percent(1 - found[0].objective_s / other)} over all E"
    if method.low is None:
        return most
    return f"{most}, {method.low:.0%} {reached(found, on.error_of(8), (1 - method.low) * other)}"


def _among_methods() -> Iterator[Row]:
    """QDMP against Neurosurgeon and DADS, which need no accuracy."""
    seconds = {name: [_seconds(model, name) for model in MODELS] for name in ("qdmp", "neurosurgeon", "dads")}
    gains = [1 - mine / other for mine, other in zip(seconds["qdmp"], seconds["neurosurgeon"], strict=True)]
    yield Row(
        f"{_ID}/qdmp/neurosurgeon",
        "QDMP lower than Neurosurgeon by, on average",
        "35%",
        percent(mean(gains)),
        note=f"{FAST_EDGE}, where the order of layers does not matter",
    )
    same = sum(math.isclose(*pair) for pair in zip(seconds["qdmp"], seconds["dads"], strict=True))
    quantity = "networks in which DADS, on the optimised graph, is as fast as QDMP"
    yield Row(f"{_ID}/qdmp/dads", quantity, "all", f"{same} of {len(MODELS)}")


def _seconds(model: str, solver: str) -> float:
    return seconds_of(simulated(model).solved(solver))


def _together(name: str, passes: int) -> Iterator[Row]:
    method, reading = METHODS[name], _READINGS[passes]
    kept = [model for model in MODELS if outcome(chosen(model, UPLINK_MBPS, passes)) is not Outcome.CLOUD_ONLY]
    found = [reduction(model, method.solver, passes) for model in kept]
    span, average = f"{percent(min(found))} to {percent(max(found))}", percent(mean(found))
    note = f"{reading}. {NOT_TRAINED}. {_WHY[name]}"
    where = f"{_ID}/{name}/{passes}-pass"
    what = f"lower than {name} by, {passes} pass{'es' if passes > 1 else ''} for 16 bits"
    yield Row(f"{where}/range", f"{what}, over networks", method.over_networks, span, False, note)
    yield Row(f"{where}/mean", f"{what}, on average", f"{method.on_average:.0%}", average, False, note)

"""Section 5.3: by how much AUTO-SPLIT is faster than each method, per network and on average."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

from tiersplit_cli.papers.autosplit.published import MODELS
from tiersplit_cli.papers.autosplit.search import NOT_TRAINED, chosen, outcome
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
    "CLOUD-ONLY": "small networks take little of the 0.4 s that the picture travels",
}


@dataclass(frozen=True, slots=True)
class Method:
    """A method to compare with, and what the paper says: by how many percent AUTO-SPLIT's latency is lower."""

    solver: str
    over_networks: str
    on_average: str


METHODS = {
    "QDMP": Method("qdmp", "20–80%", "40%"),
    "Neurosurgeon": Method("neurosurgeon", "24–92%", "47%"),
    "U8": Method("u8", "not printed", "25%"),
    "CLOUD-ONLY": Method("cloud16", "32–92%", "70%"),
}


def rows() -> list[Row]:
    """Per method: every network, the range where the answer is not CLOUD-ONLY, and the mean."""
    return [
        row
        for name in METHODS
        for row in (*_per_network(name), *_together(name, SIXTEEN_BIT_PASSES), *_together(name, _TPU_PASSES))
    ]


def reduction(model: str, solver: str, passes: int = SIXTEEN_BIT_PASSES) -> float:
    """1 − AUTO-SPLIT's latency over a method's."""
    other = seconds_of(simulated(model, UPLINK_MBPS, passes).solved(solver))
    return 1 - chosen(model, UPLINK_MBPS, passes).objective_s / other


def _per_network(name: str) -> Iterator[Row]:
    method = METHODS[name]
    for model in MODELS:
        found = percent(reduction(model, method.solver))
        yield Row(
            f"{_ID}/{name}/{model}", f"{model}: lower than {name} by", method.over_networks, found, False, NOT_TRAINED
        )


def _together(name: str, passes: int) -> Iterator[Row]:
    method, reading = METHODS[name], _READINGS[passes]
    kept = [model for model in MODELS if outcome(chosen(model, UPLINK_MBPS, passes)) is not Outcome.CLOUD_ONLY]
    found = [reduction(model, method.solver, passes) for model in kept]
    span, average = f"{percent(min(found))} to {percent(max(found))}", percent(mean(found))
    note = f"{reading}. {NOT_TRAINED}. {_WHY[name]}"
    where = f"{_ID}/{name}/{passes}-pass"
    what = f"lower than {name} by, {passes} pass{'es' if passes > 1 else ''} for 16 bits"
    yield Row(f"{where}/range", f"{what}, over networks", method.over_networks, span, False, note)
    yield Row(f"{where}/mean", f"{what}, on average", method.on_average, average, False, note)

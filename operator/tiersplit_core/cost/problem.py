"""The planning problem of design §4.1 as plain values; `planning.problem_json` reads and checks its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tiersplit_core.graph.ir import INPUT


class Objective(StrEnum):
    """What a plan minimises: the seconds of one request, or the seconds of the slowest stage or link."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


@dataclass(frozen=True, slots=True)
class ProblemLayer:
    """One layer as the planner sees it.

    Attributes:
        name: unique; also the name of the value it computes.
        inputs: layers or `INPUT` that it reads.
        output_bytes: bytes that it hands on at the problem's batch size.
        weight_bytes: bytes of its weights.
        seconds: seconds at the problem's batch size, per tier name.
    """

    name: str
    inputs: tuple[str, ...]
    output_bytes: int
    weight_bytes: int
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tier:
    """A place where layers run; `memory_bytes` is None where it is not limited."""

    name: str
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """The link between two neighbouring tiers; `bandwidth_bps` in bits per second, `latency_s` one way."""

    source: str
    target: str
    bandwidth_bps: float
    latency_s: float


@dataclass(frozen=True, slots=True)
class Problem:
    """Divide `layers` over `tiers` (design §4.1).

    Attributes:
        layers: in an execution order.
        outputs: the layers whose values are the result.
        input_bytes: bytes of the model's input at the problem's batch size; it lies on the first tier.
        tiers: in the order in which data may flow.
        links: `links[i]` joins `tiers[i]` and `tiers[i + 1]`.
        objective: latency or throughput.
        raw_input_tier: the first tier's name where the input must not leave it, else None.
        result_tier: the first tier's name where the result is needed there, else None.
        batch: the batch size that all bytes and seconds are for.
    """

    layers: tuple[ProblemLayer, ...]
    outputs: tuple[str, ...]
    input_bytes: int
    tiers: tuple[Tier, ...]
    links: tuple[Link, ...]
    objective: Objective = Objective.LATENCY
    raw_input_tier: str | None = None
    result_tier: str | None = None
    batch: int = 1


__all__ = ["INPUT", "Link", "Objective", "Problem", "ProblemLayer", "Tier"]

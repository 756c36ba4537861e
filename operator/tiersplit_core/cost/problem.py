"""The planning problem of design §4.1 as plain values; `planning.problem_json` reads and checks its JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tiersplit_core.graph.ir import INPUT

CANNOT_RUN_S = 1e9
"""Seconds of a layer on a tier that cannot run it: no plan that puts it there is feasible."""


class Objective(StrEnum):
    """What a plan minimises: the seconds of one request, or the seconds of the slowest stage or link."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class MemoryModel(StrEnum):
    """What counts as held while a stage runs, besides its weights."""

    WORKING_SET = "working_set"
    """All tensors present that are still needed, what the layer reads and what it makes (design §4.1)."""
    AUTOSPLIT = "autosplit"
    """What is needed once a layer is done (AUTO-SPLIT §3.2, figure 4): its input and its output are not counted both,
    and the model's input is not counted at all."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A layer at other bit widths than its own.

    Attributes:
        weight_bits: bits of its weights, b_i^w of AUTO-SPLIT §3.1.
        activation_bits: bits of the value it computes, b_i^a.
        weight_bytes: bytes of its weights.
        seconds: seconds at the problem's batch size, for the tiers that can run it.
        distortion: D_i^w + D_i^a, the quantisation error that it adds (equation 4).
        held_bits: bits per element of the value while it is in the tier's memory; None: as many as it travels with.
    """

    weight_bits: int
    activation_bits: int
    weight_bytes: int
    seconds: Mapping[str, float]
    distortion: float = 0.0
    held_bits: int | None = None


@dataclass(frozen=True, slots=True)
class ProblemLayer:
    """One layer as the planner sees it.

    Attributes:
        name: unique; also the name of the value it computes.
        inputs: layers or `INPUT` that it reads.
        output_bytes: bytes that it hands on at the problem's batch size.
        weight_bytes: bytes of its weights.
        seconds: seconds at the problem's batch size, per tier name.
        elements: numbers that it hands on at the problem's batch size; None where no bit width needs them.
        variants: what it may run as instead.
    """

    name: str
    inputs: tuple[str, ...]
    output_bytes: int
    weight_bytes: int
    seconds: Mapping[str, float]
    elements: int | None = None
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """What a tier spends on a request besides running layers: as profiled, so its load multiplies it too.

    Attributes:
        request_s: seconds for taking the request from its client and answering it; counts on the first tier.
        send_s: seconds for handing on, where the link to the next tier is used.
        send_s_per_byte: the same per byte of that link, its way back included.
        receive_s: seconds for being handed something, where the link from the tier before is used.
        receive_s_per_byte: the same per byte of that link, its way back included.
    """

    request_s: float = 0.0
    send_s: float = 0.0
    send_s_per_byte: float = 0.0
    receive_s: float = 0.0
    receive_s_per_byte: float = 0.0


@dataclass(frozen=True, slots=True)
class Tier:
    """A place where layers run.

    Attributes:
        name: unique.
        memory_bytes: None where it is not limited.
        serving: what it spends on a request besides running layers.
    """

    name: str
    memory_bytes: int | None = None
    serving: Serving = Serving()


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
        transmission_bits: bits per element on links of the values of these layers; others travel as they are held.
        memory_model: what counts against a tier's memory.
        max_distortion: the error tolerance E of AUTO-SPLIT's equation 4; None: any.
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
    transmission_bits: Mapping[str, int] = field(default_factory=dict)
    memory_model: MemoryModel = MemoryModel.WORKING_SET
    max_distortion: float | None = None


__all__ = ["INPUT", "Link", "MemoryModel", "Objective", "Problem", "ProblemLayer", "Serving", "Tier", "Variant"]

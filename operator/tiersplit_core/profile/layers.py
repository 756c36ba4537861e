"""The profile of one tier: how long each layer and each segment takes there, per batch size."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tiersplit_core.profile.serving import ServingProfile
from tiersplit_core.quantization.forms import RunForm


class ProfileKind(StrEnum):
    """Where the numbers come from."""

    MEASURED = "measured"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one thing over several runs.

    Attributes:
        median_s: the median.
        spread_s: the interquartile range.
        runs: how many runs were counted.
    """

    median_s: float
    spread_s: float = 0.0
    runs: int = 1


@dataclass(frozen=True, slots=True)
class BatchProfile:
    """What was seen at one batch size.

    Attributes:
        layers: seconds per layer name; fused kernels are attributed to their layers.
        whole: the whole model in one session.
        segments: seconds per segment digest (of its file in the bundle), as the segments run on a stage.
        memory_bytes: high-water mark of resident memory over the idle runtime, weights included.
        forms: seconds per layer name with the whole model in a quantised form; only the forms that were measured, and
            only the layers that the tier can hold in them.
        chunks: in how many runs of consecutive layers the model was measured; more than one where it did not fit.
        unheld: layers that by themselves take more bytes than the tier has, and how many; their seconds are an
            estimate by the work that they do, for what else is said of the model, and no plan may run them there.
    """

    layers: Mapping[str, Timing]
    whole: Timing
    segments: Mapping[str, Timing] = field(default_factory=dict)
    memory_bytes: int = 0
    forms: Mapping[RunForm, Mapping[str, Timing]] = field(default_factory=dict)
    chunks: int = 1
    unheld: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierProfile:
    """The profile of one tier.

    Attributes:
        tier: the tier's name.
        kind: measured or simulated.
        graph: digest of the graph that was profiled.
        threads: intra-op threads of the runs.
        machine: what ran it, such as the CPU's model, runtime and version.
        batches: what was seen per batch size.
        slowdown: the factor by which an emulated tier is slower than the machine; already contained in all seconds.
        base_bytes: resident memory of the idle runtime, before any segment is loaded.
        serving: what a request costs there besides its layers; None where that was not measured. Emulation does not
            slow it down: a stage stretches its segments alone.
    """

    tier: str
    kind: ProfileKind
    graph: str
    threads: int
    machine: Mapping[str, str]
    batches: Mapping[int, BatchProfile]
    slowdown: float = 1.0
    base_bytes: int = 0
    serving: ServingProfile | None = None

"""What a manifest asks for, in numbers: the part that means the same on one machine and on a cluster."""

from dataclasses import dataclass
from itertools import pairwise

from tiersplit_api.v1alpha1.adaptation import FallbackBehavior, Minimize, RawInput
from tiersplit_api.v1alpha1.types import BATCHES, PINNED_PLAN, WIRE_ENCODING, SplitDeployment
from tiersplit_core.adaptation.policy import Mode, Settings
from tiersplit_core.errors import ManifestError
from tiersplit_core.planning.problem import Link, Objective, Tier
from tiersplit_core.units import parse_percent, parse_quantity

_OBJECTIVES = {Minimize.LATENCY: Objective.LATENCY, Minimize.THROUGHPUT: Objective.THROUGHPUT}
UNLIMITED_BPS = 1e10
"""What a link without a declared bandwidth is believed to carry before anything is seen."""
MAX_BATCH = 1024
MAX_BATCH_SIZES = 16
"""Each is measured on every tier and planned for."""
ENCODINGS = ("raw", "zstd", "lz4")


@dataclass(frozen=True, slots=True)
class DeclaredLink:
    """A link as the manifest has it.

    Attributes:
        source: the tier before it.
        target: the tier behind it.
        bandwidth_bps: bits per second; None where none is declared, 0 is down.
        latency_s: seconds of propagation, one way.
    """

    source: str
    target: str
    bandwidth_bps: float | None
    latency_s: float

    @property
    def believed_bps(self) -> float:
        """Bits per second that are planned with until the link is observed."""
        return self.bandwidth_bps or UNLIMITED_BPS

    @property
    def as_planned(self) -> Link:
        """The link of a planning problem."""
        return Link(self.source, self.target, self.believed_bps, self.latency_s)


@dataclass(frozen=True, slots=True)
class Intent:
    """A manifest as controllers need it.

    Attributes:
        name: the resource's name; clients call the model so.
        tiers: in order; `memory_bytes` is the planner's budget.
        links: `links[i]` joins `tiers[i]` and `tiers[i + 1]`; those that the manifest leaves out have no bandwidth.
        objective: latency or throughput.
        raw_input_stays: the input must not leave the first tier.
        result_returns: the result is needed on the first tier.
        batches: batch sizes that are profiled and planned for, ascending.
        policy: how eager the policy is.
        polling_s: seconds between two looks.
        failure_threshold: looks without observations before the fallback behaviour.
        pinned: digest (or its first digits) of a plan that is to serve, or None.
        encoding: how activations are compressed on links, without loss: raw, zstd or lz4.
        weight_bits: bit widths that the first tier's weights may have.
        activation_bits: bit widths that the first tier's activations may have.
        max_drop: the accuracy that may be lost, as a fraction; None where `least_accuracy` says what must be reached.
        least_accuracy: as a fraction; None where it follows from the model's own.
    """

    name: str
    tiers: tuple[Tier, ...]
    links: tuple[DeclaredLink, ...]
    objective: Objective
    raw_input_stays: bool
    result_returns: bool
    batches: tuple[int, ...]
    policy: Settings
    polling_s: float
    failure_threshold: int
    pinned: str | None
    encoding: str
    weight_bits: tuple[int, ...] = ()
    activation_bits: tuple[int, ...] = ()
    max_drop: float | None = None
    least_accuracy: float | None = None

    @property
    def tier_names(self) -> tuple[str, ...]:
        """The names of the tiers, in order."""
        return tuple(tier.name for tier in self.tiers)


def intent_of(resource: SplitDeployment, batches: tuple[int, ...] | None = None) -> Intent:
    """The intent of a manifest.

    Args:
        resource: a checked and completed manifest.
        batches: batch sizes in place of those of the annotation `tiersplit.dev/batches`; batch 1 alone where neither
            is there, as every further size costs a measurement on every tier.

    Raises:
        ManifestError: the manifest asks for something that no controller of this version does; says what they do.
    """
    spec, annotations = resource.spec, resource.metadata.annotations
    if len(spec.tiers) < 2:
        raise ManifestError("a split needs at least two tiers; write a second one", "spec.tiers")
    adaptation = spec.adaptation
    return Intent(
        name=resource.metadata.name,
        tiers=tuple(
            Tier(tier.name, None if tier.memory is None else parse_quantity(tier.memory)) for tier in spec.tiers
        ),
        links=_links(resource),
        objective=_objective(resource),
        raw_input_stays=spec.raw_input is RawInput.FIRST_TIER_ONLY,
        result_returns=spec.result_tier == spec.tiers[0].name,
        batches=batches or batch_sizes(annotations.get(BATCHES, "1"), BATCHES),
        policy=Settings(
            mode=Mode(adaptation.mode.value),
            min_gain=parse_percent(adaptation.min_gain),
            cooldown_s=float(adaptation.cooldown_period_seconds),
            first_tier_when_blind=adaptation.fallback.behavior is FallbackBehavior.FIRST_TIER,
        ),
        polling_s=float(adaptation.polling_period_seconds),
        failure_threshold=adaptation.fallback.failure_threshold,
        pinned=annotations.get(PINNED_PLAN) or None,
        encoding=_encoding(annotations.get(WIRE_ENCODING, ENCODINGS[0])),
        weight_bits=tuple(sorted(spec.tiers[0].weight_bits)),
        activation_bits=tuple(sorted(spec.tiers[0].activation_bits)),
        max_drop=_share(spec.accuracy.max_drop),
        least_accuracy=_share(spec.accuracy.min),
    )


def _share(percent: str | None) -> float | None:
    return None if percent is None else parse_percent(percent)


def _objective(resource: SplitDeployment) -> Objective:
    goal = resource.spec.objective.minimize
    if goal not in _OBJECTIVES:
        wanted = "maximize" if goal is None else f"minimize: {goal.value}"
        raise ManifestError(
            f"{wanted} is not planned by this version; write minimize: Latency or minimize: Throughput",
            "spec.objective",
        )
    return _OBJECTIVES[goal]


def batch_sizes(text: str, annotation: str) -> tuple[int, ...]:
    """`1,8,32` as numbers, ascending.

    Raises:
        ManifestError: it is no such list; `annotation` is where it stands.
    """
    found = [part.strip() for part in text.split(",")]
    if len(found) > MAX_BATCH_SIZES or not all(_is_size(part) for part in found):
        path = f"metadata.annotations[{annotation}]"
        raise ManifestError(
            f"{text[:40]!r} is no list of batch sizes; write at most {MAX_BATCH_SIZES} of 1 to {MAX_BATCH}, as 1,8,32",
            path,
        )
    return tuple(sorted({int(part) for part in found}))


def _is_size(text: str) -> bool:
    # The length comes first: Python refuses to read numbers of thousands of digits.
    return len(text) <= len(str(MAX_BATCH)) and text.isdecimal() and 1 <= int(text) <= MAX_BATCH


def _encoding(text: str) -> str:
    if text not in ENCODINGS:
        path = f"metadata.annotations[{WIRE_ENCODING}]"
        raise ManifestError(f"{text[:40]!r} is no encoding without loss; write {', '.join(ENCODINGS)}", path)
    return text


def _links(resource: SplitDeployment) -> tuple[DeclaredLink, ...]:
    declared = {(link.source, link.target): link for link in resource.spec.links}
    names = [tier.name for tier in resource.spec.tiers]
    found = []
    for pair in pairwise(names):
        link = declared.get(pair)
        bandwidth = None if link is None or link.bandwidth is None else float(parse_quantity(link.bandwidth))
        latency_s = 0.0 if link is None else (link.latency_milliseconds or 0) / 1000
        found.append(DeclaredLink(*pair, bandwidth, latency_s))
    return tuple(found)

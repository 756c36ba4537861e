"""What a manifest means on one machine."""

import re
from dataclasses import dataclass
from itertools import pairwise

from tiersplit_api.v1alpha1.adaptation import FallbackBehavior, Minimize, RawInput
from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_api.v1alpha1.types import LOCAL_BATCHES, LOCAL_SLOWDOWN, PINNED_PLAN, WIRE_ENCODING, SplitDeployment
from tiersplit_core.adaptation.policy import Mode, Settings
from tiersplit_core.errors import ManifestError
from tiersplit_core.planning.problem import Objective
from tiersplit_core.units import parse_percent, parse_quantity

_CPU = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m?)$")
_OBJECTIVES = {Minimize.LATENCY: Objective.LATENCY, Minimize.THROUGHPUT: Objective.THROUGHPUT}
MAX_SLOWDOWN = 1000.0
MAX_BATCH = 1024
ENCODINGS = ("raw", "zstd", "lz4")


@dataclass(frozen=True, slots=True)
class LocalTier:
    """A tier as a process.

    Attributes:
        name: the tier's name.
        memory_bytes: the planner's budget; None where it is unlimited.
        slowdown: factor by which the emulated tier is slower than this machine.
    """

    name: str
    memory_bytes: int | None
    slowdown: float


@dataclass(frozen=True, slots=True)
class LocalLink:
    """A link as a relay; `bandwidth_bps` None does not limit, 0 is down."""

    source: str
    target: str
    bandwidth_bps: float | None
    latency_s: float


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """A manifest, as far as one machine is concerned.

    Attributes:
        name: the resource's name; clients call the model so.
        tiers: in order.
        links: `links[i]` joins `tiers[i]` and `tiers[i + 1]`; links that the manifest leaves out are unlimited.
        objective: latency or throughput.
        raw_input_stays: the input must not leave the first tier.
        result_returns: the result is needed on the first tier.
        batches: batch sizes that are profiled and planned for.
        policy: how eager the policy is.
        polling_s: seconds between two looks.
        failure_threshold: looks without observations before the fallback behaviour.
        pinned: digest of a plan that is to serve, or None.
        encoding: how activations are compressed on links, without loss: raw, zstd or lz4.
    """

    name: str
    tiers: tuple[LocalTier, ...]
    links: tuple[LocalLink, ...]
    objective: Objective
    raw_input_stays: bool
    result_returns: bool
    batches: tuple[int, ...]
    policy: Settings
    polling_s: float
    failure_threshold: int
    pinned: str | None
    encoding: str


def local_settings(resource: SplitDeployment, threads: int) -> LocalSettings:
    """The settings of a manifest.

    Args:
        resource: a checked and completed manifest.
        threads: intra-op threads of each stage; a tier with fewer CPUs than that is slowed down.

    Raises:
        ManifestError: the manifest asks for something that the local run cannot do; says what it can.
    """
    spec, annotations = resource.spec, resource.metadata.annotations
    if len(spec.tiers) < 2:
        raise ManifestError("a split needs at least two tiers; write a second one", "spec.tiers")
    slowdowns = _slowdowns(annotations.get(LOCAL_SLOWDOWN, ""), [tier.name for tier in spec.tiers])
    adaptation = spec.adaptation
    return LocalSettings(
        name=resource.metadata.name,
        tiers=tuple(_tier(tier, i, slowdowns, threads) for i, tier in enumerate(spec.tiers)),
        links=_links(resource),
        objective=_objective(resource),
        raw_input_stays=spec.raw_input is RawInput.FIRST_TIER_ONLY,
        result_returns=spec.result_tier == spec.tiers[0].name,
        batches=_batches(annotations.get(LOCAL_BATCHES, "1")),
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
    )


def _objective(resource: SplitDeployment) -> Objective:
    goal = resource.spec.objective.minimize
    if goal not in _OBJECTIVES:
        wanted = "maximize" if goal is None else f"minimize: {goal.value}"
        raise ManifestError(
            f"{wanted} is not planned by this version; write minimize: Latency or minimize: Throughput",
            "spec.objective",
        )
    return _OBJECTIVES[goal]


def _tier(tier: Tier, position: int, slowdowns: dict[str, float], threads: int) -> LocalTier:
    memory = None if tier.memory is None else parse_quantity(tier.memory)
    limits = tier.resources.get("limits", {})
    cpu = limits.get("cpu") if isinstance(limits, dict) else None
    slowdown = slowdowns.get(tier.name)
    if slowdown is None:
        slowdown = 1.0 if cpu is None else max(1.0, threads / _cpus(cpu, position))
    return LocalTier(tier.name, memory, min(slowdown, MAX_SLOWDOWN))


def _cpus(text: object, position: int) -> float:
    match = _CPU.match(str(text))
    cpus = 0.0 if match is None else float(match.group(1)) / (1000 if match.group(2) else 1)
    if cpus <= 0:
        path = f"spec.tiers[{position}].resources.limits.cpu"
        raise ManifestError(f"{text!r} is no amount of CPU; write 250m or 0.5", path)
    return cpus


def _slowdowns(text: str, names: list[str]) -> dict[str, float]:
    """`edge=8,mdc=2` as numbers."""
    path = f"metadata.annotations[{LOCAL_SLOWDOWN}]"
    found: dict[str, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, factor = item.partition("=")
        if (
            name not in names
            or not re.fullmatch(r"[0-9]+(\.[0-9]+)?", factor)
            or not 1 <= float(factor) <= MAX_SLOWDOWN
        ):
            raise ManifestError(f"{item!r} is no tier=factor; write as in {names[0]}=8 (1 to {MAX_SLOWDOWN:.0f})", path)
        found[name] = float(factor)
    return found


def _batches(text: str) -> tuple[int, ...]:
    found = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_BATCH for part in found):
        path = f"metadata.annotations[{LOCAL_BATCHES}]"
        raise ManifestError(f"{text!r} is no list of batch sizes; write as in 1,8,32 (1 to {MAX_BATCH})", path)
    return tuple(sorted({int(part) for part in found}))


def _encoding(text: str) -> str:
    if text not in ENCODINGS:
        path = f"metadata.annotations[{WIRE_ENCODING}]"
        raise ManifestError(f"{text!r} is no encoding without loss; write {', '.join(ENCODINGS)}", path)
    return text


def _links(resource: SplitDeployment) -> tuple[LocalLink, ...]:
    declared = {(link.source, link.target): link for link in resource.spec.links}
    names = [tier.name for tier in resource.spec.tiers]
    found = []
    for pair in pairwise(names):
        link = declared.get(pair)
        bandwidth = None if link is None or link.bandwidth is None else float(parse_quantity(link.bandwidth))
        latency_s = 0.0 if link is None else (link.latency_milliseconds or 0) / 1000
        found.append(LocalLink(*pair, bandwidth, latency_s))
    return tuple(found)

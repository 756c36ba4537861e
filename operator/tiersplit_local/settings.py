"""What a manifest means on one machine: what it asks for, and how much slower its tiers are than the machine."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_api.v1alpha1.types import LOCAL_BATCHES, LOCAL_SLOWDOWN, SplitDeployment
from tiersplit_control.intent import Intent, batch_sizes, intent_of
from tiersplit_core.errors import ManifestError

_CPU = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m?)$")
MAX_SLOWDOWN = 1000.0


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """A manifest, as far as one machine is concerned.

    Attributes:
        intent: what it asks for; a link without a bandwidth is not limited.
        slowdowns: per tier name, the factor by which the emulated tier is slower than this machine.
        threads: intra-op threads of each stage.
    """

    intent: Intent
    slowdowns: Mapping[str, float]
    threads: int


def local_settings(resource: SplitDeployment, threads: int) -> LocalSettings:
    """The settings of a manifest.

    Args:
        resource: a checked and completed manifest.
        threads: intra-op threads of each stage; a tier with fewer CPUs than that is slowed down.

    Raises:
        ManifestError: the manifest asks for something that the local run cannot do; says what it can.
    """
    tiers, annotations = resource.spec.tiers, resource.metadata.annotations
    own = annotations.get(LOCAL_BATCHES)
    intent = intent_of(resource, None if own is None else batch_sizes(own, LOCAL_BATCHES))
    given = _slowdowns(annotations.get(LOCAL_SLOWDOWN, ""), [tier.name for tier in tiers])
    slowdowns = {
        tier.name: min(given[tier.name] if tier.name in given else _slowdown(tier, position, threads), MAX_SLOWDOWN)
        for position, tier in enumerate(tiers)
    }
    return LocalSettings(intent, slowdowns, threads)


def _slowdown(tier: Tier, position: int, threads: int) -> float:
    """How much slower a tier is that has fewer CPUs than threads."""
    limits = tier.resources.get("limits", {})
    cpu = limits.get("cpu") if isinstance(limits, dict) else None
    return 1.0 if cpu is None else max(1.0, threads / _cpus(cpu, position))


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

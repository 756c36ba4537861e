"""The plans of a surface as the controller needs them: what they cost now, how far they reach, their segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tiersplit_control.quality import UNKNOWN, Quality
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec, plan_segments, segments_of
from tiersplit_core.planning.surface import Conditions, Surface
from tiersplit_core.profile.batches import segment_seconds
from tiersplit_core.profile.layers import TierProfile

MIN_PREFIX = 6


@dataclass(frozen=True)
class Catalogue:
    """All plans that can be chosen.

    Attributes:
        graph: the layer graph.
        tiers: tier names in order.
        surface: the surface.
        profiles: per tier name.
        blobs: digest of the ONNX file per segment id.
        quality: how accurate the model and its plans are.
    """

    graph: LayerGraph
    tiers: tuple[str, ...]
    surface: Surface
    profiles: Mapping[str, TierProfile]
    blobs: Mapping[str, str]
    quality: Quality = UNKNOWN

    @cached_property
    def plans(self) -> Mapping[str, Plan]:
        """The plans by digest."""
        return {plan.digest: plan for plan in self.surface.plans}

    @cached_property
    def specs(self) -> tuple[SegmentSpec, ...]:
        """The segments of all plans, in topological order."""
        return segments_of(self.graph, list(self.plans.values()))

    @cached_property
    def segments(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """(segment id, tier) in topological order, per plan."""
        return {digest: plan_segments(plan, self.specs) for digest, plan in self.plans.items()}

    @cached_property
    def reach(self) -> Mapping[str, int]:
        """Position of the last tier that each plan needs."""
        position = {tier: i for i, tier in enumerate(self.tiers)}
        return {digest: max(position[t] for t in plan.placement.values()) for digest, plan in self.plans.items()}

    @cached_property
    def fallback(self) -> str | None:
        """The plan that needs the first tier alone, where there is one."""
        return next((digest for digest, reach in self.reach.items() if reach == 0), None)

    def accuracy(self, digest: str) -> float | None:
        """What the metric says of a plan; one that runs layers as they are has the model's own accuracy."""
        quality = self.quality
        return quality.accuracies.get(digest) if self.plans[digest].widths else quality.whole

    def split(self, digest: str) -> dict[str, int]:
        """How many layers each tier has."""
        return {tier: len(self.plans[digest].layers_on(tier)) for tier in self.tiers}

    def find(self, prefix: str) -> str:
        """The whole digest of the only plan whose digest begins so, with or without `sha256:`.

        Raises:
            InputError: none does, or several do.
        """
        bare = prefix.removeprefix("sha256:")
        found = [digest for digest in self.plans if digest.removeprefix("sha256:").startswith(bare)]
        if len(found) != 1 or len(bare) < MIN_PREFIX:
            known = ", ".join(digest[:19] for digest in self.plans)
            raise InputError(
                f"{prefix!r} names {len(found)} plans; write at least {MIN_PREFIX} digits of {known}", "plan"
            )
        return found[0]

    def profiled_s(self, tier: str, segment: str, batch: int) -> float:
        """Seconds of a segment as profiled on a tier; 0 where it was not."""
        key = (tier, segment, batch)
        if key not in self._profiled:
            blob, profile = self.blobs.get(segment, ""), self.profiles.get(tier)
            seconds = {} if profile is None or batch < 1 else segment_seconds(profile, batch)
            self._profiled[key] = seconds.get(blob, 0.0)
        return self._profiled[key]

    @cached_property
    def _profiled(self) -> dict[tuple[str, str, int], float]:
        return {}

    def costs(self, links: Sequence[LinkEstimate], loads: Sequence[float], batch: int) -> dict[str, float]:
        """What each plan takes now; infinite where a link that it crosses is down."""
        conditions = Conditions(
            bandwidth_bps=tuple(0.0 if link.down else link.bandwidth_bps for link in links),
            load=tuple(loads),
            batch=batch,
            latency_s=tuple(link.latency_s for link in links),
        )
        return {digest: self.surface.objective_s(digest, conditions) for digest in self.plans}

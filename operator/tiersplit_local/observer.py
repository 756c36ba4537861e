"""What the stages reported, gathered: links and loads as estimated, which stages are there, what was served."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tiersplit_control.intent import DeclaredLink
from tiersplit_core.adaptation.estimator import LinkEstimate, LinkEstimator, LoadEstimate
from tiersplit_core.adaptation.observation import LinkSample, SegmentSample
from tiersplit_core.planning.problem import Tier
from tiersplit_wire.v1 import route_pb2 as pb

STALE_S = 4.0
"""Stages report at least once a second; one that has not for this long is gone."""
DRIFT = 0.2
"""A change of an estimate by more than this is worth a look at once."""


@dataclass
class StageState:
    """One stage as its newest report has it."""

    report: pb.StageReport = field(default_factory=pb.StageReport)
    connected: bool = False
    seen_at: float = -1e9
    load: LoadEstimate = field(default_factory=LoadEstimate)


@dataclass
class Served:
    """Requests that the head answered, over restarts of the head.

    Attributes:
        answered: per plan digest.
        failed: per plan digest.
        latency_s: mean of the newest report that had any.
    """

    answered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    latency_s: float | None = None
    _before: dict[str, tuple[int, int]] = field(default_factory=dict)
    _instance: str = ""

    def take(self, report: pb.StageReport) -> None:
        """Add what a head's report has more than the one before."""
        if report.instance != self._instance:
            self._instance, self._before = report.instance, {}
        for count in report.served:
            answered, failed = self._before.get(count.plan, (0, 0))
            self.answered[count.plan] = self.answered.get(count.plan, 0) + max(count.answered - answered, 0)
            self.failed[count.plan] = self.failed.get(count.plan, 0) + max(count.failed - failed, 0)
            if count.answered > answered and count.latency_s > 0:
                self.latency_s = count.latency_s
        # A head counts a plan that went and came back from the beginning.
        self._before = {count.plan: (count.answered, count.failed) for count in report.served}


class Observer:
    """Turns stage reports into estimates.

    Args:
        tiers: the tiers, in order.
        links: the links as declared.
        profiled_s: seconds of a segment on a tier at a batch size, by (tier, segment id, batch); 0 where unknown.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        tiers: tuple[Tier, ...],
        links: tuple[DeclaredLink, ...],
        profiled_s: Callable[[str, str, int], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tiers, self.links = tiers, links
        self.stages: Mapping[str, StageState] = {tier.name: StageState() for tier in tiers}
        self.served = Served()
        self.batch = 1
        self._profiled_s, self._clock = profiled_s, clock
        self._estimators = [LinkEstimator(link.believed_bps, link.latency_s) for link in links]
        self._looked: tuple[object, ...] = ()

    def take(self, report: pb.StageReport) -> None:
        """Take one stage's report into account; reports of unknown tiers are left out."""
        state = self.stages.get(report.tier)
        if state is None:
            return
        state.report, state.connected, state.seen_at = report, True, self._clock()
        for seen in report.links:
            self._take_transmission(seen)
        self._take_segments(state, report)
        if report.tier == self.tiers[0].name:
            self.served.take(report)

    def _take_transmission(self, seen: pb.LinkObservation) -> None:
        for link, estimator in zip(self.links, self._estimators, strict=True):
            if (link.source, link.target) == (seen.source, seen.target):
                sample = LinkSample(seen.bytes, seen.seconds, idle_before=seen.idle_before, lost=seen.lost)
                estimator.observe(sample)

    def _take_segments(self, state: StageState, report: pb.StageReport) -> None:
        samples = tuple(
            SegmentSample(seen.seconds, self._profiled_s(report.tier, seen.segment, seen.batch), seen.runs)
            for seen in report.segments
        )
        state.load = state.load.observe(samples)
        if report.segments:
            self.batch = max(report.segments, key=lambda seen: seen.runs).batch

    def left(self, tier: str) -> None:
        """The stage's stream ended."""
        if tier in self.stages:
            self.stages[tier].connected = False

    @property
    def estimates(self) -> tuple[LinkEstimate, ...]:
        """The links as estimated, in order."""
        return tuple(estimator.estimate for estimator in self._estimators)

    @property
    def loads(self) -> tuple[float, ...]:
        """Observed over profiled seconds per tier, in order."""
        return tuple(self.stages[tier.name].load.load for tier in self.tiers)

    @property
    def gone(self) -> frozenset[int]:
        """Positions of tiers whose stage does not report."""
        now = self._clock()
        return frozenset(
            i
            for i, tier in enumerate(self.tiers)
            if not (state := self.stages[tier.name]).connected or now - state.seen_at > STALE_S
        )

    @property
    def dead_links(self) -> frozenset[int]:
        """Positions of links that are down."""
        return frozenset(i for i, estimate in enumerate(self.estimates) if estimate.down)

    @property
    def head_report(self) -> pb.StageReport:
        """The newest report of the first tier's stage."""
        return self.stages[self.tiers[0].name].report

    def worth_a_look(self) -> bool:
        """Whether something changed so much since the last time this said so that the policy should look now."""
        numbers = tuple(round_to(estimate.bandwidth_bps) for estimate in self.estimates) + tuple(
            map(round_to, self.loads)
        )
        facts = (self.gone, self.dead_links, tuple(sorted(self.head_report.selectable)))
        looked = self._looked
        drifted = len(looked) != 2 or looked[0] != facts or _drifted(looked[1], numbers)
        if drifted:
            self._looked = (facts, numbers)
        return drifted


def round_to(value: float, digits: int = 3) -> float:
    """`value` with so many significant digits."""
    return float(f"{value:.{digits}g}")


def _drifted(before: object, now: tuple[float, ...]) -> bool:
    if not isinstance(before, tuple) or len(before) != len(now):
        return True
    return any(abs(new - old) > DRIFT * max(abs(old), 1e-12) for old, new in zip(before, now, strict=True))

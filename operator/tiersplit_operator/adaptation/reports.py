"""What stages report over the route stream, kept per resource; nothing here waits or writes."""

import math
import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from statistics import median

from tiersplit_operator.adaptation.queries import Metric
from tiersplit_operator.adaptation.samples import plausible
from tiersplit_operator.adaptation.succession import plan_digest
from tiersplit_operator.facts import Move
from tiersplit_wire.v1 import route_pb2 as pb

FRESH_S = 5.0
"""Stages report at least once a second; one that has not for this long says nothing about now."""
KEPT_S = 60.0
"""How long a silent stage is remembered, and how long what it saw of requests stands."""
MAX_STAGES = 2000
"""Per resource; more reports than that are not kept."""
MAX_MOVES = 20
MAX_REASON = 200
PLAN = re.compile(r"sha256:[0-9a-f]{64}")
"""What the status takes for a plan's digest: what else a pod says would have the whole status refused."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage's newest report, and what older ones said of requests where it says nothing."""

    report: pb.StageReport
    seen_at: float
    latency_s: float | None = None
    batch: int | None = None
    served_at: float = -math.inf

    def after(self, before: "_Stage") -> "_Stage":
        if self.seen_at - before.served_at > KEPT_S:
            return self
        return replace(
            self,
            latency_s=before.latency_s if self.latency_s is None else self.latency_s,
            batch=before.batch if self.batch is None else self.batch,
            served_at=max(self.served_at, before.served_at),
        )


class Reports:
    """The newest report of every stage of one resource, and the moves that heads made by themselves.

    Attributes:
        heard_at: monotonic second of the newest report; minus infinity: no stage has ever reported.
        moves: of heads by themselves, newest first.
    """

    def __init__(self) -> None:
        self.heard_at = -math.inf
        self._stages: dict[str, _Stage] = {}
        self.moves: deque[Move] = deque(maxlen=MAX_MOVES)

    @property
    def heard(self) -> bool:
        """Some stage has ever reported."""
        return self.heard_at > -math.inf

    def take(self, report: pb.StageReport, seen_at: float, wall: datetime) -> bool:
        """Keep one report; whether it says something else than the one before, numbers apart.

        Args:
            report: as it came.
            seen_at: monotonic seconds.
            wall: the time of day, for the history.
        """
        self.heard_at = seen_at
        before = self._stages.get(report.instance)
        if before is None and len(self._stages) >= MAX_STAGES:
            return False
        latency_s, batch = _latency(report), _batch(report)
        idle = latency_s is None and batch is None
        stage = _Stage(report, seen_at, latency_s, batch, -math.inf if idle else seen_at)
        self._stages[report.instance] = stage if before is None else stage.after(before)
        if before is not None and _moved_alone(before.report, report):
            self.moves.appendleft(Move(wall, plan_digest(report.active), report.decision[:MAX_REASON], report.node))
        return before is None or seen_at - before.seen_at > FRESH_S or _words(before.report) != _words(report)

    def forget_stale(self, now: float, kept_s: float = KEPT_S) -> None:
        """Drop stages that have been silent for long: pods that were replaced."""
        self._stages = {name: stage for name, stage in self._stages.items() if now - stage.seen_at <= kept_s}

    def fresh(self, now: float, tier: str | None = None) -> list[pb.StageReport]:
        """Reports that speak of now, of all tiers or of one."""
        return [
            stage.report
            for stage in self._stages.values()
            if now - stage.seen_at <= FRESH_S and tier in (None, stage.report.tier)
        ]

    def heads(self, now: float, first_tier: str, since: int) -> list[pb.StageReport]:
        """Reports of heads that speak of now, and of plans as they are called since an epoch.

        Args:
            now: monotonic seconds.
            first_tier: the heads' tier.
            since: epoch since which names mean what they mean now; heads with an older route may mean other plans.
        """
        return [head for head in self.fresh(now, first_tier) if head.epoch >= since]

    def selectable(self, now: float, first_tier: str, since: int = 0) -> frozenset[str]:
        """Plans that heads have verified: all of those heads that have verified any, or that a head uses now.

        A head that just started holds nobody back: it uses no plan before it has verified it itself. Arguments are
        those of `heads`.
        """
        heads = [head for head in self.heads(now, first_tier, since) if head.selectable]
        verified = [frozenset(head.selectable) for head in heads]
        used = {head.active for head in heads if head.active in head.selectable}
        return frozenset.intersection(*verified) | used if verified else frozenset()

    def active(self, now: float, first_tier: str) -> dict[str, int]:
        """How many heads use each plan."""
        return Counter(head.active for head in self.fresh(now, first_tier) if head.active)

    def remembered(self, first_tier: str) -> frozenset[str]:
        """The plans of all heads that were heard of lately, whether they report now or not."""
        return frozenset(s.report.active for s in self._stages.values() if s.report.tier == first_tier)

    def observed_s(self, now: float, first_tier: str) -> float | None:
        """Mean seconds of requests as heads saw them last; None where they saw none."""
        fresh = [stage for stage in self._stages.values() if now - stage.seen_at <= FRESH_S]
        seen = [s.latency_s for s in fresh if s.report.tier == first_tier and s.latency_s is not None]
        return sum(seen) / len(seen) if seen else None

    def links(self, now: float) -> dict[tuple[str, str], pb.LinkView]:
        """Each link as the median of the stages that send over it; down where all of them say so."""
        views: dict[tuple[str, str], list[pb.LinkView]] = {}
        for report in self.fresh(now):
            for view in report.estimates:
                if view.down or _can_be(view):
                    views.setdefault((view.source, view.target), []).append(view)
        return {place: _joined(found) for place, found in views.items()}

    def loads(self, now: float) -> dict[str, float]:
        """Observed over profiled seconds per tier, as the median of its stages."""
        found: dict[str, list[float]] = {}
        for report in self.fresh(now):
            if plausible(Metric.LOAD, report.load):
                found.setdefault(report.tier, []).append(report.load)
        return {tier: median(values) for tier, values in found.items()}

    def batch(self, now: float) -> int | None:
        """The batch size that most stages ran lately; None where none ran."""
        fresh = [stage for stage in self._stages.values() if now - stage.seen_at <= FRESH_S]
        sizes = Counter(stage.batch for stage in fresh if stage.batch is not None)
        return max(sizes, key=lambda size: (sizes[size], size), default=None)

    def problems(self, now: float) -> dict[str, str]:
        """What stages complain of, by instance."""
        return {report.instance: report.problem[:MAX_REASON] for report in self.fresh(now) if report.problem}


def _latency(report: pb.StageReport) -> float | None:
    """Mean seconds of the requests since the report before, over the plans that served them."""
    seen = [count.latency_s for count in report.served if plausible(Metric.LATENCY, count.latency_s)]
    busy = [seconds for seconds in seen if seconds > 0]
    return sum(busy) / len(busy) if busy else None


def _batch(report: pb.StageReport) -> int | None:
    runs = Counter[int]()
    for seen in report.segments:
        runs[seen.batch] += seen.runs
    return max(runs, key=lambda size: (runs[size], size), default=None)


def _moved_alone(before: pb.StageReport, report: pb.StageReport) -> bool:
    """A head's reason stands until its next own move: only with another one it moved by itself."""
    moved = "" not in (before.active, report.active) and before.active != report.active
    named = PLAN.fullmatch(plan_digest(report.active)) is not None
    return moved and named and bool(report.decision) and report.decision != before.decision


def _words(report: pb.StageReport) -> tuple[object, ...]:
    down = tuple((view.source, view.target) for view in report.estimates if view.down)
    return report.epoch, tuple(report.selectable), report.active, report.problem, down


def _can_be(view: pb.LinkView) -> bool:
    return plausible(Metric.BANDWIDTH, view.bandwidth_bps) and plausible(Metric.LATENCY, view.latency_s)


def _joined(views: Iterable[pb.LinkView]) -> pb.LinkView:
    """Numbers of a link that is down are of no use: they are left out."""
    views = list(views)
    up = [view for view in views if not view.down]
    if not up:
        return pb.LinkView(source=views[0].source, target=views[0].target, down=True)
    return pb.LinkView(
        source=up[0].source,
        target=up[0].target,
        bandwidth_bps=median(view.bandwidth_bps for view in up),
        latency_s=median(view.latency_s for view in up),
    )

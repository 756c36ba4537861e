"""What stages report over the route stream, kept per resource; nothing here waits or writes."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from tiersplit_operator.facts import Move
from tiersplit_wire.v1 import route_pb2 as pb

FRESH_S = 5.0
"""Stages report at least once a second; one that has not for this long says nothing about now."""
MAX_STAGES = 2000
"""Per resource; more reports than that are not kept."""
MAX_MOVES = 20
MAX_REASON = 200


@dataclass(slots=True)
class _Stage:
    report: pb.StageReport
    seen_at: float
    latency_s: float | None = None


class Reports:
    """The newest report of every stage of one resource, and the moves that heads made by themselves."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}
        self.moves: deque[Move] = deque(maxlen=MAX_MOVES)

    def take(self, report: pb.StageReport, seen_at: float, wall: datetime) -> None:
        """Keep one report.

        Args:
            report: as it came.
            seen_at: monotonic seconds.
            wall: the time of day, for the history.
        """
        before = self._stages.get(report.instance)
        if before is None and len(self._stages) >= MAX_STAGES:
            return
        latency_s = _latency(report)
        kept_s = before.latency_s if before is not None and latency_s is None else latency_s
        self._stages[report.instance] = _Stage(report, seen_at, kept_s)
        moved = before is not None and report.active and before.report.active not in ("", report.active)
        if moved and report.decision:
            self.moves.appendleft(Move(wall, report.active, report.decision[:MAX_REASON], report.node))

    def forget_stale(self, now: float, kept_s: float = 60.0) -> None:
        """Drop stages that have been silent for long: pods that were replaced."""
        self._stages = {name: stage for name, stage in self._stages.items() if now - stage.seen_at <= kept_s}

    def fresh(self, now: float, tier: str | None = None) -> list[pb.StageReport]:
        """Reports that speak of now, of all tiers or of one."""
        return [
            stage.report
            for stage in self._stages.values()
            if now - stage.seen_at <= FRESH_S and tier in (None, stage.report.tier)
        ]

    def selectable(self, now: float, first_tier: str) -> frozenset[str]:
        """Plans that heads have verified: all of those heads that have verified any, or that a head uses now.

        A head that just started holds nobody back: it uses no plan before it has verified it itself.
        """
        heads = [report for report in self.fresh(now, first_tier) if report.selectable]
        verified = [frozenset(report.selectable) for report in heads]
        used = {report.active for report in heads if report.active in report.selectable}
        return frozenset.intersection(*verified) | used if verified else frozenset()

    def active(self, now: float, first_tier: str) -> dict[str, int]:
        """How many heads use each plan."""
        counts: dict[str, int] = {}
        for report in self.fresh(now, first_tier):
            if report.active:
                counts[report.active] = counts.get(report.active, 0) + 1
        return counts

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
                views.setdefault((view.source, view.target), []).append(view)
        return {place: _joined(found) for place, found in views.items()}

    def loads(self, now: float) -> dict[str, float]:
        """Observed over profiled seconds per tier, as the median of its stages."""
        found: dict[str, list[float]] = {}
        for report in self.fresh(now):
            if report.load > 0:
                found.setdefault(report.tier, []).append(report.load)
        return {tier: median(values) for tier, values in found.items()}

    def batch(self, now: float) -> int | None:
        """The batch size that most segments ran with lately; None where none ran."""
        runs: dict[int, int] = {}
        for report in self.fresh(now):
            for seen in report.segments:
                runs[seen.batch] = runs.get(seen.batch, 0) + seen.runs
        return max(runs, key=lambda size: runs[size]) if runs else None

    def problems(self, now: float) -> dict[str, str]:
        """What stages complain of, by instance."""
        return {report.instance: report.problem[:MAX_REASON] for report in self.fresh(now) if report.problem}

    def epochs(self, now: float) -> Mapping[str, int]:
        """The newest route that each stage took."""
        return {report.instance: report.epoch for report in self.fresh(now)}


def _latency(report: pb.StageReport) -> float | None:
    seen = [count.latency_s for count in report.served if count.latency_s > 0]
    return seen[-1] if seen else None


def _joined(views: Iterable[pb.LinkView]) -> pb.LinkView:
    views = list(views)
    up = [view for view in views if not view.down]
    used = up or views
    return pb.LinkView(
        source=used[0].source,
        target=used[0].target,
        bandwidth_bps=median(view.bandwidth_bps for view in used),
        latency_s=median(view.latency_s for view in used),
        down=not up,
    )

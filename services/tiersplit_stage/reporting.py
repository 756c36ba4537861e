"""What a stage tells its controller."""

import asyncio
import statistics

import psutil

from tiersplit_stage.head import Head
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.routing import Router
from tiersplit_wire.v1 import route_pb2 as pb


class Reporter:
    """Makes this stage's reports.

    Args:
        identity: deployment, tier, instance and addresses; copied into every report.
        router: knows the route.
        pipeline: knows what runs.
        head: knows what is selectable; None where this is no head.
    """

    def __init__(self, identity: pb.StageReport, router: Router, pipeline: Pipeline, head: Head | None) -> None:
        self.changed = asyncio.Event()
        self._identity, self._router, self._pipeline, self._head = identity, router, pipeline, head
        self._process = psutil.Process()

    def report(self) -> pb.StageReport:
        """What happened since the last report, and what is."""
        report = pb.StageReport()
        report.CopyFrom(self._identity)
        report.epoch, report.problem = self._router.epoch, self._router.problem
        report.progress = self._router.progress
        report.resident.extend(self._router.resident)
        report.resident_bytes = self._process.memory_info().rss
        report.in_flight = self._pipeline.in_flight.total()
        report.queued = self._pipeline.worker.depth
        self._links(report)
        self._segments(report)
        if self._head is not None:
            _add_head(report, self._head)
        return report

    def _links(self, report: pb.StageReport) -> None:
        link = self._pipeline.link
        if link is None:
            return
        for seen in link.take_observations():
            report.links.add(
                source=link.source,
                target=link.target,
                bytes=seen.size_bytes,
                seconds=seen.seconds,
                idle_before=seen.idle_before,
                lost=seen.lost,
            )

    def _segments(self, report: pb.StageReport) -> None:
        seconds = self._pipeline.segment_seconds
        for (segment, batch), runs in list(seconds.items()):
            report.segments.add(segment=segment, batch=batch, runs=len(runs), seconds=statistics.median(runs))
        seconds.clear()


def _add_head(report: pb.StageReport, head: Head) -> None:
    report.selectable.extend(sorted(head.verified))
    report.active, report.rerun = head.active or "", head.rerun
    for digest, served in head.served.items():
        mean = served.recent_s / served.recent if served.recent else 0.0
        report.served.add(plan=digest, answered=served.answered, failed=served.failed, latency_s=mean)
        served.recent, served.recent_s = 0, 0.0
    if head.problems and not report.problem:
        report.problem = next(iter(head.problems.values()))

"""What a stage tells its controller."""

import asyncio

import psutil

from tiersplit_stage.estimates import Estimates
from tiersplit_stage.head import Head
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.routing import Router
from tiersplit_stage.steering import Steering
from tiersplit_wire.v1 import route_pb2 as pb


class Reporter:
    """Makes this stage's reports.

    Args:
        identity: deployment, tier, instance and addresses; copied into every report.
        router: knows the route.
        pipeline: knows what runs.
        estimates: has what was observed.
        steering: moves the head; None where this is no head.
    """

    def __init__(
        self,
        identity: pb.StageReport,
        router: Router,
        pipeline: Pipeline,
        estimates: Estimates,
        steering: Steering | None,
    ) -> None:
        self.changed = asyncio.Event()
        self._identity, self._router, self._pipeline = identity, router, pipeline
        self._estimates, self._steering = estimates, steering
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
        _add_observed(report, self._estimates)
        if self._router.head is not None:
            _add_head(report, self._router.head)
        if self._steering is not None:
            report.decision = self._steering.reason
        return report


def _add_observed(report: pb.StageReport, estimates: Estimates) -> None:
    estimates.gather()
    report.links.extend(estimates.take_transmissions())
    report.segments.extend(estimates.take_runs())
    report.load = estimates.load.load if estimates.load.runs else 0.0
    onward = estimates.onward
    if onward is None:
        return
    report.estimates.add(
        source=onward.source,
        target=onward.target,
        bandwidth_bps=onward.estimate.bandwidth_bps,
        latency_s=onward.estimate.latency_s,
        down=not onward.up,
    )


def _add_head(report: pb.StageReport, head: Head) -> None:
    report.selectable.extend(sorted(head.verified))
    report.active, report.rerun = head.active or "", head.rerun
    for digest, served in head.served.items():
        mean = served.recent_s / served.recent if served.recent else 0.0
        report.served.add(plan=digest, answered=served.answered, failed=served.failed, latency_s=mean)
        served.recent, served.recent_s = 0, 0.0
    if head.problems and not report.problem:
        report.problem = next(iter(head.problems.values()))

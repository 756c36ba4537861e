"""What a stage tells Prometheus."""

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tiersplit_core.errors import OperationError
from tiersplit_stage.link import Link
from tiersplit_stage.scraping import serve_scrapes
from tiersplit_wire.connection import hosts_for

if TYPE_CHECKING:
    from tiersplit_stage.estimates import Estimates

REFUSED, UNKNOWN = "", "unknown"
NO_PLAN = frozenset((REFUSED, UNKNOWN))
"""Labels of requests that no plan was bound to, and of those that ask for one that no route named."""
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _LinkCollector(Collector):
    """Counters that the link keeps itself."""

    def __init__(self, link: Callable[[], Link | None]) -> None:
        self._link = link

    def collect(self) -> Iterator[Metric]:
        """The counters as they are now."""
        link = self._link()
        labels = ["source", "target"]
        sent = CounterMetricFamily("tiersplit_link_bytes", "Bytes sent to the next tier.", labels=labels)
        busy = CounterMetricFamily("tiersplit_link_seconds", "Seconds that they took.", labels=labels)
        if link is not None:
            for family, value in zip((sent, busy), link.sent, strict=True):
                family.add_metric([link.source, link.target], value)
        yield sent
        yield busy


class _EstimateCollector(Collector):
    """What the stage believes; what was not seen has no sample."""

    def __init__(self, estimates: "Estimates") -> None:
        self._estimates = estimates

    def collect(self) -> Iterator[Metric]:
        """The estimates as they are now."""
        labels = ["source", "target"]
        bandwidth = GaugeMetricFamily("tiersplit_link_bandwidth_bps", "Bits per second, estimated.", labels=labels)
        latency = GaugeMetricFamily("tiersplit_link_latency_seconds", "Seconds one way, estimated.", labels=labels)
        up = GaugeMetricFamily("tiersplit_link_up", "1 where the link carries something.", labels=labels)
        onward = self._estimates.onward
        if onward is not None:
            names, estimate = [onward.source, onward.target], onward.estimate
            up.add_metric(names, float(onward.up))
            if onward.up:
                bandwidth.add_metric(names, estimate.bandwidth_bps)
                latency.add_metric(names, estimate.latency_s)
        yield from (bandwidth, latency, up)
        load = GaugeMetricFamily("tiersplit_tier_load", "Observed over profiled seconds of this stage.")
        if self._estimates.load.runs:
            load.add_metric([], self._estimates.load.load)
        yield load


class StageMetrics:
    """The metrics of one stage, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "tiersplit_request_seconds",
            "Seconds of a request at this stage.",
            ["plan", "code"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._segments = Histogram(
            "tiersplit_segment_seconds",
            "Seconds of one run of a segment.",
            ["segment"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._rejected = Counter(
            "tiersplit_rejected_total", "Requests that were refused.", ["code"], registry=self.registry
        )
        self._rerun = Counter("tiersplit_rerun_total", "Requests that ran again after a loss.", registry=self.registry)
        self._plan = Info("tiersplit_plan", "The plan that this head uses.", registry=self.registry)
        self._told_plans: set[str] = set()
        self._told_segments: set[str] = set()

    def request(self, plan: str, code: str, seconds: float) -> None:
        """A request was answered (`code` OK) or failed."""
        self._told_plans.add(plan)
        self._requests.labels(plan, code).observe(seconds)
        if code in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "UNAVAILABLE", "DEADLINE_EXCEEDED"):
            self._rejected.labels(code).inc()

    def segment(self, segment: str, seconds: float) -> None:
        """A segment ran."""
        self._told_segments.add(segment)
        self._segments.labels(segment).observe(seconds)

    def keep(self, plans: Collection[str], segments: Collection[str]) -> None:
        """Tell of these plans and segments from now on, and of what names none; else each change would add a series."""
        for plan in self._told_plans.difference(plans, NO_PLAN):
            self._requests.remove_by_labels({"plan": plan})
            self._told_plans.discard(plan)
        for segment in self._told_segments.difference(segments):
            self._segments.remove_by_labels({"segment": segment})
            self._told_segments.discard(segment)

    def rerun(self) -> None:
        """A request runs again after a loss."""
        self._rerun.inc()

    def active(self, plan: str) -> None:
        """The head uses another plan."""
        self._plan.info({"digest": plan})

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when Prometheus asks."""
        Gauge(name, text, registry=self.registry).set_function(value)

    def watch_link(self, link: Callable[[], Link | None]) -> None:
        """Bytes and seconds of the link to the next tier, read when Prometheus asks."""
        self.registry.register(_LinkCollector(link))

    def watch_estimates(self, estimates: "Estimates") -> None:
        """What the stage believes about its link and itself, read when Prometheus asks."""
        self.registry.register(_EstimateCollector(estimates))

    def serve(self, address: str) -> str:
        """Answer scrapes on `HOST:PORT` (port 0 picks one); returns the address.

        Raises:
            OperationError: the address cannot be opened.
        """
        host, _, port = address.rpartition(":")
        for candidate in hosts_for(host):
            try:
                return f"{candidate}:{serve_scrapes(candidate.strip('[]'), int(port), self.registry)}"
            except OSError as error:
                reason = error.strerror
        raise OperationError(f"{address} cannot be opened: {reason}")

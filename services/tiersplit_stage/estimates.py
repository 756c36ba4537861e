"""What a stage believes about its link onward and about itself: the same observations that it reports, made use of."""

import asyncio
import contextlib
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiersplit_core.adaptation.estimator import LOAD_JITTER_S, LinkEstimate, LinkEstimator, LoadEstimate
from tiersplit_core.adaptation.observation import LinkSample, SegmentSample
from tiersplit_core.profile.batches import interpolate
from tiersplit_core.profile.serving import Overhead
from tiersplit_stage.meter import BULK_BYTES, FIRST_GUESS_BPS, Observed, first_estimator
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.processors import Quota
from tiersplit_wire.v1 import route_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.link import Link

LOOK_S = 0.25
_LINK_SHARE = 0.05
"""Of a transmission's seconds, at least; its ends were quicker than profiled where less would be left for the link."""
FRESH_S = 10.0
_KEPT_TRANSMISSIONS, _KEPT_RUNS = 512, 256
_KEPT_KINDS = 256
"""Segments at batch sizes whose runs wait for a report; clients choose batch sizes, so they need a bound."""

Runs = dict[tuple[str, int], deque[float]]


@dataclass(frozen=True, slots=True)
class Onward:
    """The link to the next tier as its sender believes it to be.

    Attributes:
        source: name of this tier.
        target: name of the next tier.
        estimate: bandwidth, latency, and whether it is down.
        fresh: it was seen to carry something within the last `FRESH_S` seconds, and its bandwidth was seen at all.
    """

    source: str
    target: str
    estimate: LinkEstimate
    fresh: bool

    @property
    def up(self) -> bool:
        """Whether it carries something."""
        return self.fresh and not self.estimate.down


class LinkRecord:
    """One link, by the transmissions over all of its streams.

    Args:
        believed: what a route says about it; None where it says nothing.
    """

    def __init__(self, believed: pb.LinkView | None) -> None:
        self._believed = believed
        self._estimator: LinkEstimator | None = None
        self._carried_at: float | None = None
        self._bulk = False

    def observe(self, seen: Observed, now: float) -> None:
        """Take one transmission into account; `now` in monotonic seconds."""
        if not seen.lost:
            self._carried_at = now
            self._bulk = self._bulk or seen.size_bytes >= BULK_BYTES
            self._estimator = self._estimator or self._begin(seen)
        if self._estimator is not None:
            self._estimator.observe(LinkSample(seen.size_bytes, seen.seconds, seen.idle_before, seen.lost))

    def _begin(self, seen: Observed) -> LinkEstimator:
        """The first transmission, if it is a small one, knows the latency better than whoever sees all links."""
        believed = self._believed or pb.LinkView()
        known_bps = believed.bandwidth_bps if believed.bandwidth_bps > 0 else FIRST_GUESS_BPS
        return first_estimator(seen, known_bps, believed.latency_s)

    @property
    def estimate(self) -> LinkEstimate | None:
        """The link as estimated; None before its bandwidth was seen."""
        return self._estimator.estimate if self._estimator is not None and self._bulk else None

    def fresh(self, now: float) -> bool:
        """Whether it was seen to carry something lately."""
        return self._bulk and self._carried_at is not None and now - self._carried_at <= FRESH_S


class Estimates:
    """Gathers what the pipeline and its link observed, for the estimates and for the reports.

    Args:
        pipeline: what runs here.
        clock: monotonic seconds.
        granted: this container's limit of the processor; None: there is none.

    Attributes:
        onward: the link to the next tier; None before its bandwidth was seen.
        load: observed over profiled seconds of this stage.
    """

    def __init__(
        self, pipeline: Pipeline, clock: Callable[[], float] = time.monotonic, granted: Quota | None = None
    ) -> None:
        self.onward: Onward | None = None
        self.load = LoadEstimate()
        self._pipeline, self._clock = pipeline, clock
        self._jitter_s = LOAD_JITTER_S if granted is None else max(LOAD_JITTER_S, granted.steady_s(LOAD_JITTER_S))
        self._link: Link | None = None
        self._record = LinkRecord(None)
        self._views: Mapping[tuple[str, str], pb.LinkView] = {}
        self._receipts: Mapping[tuple[str, str], Overhead] = {}
        self._profiled: dict[str, dict[int, float]] = {}
        self._transmissions: deque[pb.LinkObservation] = deque(maxlen=_KEPT_TRANSMISSIONS)
        self._runs: Runs = {}
        self._news = asyncio.Event()

    def follow(self, route: pb.Route) -> None:
        """A route came: what it says about links until they are seen, and the seconds that segments should take."""
        self._views = {(view.source, view.target): view for view in route.guidance.links}
        self._receipts = {(cost.source, cost.target): _overhead(cost) for cost in route.receipts}
        self._profiled = {}
        for known in route.profiles:
            if known.tier == self._pipeline.tier and known.seconds > 0:
                self._profiled.setdefault(known.segment, {})[known.batch] = known.seconds

    def look_soon(self) -> None:
        """Something happened that should not wait for the next look."""
        self._news.set()

    async def run(self, looked: Callable[[], None]) -> None:
        """Gather every `LOOK_S` seconds and when something happened, for ever; `looked` is called after it."""
        while True:
            self._news.clear()
            self.gather()
            looked()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()

    def gather(self) -> None:
        """Take into account what was observed since the last time."""
        self._gather_link(self._clock())
        self._gather_runs()

    def _gather_link(self, now: float) -> None:
        link = self._pipeline.link
        if link is not self._link:
            self._link, self.onward = link, None
            self._record = LinkRecord(self._views.get((link.source, link.target)) if link is not None else None)
        if link is None:
            return
        cost = self._receipts.get((link.source, link.target), Overhead())
        for seen in (without_receipt(observed, cost) for observed in link.take_observations()):
            self._transmissions.append(_told(link, seen))
            self._record.observe(seen, now)
        estimate = self._record.estimate
        if estimate is not None:
            self.onward = Onward(link.source, link.target, estimate, self._record.fresh(now))

    def _gather_runs(self) -> None:
        observed = self._pipeline.segment_seconds
        samples = []
        for (segment, batch), seconds in observed.items():
            self._keep_runs((segment, batch), seconds)
            profiled_s = self.profiled_s(segment, batch)
            samples.append(SegmentSample(statistics.median(seconds), profiled_s, len(seconds)))
        observed.clear()
        self.load = self.load.observe(tuple(samples), jitter_s=self._jitter_s)

    def _keep_runs(self, kind: tuple[str, int], seconds: Iterable[float]) -> None:
        """Keep runs for the next report; the kind that ran least recently goes where there are too many."""
        runs = self._runs.pop(kind, None) or deque(maxlen=_KEPT_RUNS)
        runs.extend(seconds)
        self._runs[kind] = runs
        if len(self._runs) > _KEPT_KINDS:
            del self._runs[next(iter(self._runs))]

    def ran_idle(self, segment: str, seconds: float) -> None:
        """A segment ran on one row, though nobody asked for it: that tells the load, and nothing about requests."""
        sample = SegmentSample(seconds, self.profiled_s(segment, 1))
        self.load = self.load.observe((sample,), jitter_s=self._jitter_s)

    def profiled_s(self, segment: str, batch: int) -> float:
        """Seconds of a segment as profiled on this tier; 0 where it was not."""
        points = self._profiled.get(segment)
        return interpolate(points, batch) if points and batch >= 1 else 0.0

    def take_transmissions(self) -> list[pb.LinkObservation]:
        """What the link observed since the last call, for a report."""
        taken = list(self._transmissions)
        self._transmissions.clear()
        return taken

    def take_runs(self) -> Iterator[pb.SegmentObservation]:
        """The runs of segments since the last call, for a report."""
        taken, self._runs = self._runs, {}
        for (segment, batch), runs in taken.items():
            yield pb.SegmentObservation(segment=segment, batch=batch, runs=len(runs), seconds=statistics.median(runs))


def without_receipt(seen: Observed, cost: Overhead) -> Observed:
    """A transmission with the seconds of the link alone: what its ends spend on it is profiled and costed as serving.

    The time between two receipts of a busy link contains what is spent on bytes alone.

    Args:
        seen: as its sender saw it.
        cost: what the ends spend until the sender has the receipt.
    """
    if seen.lost:
        return seen
    spent_s = cost.seconds(seen.size_bytes) if seen.idle_before else cost.s_per_byte * seen.size_bytes
    return replace(seen, seconds=max(seen.seconds - spent_s, _LINK_SHARE * seen.seconds))


def _overhead(cost: pb.ReceiptCost) -> Overhead:
    sound = all(math.isfinite(part) and part >= 0 for part in (cost.fixed_s, cost.s_per_byte))
    return Overhead(cost.fixed_s, cost.s_per_byte) if sound else Overhead()


def _told(link: "Link", seen: Observed) -> pb.LinkObservation:
    return pb.LinkObservation(
        source=link.source,
        target=link.target,
        bytes=seen.size_bytes,
        seconds=seen.seconds,
        idle_before=seen.idle_before,
        lost=seen.lost,
    )

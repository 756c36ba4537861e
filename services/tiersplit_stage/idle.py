"""How loaded a stage is while it gets no requests: now and then it runs a segment of its own.

A tier that a neighbour has slowed down is left; without this nobody would see that it is fast again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from tiersplit_core.errors import ExhaustedError, TiersplitError
from tiersplit_stage.estimates import Estimates
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.stopwatch import Stopwatch

_log = logging.getLogger(__name__)
_PERIOD_S = 1.0
_SHARE = 0.01
"""Of the time: an idle stage leaves the processor to whoever else is there."""


class IdleRuns:
    """Measures the cheapest loaded segment whose profile is known, while nothing else runs.

    Args:
        pipeline: runs it.
        estimates: knows the profile, and is told how long it took.
        stopwatch: times it.
        segments: those of this tier.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        estimates: Estimates,
        stopwatch: Stopwatch,
        segments: Callable[[], Iterable[SegmentInfo]],
    ) -> None:
        self._pipeline, self._estimates, self._stopwatch, self._segments = pipeline, estimates, stopwatch, segments
        self._unfit: set[str] = set()

    async def run(self) -> None:
        """Measure when nothing ran for a while, for ever."""
        taken_s = 0.0
        while True:
            await asyncio.sleep(max(_PERIOD_S, taken_s / _SHARE))
            segment = self.cheapest() if self._pipeline.resting_s() >= _PERIOD_S else None
            taken_s = await self._measured(segment) if segment is not None else 0.0

    def cheapest(self) -> SegmentInfo | None:
        """The segment to run; None where no loaded one has a profile."""
        loaded = self._pipeline.pool.loaded
        known = [
            (seconds, segment)
            for segment in self._segments()
            if segment.blob in loaded and segment.blob not in self._unfit
            if (seconds := self._estimates.profiled_s(segment.id, 1)) > 0
        ]
        return min(known, key=lambda pair: pair[0])[1] if known else None

    async def _measured(self, segment: SegmentInfo) -> float:
        """Run it twice, the first time to warm it up; the seconds that both took."""
        began = time.monotonic()
        try:
            await self._pipeline.worker.run(lambda: self._once(segment), None)
            seconds, _ = await self._pipeline.worker.run(lambda: self._once(segment), None)
        except TiersplitError as error:
            _log.debug("segment %s cannot be run while idle: %s", segment.id, error)
            # A full queue and a segment that was dropped meanwhile say nothing about the next time.
            if not isinstance(error, ExhaustedError) and segment.blob in self._pipeline.pool.loaded:
                self._unfit.add(segment.blob)
        else:
            self._estimates.ran_idle(segment.id, seconds)
        return time.monotonic() - began

    def _once(self, segment: SegmentInfo) -> float:
        values = self._pipeline.pool.blank(segment)
        _, ran = self._stopwatch.time(segment.id, 1, lambda: self._pipeline.pool.run(segment, values))
        return ran.steady_s

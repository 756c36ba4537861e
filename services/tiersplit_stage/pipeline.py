"""One request at one stage: compute, hand on, wait for what comes back, and say what was done."""

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tiersplit_core.errors import DeadlineError
from tiersplit_stage.arriving import check_shapes, check_values
from tiersplit_stage.execute import Job, Outcome, execute, relay
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pool import SegmentPool
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker
from tiersplit_wire.failures import NotResidentError
from tiersplit_wire.v1 import activation_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.link import Link

_KEPT_SECONDS = 256
_REST_S = 3.0


@dataclass(slots=True)
class Answer:
    """The result of one request.

    Attributes:
        outputs: output tensors that were computed here, by tensor name.
        remote: output tensors that came back from later tiers, as they came.
        stages: seconds per tier that ran something, first tier first.
    """

    outputs: Mapping[str, NDArray[Any]]
    remote: list[pb.Tensor] = field(default_factory=list)
    stages: list[pb.StageSeconds] = field(default_factory=list)


class Pipeline:
    """Runs requests: the compute thread, the link onward, and the count of what each plan has in flight.

    Args:
        tier: this tier's name.
        pool: loaded segments.
        worker: the compute thread.
        stopwatch: times segments.
        metrics: where seconds are counted.
    """

    def __init__(
        self, tier: str, pool: SegmentPool, worker: Worker, stopwatch: Stopwatch, metrics: StageMetrics
    ) -> None:
        self.tier, self.pool, self.worker = tier, pool, worker
        self.link: Link | None = None
        self.in_flight: Counter[str] = Counter()
        self.blobs_in_use: Counter[str] = Counter()
        self.segment_seconds: dict[tuple[str, int], deque[float]] = defaultdict(lambda: deque(maxlen=_KEPT_SECONDS))
        self.idle = asyncio.Event()
        self._stopwatch = stopwatch
        self._last_left: float | None = None
        self._computed_at = time.monotonic()
        self._metrics = metrics

    async def run(self, job: Job) -> Answer:
        """Answer `job`, here or with the help of later tiers.

        Raises:
            TiersplitError: why it could not be answered.
        """
        blobs = [segment.blob for segment in job.plan.own_segments]
        self.in_flight[job.plan.key] += 1
        self.blobs_in_use.update(blobs)
        try:
            async with asyncio.timeout_at(job.deadline):
                return await self._run(job)
        except TimeoutError as error:
            raise DeadlineError("the deadline passed before the answer came") from error
        finally:
            self._left(job.plan.key, blobs)

    async def _run(self, job: Job) -> Answer:
        check_values(job)
        own = [job.plan.segments[i] for i in job.plan.own(job.position)]
        missing = [segment.id for segment in own if segment.blob not in self.pool.loaded]
        if missing:
            raise NotResidentError(f"tier {self.tier} does not hold segment {missing[0]}")
        check_shapes(self.pool, job, own)
        if own:
            outcome, queue_s = await self.worker.run(
                lambda: execute(self.pool, job, self._stopwatch), job.deadline, admitted=job.admitted
            )
            answer = Answer(outcome.outputs, stages=[self._account(job, outcome, queue_s)])
        else:
            outcome, answer = relay(job), Answer({})
        if outcome.forward is not None:
            await self._hand_on(job, outcome.forward, answer)
        return answer

    async def _hand_on(self, job: Job, frame: bytes, answer: Answer) -> None:
        if self.link is None:
            raise NotResidentError(f"tier {self.tier} knows no tier after it")
        result = await self.link.exchange(job.request_id, frame)
        answer.remote.extend(result.tensors)
        answer.stages.extend(result.stages)

    def _account(self, job: Job, outcome: Outcome, queue_s: float) -> pb.StageSeconds:
        self._computed_at = time.monotonic()
        for segment, ran in outcome.segments.items():
            self.segment_seconds[segment, job.rows].append(ran.steady_s)
            self._metrics.segment(segment, ran.taken_s)
        return pb.StageSeconds(tier=self.tier, queue_s=queue_s, compute_s=outcome.compute_s, codec_s=outcome.codec_s)

    def _left(self, key: str, blobs: list[str]) -> None:
        self.in_flight -= Counter([key])  # keeps positive counts only
        self.blobs_in_use -= Counter(blobs)
        self._last_left = time.monotonic()
        self.idle.set()

    def in_flight_total(self) -> int:
        """Requests in flight, of all plans."""
        return self.in_flight.total()

    def resting_s(self) -> float:
        """Seconds since something was computed here; 0 while something is, or waits to be."""
        return 0.0 if self.worker.depth else time.monotonic() - self._computed_at

    def rested(self) -> bool:
        """True once after requests came and then none for a while: buffers may go."""
        quiet = self._last_left is not None and not self.in_flight
        if not quiet or time.monotonic() - (self._last_left or 0.0) < _REST_S:
            return False
        self._last_left = None
        return True

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; False when `timeout_s` was not enough."""
        end = time.monotonic() + timeout_s
        while self.in_flight:
            self.idle.clear()
            try:
                await asyncio.wait_for(self.idle.wait(), end - time.monotonic())
            except TimeoutError:
                return False
        return True

"""The Activations service: what tiers before this one send, and what they get back."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import grpc
import grpc.aio

from tiersplit_core.errors import ExhaustedError, FrameError
from tiersplit_stage.execute import Job
from tiersplit_stage.metrics import UNKNOWN, StageMetrics
from tiersplit_stage.pipeline import Answer, Pipeline
from tiersplit_stage.stream import INSTANCE_KEY
from tiersplit_wire.convert import array_to_proto, check_activations, parse_upstream
from tiersplit_wire.failures import NotResidentError, code_of, status_of
from tiersplit_wire.v1 import activation_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.plans import StagePlan

SERVICE = "tiersplit.wire.v1.Activations"
Context: TypeAlias = grpc.aio.ServicerContext[bytes, pb.DownstreamFrame]


class Upstream:
    """One neighbour's stream: the tasks it started, and the queue of frames that go back to it."""

    def __init__(self, servicer: "ActivationsServicer", context: Context) -> None:
        self._servicer = servicer
        self._context = context
        self._writing = asyncio.Lock()
        self._tasks: dict[bytes, asyncio.Task[None]] = {}
        self._frames: asyncio.Queue[pb.DownstreamFrame] = asyncio.Queue()

    def put(self, frame: pb.DownstreamFrame) -> None:
        """Send `frame` back."""
        self._frames.put_nowait(frame)

    async def take(self, data: bytes) -> None:
        """Handle one frame from the neighbour.

        Raises:
            FrameError: `data` is no frame, or names a request that is under way: the stream cannot be trusted any more.
        """
        frame = parse_upstream(data)
        kind = frame.WhichOneof("kind")
        request_id = getattr(frame, str(kind)).request_id
        if kind == "cancel":
            task = self._tasks.get(request_id)
            if task is not None:
                task.cancel()
            return
        if kind == "activations" and request_id in self._tasks:
            raise FrameError("another request with this id is under way", "activations.request_id")
        # Written at once and not through the queue: the neighbour measures the link by it.
        await self._send(pb.DownstreamFrame(receipt=pb.Receipt(request_id=request_id, received_bytes=len(data))))
        if kind == "activations":
            task = asyncio.ensure_future(self._answer(frame.activations))
            self._tasks[request_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(request_id, None))

    async def write(self) -> None:
        """Send what is in the queue, for ever."""
        while True:
            await self._send(await self._frames.get())

    async def flushed(self) -> None:
        """Wait until every answer is on its way."""
        while self._tasks or not self._frames.empty():
            await asyncio.sleep(0.01)

    def cancel(self) -> None:
        """The neighbour is gone: nobody waits for what it asked."""
        for task in self._tasks.values():
            task.cancel()

    async def _send(self, frame: pb.DownstreamFrame) -> None:
        async with self._writing:
            await self._context.write(frame)

    async def _answer(self, message: pb.ActivationSet) -> None:
        self.put(await self._servicer.answer(message))


class ActivationsServicer:
    """Answers activation sets.

    Args:
        pipeline: runs them.
        metrics: counts them.
        instance: names this process to its neighbours.
        max_in_flight: requests that are accepted at the same time.
    """

    def __init__(self, pipeline: Pipeline, metrics: StageMetrics, instance: str, max_in_flight: int) -> None:
        self.plans: dict[str, StagePlan] = {}  # by key
        self._pipeline = pipeline
        self._metrics = metrics
        self._instance = instance
        self._max_in_flight = max_in_flight
        self._upstreams: set[Upstream] = set()

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a server needs; frames stay bytes until `parse_upstream` has looked at them."""
        handler = grpc.stream_stream_rpc_method_handler(
            self.exchange, request_deserializer=None, response_serializer=pb.DownstreamFrame.SerializeToString
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Exchange": handler})

    async def exchange(self, _: object, context: Context) -> None:
        """One neighbour's stream, until it ends."""
        await context.send_initial_metadata(((INSTANCE_KEY, self._instance),))
        upstream = Upstream(self, context)
        self._upstreams.add(upstream)
        writer = asyncio.ensure_future(upstream.write())
        try:
            while (data := await context.read()) is not grpc.aio.EOF:
                await upstream.take(data)
        except FrameError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        finally:
            self._upstreams.discard(upstream)
            upstream.cancel()
            writer.cancel()

    def keep(self, plans: Mapping[str, "StagePlan"]) -> None:
        """Answer for these plans, by key, and tell of no others any more."""
        self.plans = dict(plans)
        segments = {segment.id for plan in plans.values() for segment in plan.own_segments}
        self._metrics.keep({plan.digest for plan in plans.values()}, segments)

    def farewell(self) -> None:
        """Ask all neighbours to send new requests elsewhere."""
        for upstream in self._upstreams:
            upstream.put(pb.DownstreamFrame(farewell=pb.Farewell()))

    async def flush(self, timeout_s: float) -> None:
        """Wait until every neighbour has its answers, at most `timeout_s`."""
        waits = [upstream.flushed() for upstream in self._upstreams]
        await asyncio.wait_for(asyncio.gather(*waits), timeout_s)

    async def answer(self, message: pb.ActivationSet) -> pb.DownstreamFrame:
        """The result of an activation set, or why there is none."""
        began = time.monotonic()
        try:
            answer = await self._pipeline.run(self._job(message, began))
        except Exception as error:  # whatever went wrong is the answer; the stream lives on
            self._metrics.request(self._label(message), status_of(error).name, time.monotonic() - began)
            return _failure(message.request_id, error)
        self._metrics.request(self._label(message), "OK", time.monotonic() - began)
        return pb.DownstreamFrame(result=_result(message.request_id, answer))

    def _label(self, message: pb.ActivationSet) -> str:
        """A plan's digest; what no route named must not become a label of its own."""
        plan = self.plans.get(message.plan)
        return UNKNOWN if plan is None else plan.digest

    def _job(self, message: pb.ActivationSet, now: float) -> Job:
        check_activations(message)
        plan = self.plans.get(message.plan)
        if plan is None:
            raise NotResidentError(f"tier {self._pipeline.tier} does not know the plan {message.plan[:80]}")
        if self._pipeline.in_flight.total() >= self._max_in_flight:
            raise ExhaustedError(f"{self._max_in_flight} requests are in flight at tier {self._pipeline.tier}")
        return Job(
            request_id=message.request_id,
            plan=plan,
            position=message.next_segment,
            values={tensor.name: tensor for tensor in message.tensors},
            rows=message.rows,
            deadline=now + message.remaining_us / 1e6 if message.remaining_us else None,
        )


def _result(request_id: bytes, answer: Answer) -> pb.Result:
    tensors = [array_to_proto(name, array, 64) for name, array in sorted(answer.outputs.items())]
    return pb.Result(request_id=request_id, tensors=[*tensors, *answer.remote], stages=answer.stages)


def _failure(request_id: bytes, error: Exception) -> pb.DownstreamFrame:
    reason = str(error) or type(error).__name__
    return pb.DownstreamFrame(failure=pb.Failure(request_id=request_id, code=code_of(error), reason=reason[:2000]))

"""A stage at the other end of a link, and the link, as a channel: no sockets, so that it lives in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2

from tiersplit_wire.v1 import activation_pb2 as pb


class FarStage:
    """Receipts and answers what comes over a link that takes its time; `channel()` leads to it.

    Attributes:
        bandwidth_bps: of the link; frames leave one after the other.
        latency_s: of the link, one way.
        up: cleared while the link carries nothing; what was under way goes on when it is set again.
        compute_s: what the stage takes for a request after its receipt.
        probes: padding bytes of the probes that came.
        sent: when requests were written to the link, in the loop's seconds.
    """

    def __init__(self, bandwidth_bps: float, latency_s: float) -> None:
        self.bandwidth_bps, self.latency_s = bandwidth_bps, latency_s
        self.up = asyncio.Event()
        self.up.set()
        self.compute_s = 0.0
        self.probes: list[int] = []
        self.sent: list[float] = []

    def channel(self) -> Any:
        """What a stream dials."""
        return _Channel(self)

    async def carry(self, size_bytes: int) -> None:
        """Wait until so many bytes have left."""
        await self.up.wait()
        await asyncio.sleep(8 * size_bytes / self.bandwidth_bps)
        await self.up.wait()

    async def fly(self) -> None:
        """Wait for the latency, and for the link if it does not move then."""
        await asyncio.sleep(self.latency_s)
        await self.up.wait()


class _Channel:
    def __init__(self, far: FarStage) -> None:
        self._far = far

    async def __aenter__(self) -> "_Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def stream_stream(self, *_: object, **__: object) -> Any:
        return lambda **_: _Exchange(self._far)

    def unary_unary(self, *_: object, **__: object) -> Any:
        return None  # the health service's stub has such a method; nobody calls it

    def unary_stream(self, *_: object, **__: object) -> Any:
        return lambda *_, **__: _healthy()


async def _healthy() -> AsyncIterator[health_pb2.HealthCheckResponse]:
    yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
    await asyncio.Event().wait()


class _Exchange:
    """One call: what is written crosses the link, is read and answered there, and the answers cross it back."""

    def __init__(self, far: FarStage) -> None:
        self._far = far
        self._there: asyncio.Queue[bytes] = asyncio.Queue()
        self._back: asyncio.Queue[Any] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._carry())

    async def initial_metadata(self) -> tuple[()]:
        return ()

    async def write(self, frame: bytes) -> None:
        if pb.UpstreamFrame.FromString(frame).WhichOneof("kind") == "activations":
            self._far.sent.append(asyncio.get_running_loop().time())
        self._there.put_nowait(frame)

    async def read(self) -> Any:
        return await self._back.get()

    def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._back.put_nowait(grpc.aio.EOF)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self) -> None:
        while True:
            frame = await self._there.get()
            await self._far.carry(len(frame))
            self._spawn(self._answer(pb.UpstreamFrame.FromString(frame)))

    async def _answer(self, frame: pb.UpstreamFrame) -> None:
        await self._far.fly()
        kind = frame.WhichOneof("kind")
        if kind == "probe":
            self._far.probes.append(len(frame.probe.padding))
            await self._say(pb.DownstreamFrame(receipt=pb.Receipt(request_id=frame.probe.request_id)))
        elif kind == "activations":
            request_id = frame.activations.request_id
            self._spawn(self._say(pb.DownstreamFrame(receipt=pb.Receipt(request_id=request_id))))
            await asyncio.sleep(self._far.compute_s)
            await self._say(pb.DownstreamFrame(result=pb.Result(request_id=request_id)))

    async def _say(self, frame: pb.DownstreamFrame) -> None:
        await self._far.fly()
        self._back.put_nowait(frame.SerializeToString())

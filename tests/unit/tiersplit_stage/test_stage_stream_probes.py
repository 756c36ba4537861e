"""What a stream asks of its link when a transmission surprises, or when the link moves again."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiersplit_stage import meter, stream
from tiersplit_wire.connection import make_server
from tiersplit_wire.v1 import activation_pb2 as pb
from tiersplit_wire.v1 import activation_pb2_grpc as rpc

PAYLOAD = os.urandom(4000)


class Slow(rpc.ActivationsServicer):
    """Reads frames one after the other, as slowly as it is told; receipts and answers them."""

    def __init__(self) -> None:
        self.seconds_per_byte = 5e-6
        self.moves = asyncio.Event()
        self.moves.set()
        self.probes: list[int] = []

    async def Exchange(  # noqa: N802 - the name in the protocol
        self, request_iterator: AsyncIterator[pb.UpstreamFrame], context: Any
    ) -> AsyncIterator[pb.DownstreamFrame]:
        await context.send_initial_metadata(())
        async for frame in request_iterator:
            if frame.WhichOneof("kind") == "cancel":
                continue
            await asyncio.sleep(0.01 + frame.ByteSize() * self.seconds_per_byte)
            await self.moves.wait()
            if frame.WhichOneof("kind") == "probe":
                self.probes.append(len(frame.probe.padding))
                yield pb.DownstreamFrame(receipt=pb.Receipt(request_id=frame.probe.request_id))
            else:
                yield pb.DownstreamFrame(receipt=pb.Receipt(request_id=frame.activations.request_id))
                yield pb.DownstreamFrame(result=pb.Result(request_id=frame.activations.request_id))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def ask(made: stream.Stream) -> None:
    request_id = os.urandom(16)
    tensor = pb.Tensor(name="x", payload=PAYLOAD)
    frame = pb.UpstreamFrame(activations=pb.ActivationSet(request_id=request_id, tensors=[tensor]))
    await made.exchange(request_id, frame.SerializeToString())


@asynccontextmanager
async def connected(noticed: list[bool]) -> AsyncIterator[tuple[stream.Stream, Slow]]:
    """A stream that has opened and knows its link; `noticed` grows by whether it was in doubt when it said so."""
    server, slow = make_server(), Slow()
    rpc.add_ActivationsServicer_to_server(slow, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made = stream.Stream(f"127.0.0.1:{port}", lambda: noticed.append(made.meter.in_doubt), lambda: 10**7)
    try:
        await until(lambda: len(slow.probes) == 2 and not made.meter.outstanding)
        for _ in range(8):
            await ask(made)
        await until(lambda: not made.meter.outstanding and not made.meter.in_doubt)
        slow.probes.clear()
        noticed.clear()
        yield made, slow
    finally:
        await made.close()
        await server.stop(0)


def test_a_surprise_is_confirmed_by_a_probe_at_once_and_both_are_told() -> None:
    async def scenario() -> tuple[list[int], list[bool], float]:
        noticed: list[bool] = []
        async with connected(noticed) as (made, slow):
            slow.seconds_per_byte *= 10
            await ask(made)
            await until(lambda: len(noticed) >= 2 and not made.meter.in_doubt)
            return slow.probes, noticed, made.meter.bandwidth_bps or 0.0

    probes, noticed, bandwidth_bps = asyncio.run(scenario())
    assert len(probes) >= 1
    assert probes[0] == pytest.approx(len(PAYLOAD), rel=0.05)
    assert (noticed[0], noticed[-1]) == (True, False)
    assert bandwidth_bps < 8 / 5e-6 / 2


def test_a_link_that_moves_again_is_measured_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_PATIENCE_S", 0.2)

    async def scenario() -> list[int]:
        async with connected([]) as (made, slow):
            slow.moves.clear()
            with pytest.raises(stream.LostError):
                await ask(made)
            slow.moves.set()
            await until(lambda: len(slow.probes) >= 2)
            assert made.usable
            return slow.probes

    assert asyncio.run(scenario())[:2] == [64, 16384]

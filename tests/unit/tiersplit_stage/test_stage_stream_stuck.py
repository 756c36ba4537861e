"""A stream whose link never moves again is replaced by a new one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.support.far_stage import FarStage
from tests.support.patience import PATIENCE_S
from tests.support.virtual_time import run_virtually
from tiersplit_stage import meter, stream
from tiersplit_stage.servicer import SERVICE
from tiersplit_wire.connection import make_server
from tiersplit_wire.v1 import activation_pb2 as pb
from tiersplit_wire.v1 import activation_pb2_grpc as rpc


class Mute(rpc.ActivationsServicer):
    """Takes everything on its first stream and says nothing; receipts everything on later ones."""

    def __init__(self) -> None:
        self.streams = 0

    async def Exchange(  # noqa: N802 - the name in the protocol
        self, request_iterator: AsyncIterator[pb.UpstreamFrame], context: Any
    ) -> AsyncIterator[pb.DownstreamFrame]:
        self.streams += 1
        answers = self.streams > 1
        await context.send_initial_metadata(())
        async for frame in request_iterator:
            if answers and frame.WhichOneof("kind") == "probe":
                yield pb.DownstreamFrame(receipt=pb.Receipt(request_id=frame.probe.request_id, received_bytes=1))


async def reconnected() -> tuple[int, bool, bool]:
    server, mute = make_server(), Mute()
    rpc.add_ActivationsServicer_to_server(mute, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    moved = asyncio.Event()
    made = stream.Stream(f"127.0.0.1:{port}", moved.set, lambda: 0)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (mute.streams > 1 and made.usable and made.meter.round_trip_s is not None):
                moved.clear()
                await asyncio.wait([asyncio.ensure_future(moved.wait())], timeout=0.1)
        return mute.streams, made.usable, made.suspect
    finally:
        await made.close()
        await server.stop(0)


def test_a_link_that_never_moves_again_gets_a_new_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "_PATIENCE_UNKNOWN_S", 0.2)
    monkeypatch.setattr(stream, "_STUCK_S", 0.2)
    streams, usable, suspect = asyncio.run(reconnected())
    assert streams >= 2
    assert usable
    assert not suspect


def test_only_the_stream_that_never_moves_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[int, bool]:
        dead, alive = FarStage(1e6, 0.01), FarStage(1e6, 0.01)
        dead.up.clear()
        dialled: list[FarStage] = []

        def dial() -> Any:
            dialled.append(alive if dialled else dead)
            return dialled[-1].channel()

        made = stream.Stream("far", lambda: None, lambda: 0, dial)
        await asyncio.sleep(600.0)
        usable = made.usable
        await made.close()
        return len(dialled), usable

    assert run_virtually(scenario(), [stream], monkeypatch) == (2, True)


def test_closing_a_stream_ends_its_tasks() -> None:
    async def closed() -> int:
        made = stream.Stream("127.0.0.1:1", lambda: None, lambda: 0)
        async with asyncio.timeout(PATIENCE_S):
            await made.close()
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(closed()) == 0


class Babbling:
    """Answers its first stream with bytes that are no frame, and receipts everything on later ones."""

    def __init__(self) -> None:
        self.streams = 0

    async def exchange(self, _: object, context: Any) -> None:
        self.streams += 1
        await context.send_initial_metadata(())
        if self.streams == 1:
            await context.write(b"\xff\xff\xff")
        while (data := await context.read()) is not grpc.aio.EOF:
            probe = pb.UpstreamFrame.FromString(data).probe
            receipt = pb.Receipt(request_id=probe.request_id)
            await context.write(pb.DownstreamFrame(receipt=receipt).SerializeToString())


async def recovered() -> int:
    server, babbling = make_server(), Babbling()
    handler = grpc.stream_stream_rpc_method_handler(babbling.exchange)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Exchange": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    made = stream.Stream(f"127.0.0.1:{port}", lambda: None, lambda: 0)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while made.meter.round_trip_s is None:
                await asyncio.sleep(0.01)
        return babbling.streams
    finally:
        await made.close()
        await server.stop(0)


def test_a_peer_that_sends_no_frames_costs_the_connection_and_not_the_link() -> None:
    assert asyncio.run(recovered()) == 2


def test_a_stream_that_fails_in_a_way_nobody_foresaw_is_told_and_opened_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = [ZeroDivisionError("unforeseen")]

    def changed() -> None:
        if failing:
            raise failing.pop()

    async def scenario() -> bool:
        made = stream.Stream("far", changed, lambda: 0, FarStage(1e6, 0.01).channel)
        await asyncio.sleep(1.0)
        usable = made.usable
        await made.close()
        return usable

    assert run_virtually(scenario(), [stream], monkeypatch)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "the stream to far failed; it is opened again"
    ]

"""One neighbour's stream: what it may ask, and what becomes of that when it goes."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import FrameError
from tiersplit_stage.servicer import Upstream
from tiersplit_wire.v1 import activation_pb2 as pb

FIRST, SECOND = b"1" * 16, b"2" * 16


def activations(request_id):
    return pb.UpstreamFrame(activations=pb.ActivationSet(request_id=request_id)).SerializeToString()


class Neighbour:
    """Takes what is written to it; its requests are answered when `gate` is set."""

    def __init__(self):
        self.written, self.cancelled, self.gate = [], [], asyncio.Event()
        self.upstream = Upstream(SimpleNamespace(answer=self._answer), SimpleNamespace(write=self._write))

    async def _write(self, frame):
        self.written.append(frame.WhichOneof("kind"))

    async def _answer(self, message):
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(message.request_id)
            raise
        return pb.DownstreamFrame(result=pb.Result(request_id=message.request_id))


def test_a_request_id_that_is_under_way_ends_the_stream_and_no_request_is_left_behind():
    async def scenario():
        neighbour = Neighbour()
        for request_id in (FIRST, SECOND):
            await neighbour.upstream.take(activations(request_id))
        with pytest.raises(FrameError, match="under way"):
            await neighbour.upstream.take(activations(FIRST))
        await asyncio.sleep(0)
        neighbour.upstream.cancel()
        await asyncio.sleep(0.01)
        return neighbour

    assert asyncio.run(scenario()).cancelled == [FIRST, SECOND]


def test_an_id_may_come_again_once_it_was_answered():
    async def scenario():
        neighbour = Neighbour()
        neighbour.gate.set()
        writer = asyncio.ensure_future(neighbour.upstream.write())
        for _ in range(2):
            await neighbour.upstream.take(activations(FIRST))
            async with asyncio.timeout(PATIENCE_S):
                await neighbour.upstream.flushed()
        writer.cancel()
        return neighbour.written

    assert asyncio.run(scenario()) == ["receipt", "result"] * 2

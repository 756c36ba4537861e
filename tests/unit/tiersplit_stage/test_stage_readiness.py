"""What a stage hears of the readiness of the one after it."""

import asyncio

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from tests.support.virtual_time import run_virtually
from tiersplit_stage.readiness import watch_readiness

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Channel:
    """Its health service answers each watch with the next of these lists, whose last entry may be a status."""

    def __init__(self, *watches):
        self.watches = list(watches)

    def unary_unary(self, *_, **__):
        return None  # the stub has such a method; nobody calls it

    def unary_stream(self, *_, **__):
        return lambda *_, **__: self._watch()

    async def _watch(self):
        for said in self.watches.pop(0) if self.watches else [asyncio.Event()]:
            if isinstance(said, asyncio.Event):
                await said.wait()
            if isinstance(said, grpc.StatusCode):
                raise grpc.aio.AioRpcError(said, grpc.aio.Metadata(), grpc.aio.Metadata())
            yield health_pb2.HealthCheckResponse(status=said)


def told(patch, *watches):
    async def heard():
        found = []
        task = asyncio.ensure_future(watch_readiness(Channel(*watches), found.append))
        await asyncio.sleep(10)
        task.cancel()
        return found, task

    return run_virtually(heard(), [], patch)


@pytest.mark.parametrize("end", [[], [grpc.StatusCode.INTERNAL]], ids=["ended", "failed"])
def test_a_watch_that_ends_alone_is_begun_again(monkeypatch, end):
    found, _ = told(monkeypatch, [SERVING, *end], [NOT_SERVING])
    assert found == [True, False]


def test_who_keeps_no_health_is_ready_and_asked_no_more(monkeypatch):
    found, task = told(monkeypatch, [grpc.StatusCode.UNIMPLEMENTED])
    assert found == [True]
    assert task.done()

"""What probes are told: a stage that hangs does not live, one that lost its way for long is not ready."""

import asyncio
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.patience import PATIENCE_S
from tiersplit_stage import health
from tiersplit_stage.health import Health, ProbeServicer
from tiersplit_stage.worker import Worker
from tiersplit_wire.connection import bind, make_server, open_channel

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
READY_NAMES = ("", "readiness", "inference")


class State:
    alive = True
    ready = False


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    return now


async def told(board, service):
    await board.tell()
    request = health_pb2.HealthCheckRequest(service=service)
    return (await board.servicer.Check(request, None)).status


def board_of(state):
    return Health(["inference"], lambda: state.alive, lambda: state.ready)


def test_readiness_follows_the_stage_under_all_its_names_and_liveness_its_threads(clock):
    async def scenario():
        state = State()
        board = board_of(state)
        assert [await told(board, name) for name in READY_NAMES] == [NOT_SERVING] * 3
        assert await told(board, "liveness") == SERVING
        state.ready, state.alive = True, False
        assert [await told(board, name) for name in READY_NAMES] == [SERVING] * 3
        assert await told(board, "liveness") == NOT_SERVING

    asyncio.run(scenario())


def test_a_way_that_is_lost_for_less_than_requests_wait_for_it_changes_nothing(clock):
    async def scenario():
        state = State()
        board = board_of(state)
        state.ready = True
        await board.tell()
        state.ready = False
        clock[0] += 4.9
        assert await told(board, "readiness") == SERVING
        clock[0] += 0.2
        assert await told(board, "readiness") == NOT_SERVING

    asyncio.run(scenario())


def test_a_stage_that_goes_is_not_ready_at_once_and_for_good(clock):
    async def scenario():
        state = State()
        board = board_of(state)
        state.ready = True
        await board.tell()
        await board.leave()
        assert [await told(board, name) for name in READY_NAMES] == [NOT_SERVING] * 3
        assert await told(board, "liveness") == SERVING

    asyncio.run(scenario())


def test_the_seconds_of_a_run_that_hangs_grow_until_it_ends():
    async def scenario():
        worker, begun, end = Worker(4), threading.Event(), threading.Event()

        def hang():
            begun.set()
            end.wait(PATIENCE_S)

        assert worker.running_s == 0.0
        running = asyncio.ensure_future(worker.run(hang, None))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        first = worker.running_s
        assert 0 <= first < worker.running_s
        end.set()
        await running
        assert worker.running_s == 0.0
        worker.close()

    asyncio.run(scenario())


def test_nobody_can_keep_the_kubelet_from_asking_by_watching_at_its_port():
    async def scenario():
        board, server = board_of(State()), make_server(max_calls=4)
        health_pb2_grpc.add_HealthServicer_to_server(ProbeServicer(board), server)
        address = bind(server, "127.0.0.1:0")
        await server.start()
        await board.tell()
        async with open_channel(address) as channel:
            stub, asked = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest(service="liveness")
            for _ in range(9):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await stub.Watch(asked).read()
                assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
            status = (await stub.Check(asked, timeout=PATIENCE_S)).status
        await server.stop(0)
        return status

    assert asyncio.run(scenario()) == SERVING

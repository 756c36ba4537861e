"""The route stream over real connections: who is let in, how soon a route arrives, and what is refused."""

import asyncio
import contextlib
import time

import grpc
import grpc.aio
import pytest

from tests.support.certificates import Authority, write_secret
from tests.support.patience import PATIENCE_S
from tests.support.route_server import KEY, serve_routes
from tests.support.stages import MODEL
from tiersplit_operator import routes
from tiersplit_operator.facts import Key, Pod, RouteRecord
from tiersplit_operator.resources.workloads import TOKEN_AUDIENCE
from tiersplit_operator.routes import MAX_REPORT_BYTES
from tiersplit_operator.settings import RoutesSettings
from tiersplit_wire.connection import open_channel, trusting
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

CODE = grpc.StatusCode
UNAUTHENTICATED, UNAVAILABLE, DENIED = CODE.UNAUTHENTICATED, CODE.UNAVAILABLE, CODE.PERMISSION_DENIED


def route(epoch, selected="p"):
    return pb.Route(deployment=MODEL, epoch=epoch, selected=selected)


def test_a_pod_gets_the_route_that_is_and_every_later_one_and_its_reports_are_heard():
    async def work(world):
        world.publish(route(1))
        async with world.watch(instance="somebody else", node="elsewhere", namespace="far", active="p") as call:
            assert (await call.read()).epoch == 1
            for epoch in (2, 3, 7):
                world.publish(route(epoch))
                assert (await call.read()).epoch == epoch
            await call.write(pb.StageReport(deployment=MODEL, tier="edge", active="q"))
            await world.until(lambda: len(world.reports) == 2, "both reports are heard")
        assert [(key, report.instance, report.active) for key, report in world.reports] == [
            (KEY, "pod-0", "p"),
            (KEY, "pod-0", "q"),
        ]
        assert {(report.namespace, report.node) for _, report in world.reports} == {("shop", "node-0")}
        await world.until(lambda: world.server.streams == 0, "the stream ends with the pod")

    serve_routes(work)


def test_a_pod_that_comes_before_the_route_waits_for_it():
    async def work(world):
        async with world.watch() as call:
            await world.until(lambda: world.reports, "it is let in")
            world.publish(route(1))
            assert (await call.read()).epoch == 1

    serve_routes(work)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"token": ""}, UNAUTHENTICATED, "Bearer"),
        ({"token": "unknown"}, UNAUTHENTICATED, "not one of a pod"),
        ({"token": "x" * (13 * 2**10)}, UNAUTHENTICATED, "Bearer"),
        ({"token": "token-far"}, UNAVAILABLE, "not known to belong"),
        ({"deployment": "other"}, UNAVAILABLE, "not known to belong"),
        ({"tier": "cloud"}, DENIED, "belongs to tier 'edge'"),
    ],
)
def test_who_cannot_prove_to_be_a_pod_of_that_tier_is_told_nothing(asked, code, words):
    async def work(world):
        world.publish(route(1))
        world.publish(route(1), Key("shop", "other"))
        found, said = await world.refusal(**asked)
        assert found is code
        assert words in said
        assert world.reports == []

    serve_routes(work)


def test_tokens_are_reviewed_for_this_audience_and_not_at_every_dial():
    async def work(world):
        world.publish(route(1))
        for _ in range(3):
            async with world.watch() as call:
                await call.read()
            await world.refusal(token="unknown")
        assert world.reviews == [TOKEN_AUDIENCE, TOKEN_AUDIENCE]

    serve_routes(work)


def test_while_tokens_cannot_be_reviewed_pods_are_asked_to_come_again():
    async def work(world):
        world.publish(route(1))
        world.down = True
        assert (await world.refusal())[0] is UNAVAILABLE
        world.down = False
        async with world.watch() as call:
            assert (await call.read()).epoch == 1

    serve_routes(work)


def test_a_pod_of_a_job_is_no_stage():
    async def work(world):
        world.known = (Pod("pod-0", uid="uid-0", tier="edge", job="net-profile-edge"),)
        assert (await world.refusal())[0] is DENIED

    serve_routes(work)


def test_who_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(routes, "FIRST_REPORT_S", 0.2)

    async def work(world):
        async with open_channel(world.address) as channel:
            call = rpc.RoutesStub(channel).Watch(metadata=(("authorization", "Bearer token-0"),), timeout=PATIENCE_S)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
        assert refused.value.code() is CODE.DEADLINE_EXCEEDED
        await world.until(lambda: world.server.streams == 0, "the stream is over")

    serve_routes(work)


def test_a_replica_that_does_not_lead_tells_the_route_and_sends_the_pod_on():
    async def work(world):
        world.leads = False
        world.publish(route(5))
        async with world.watch() as call:
            assert (await call.read()).epoch == 5
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await call.read()
        assert ended.value.code() is UNAVAILABLE

    serve_routes(work)


def test_a_pod_that_speaks_for_others_is_sent_away():
    async def work(world):
        world.publish(route(1))
        for other in (pb.StageReport(deployment="other", tier="edge"), pb.StageReport(deployment=MODEL, tier="cloud")):
            async with world.watch() as call:
                await call.read()
                await call.write(other)
                with pytest.raises(grpc.aio.AioRpcError) as ended:
                    await call.read()
            assert ended.value.code() is DENIED
        assert {report.tier for _, report in world.reports} == {"edge"}

    serve_routes(work)


def test_reports_are_bounded():
    async def work(world):
        world.publish(route(1))
        async with world.watch(problem="x" * (MAX_REPORT_BYTES + 1)) as call:
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        assert world.reports == []
        async with world.watch(problem="x" * (MAX_REPORT_BYTES // 2)) as call:
            await call.read()

    serve_routes(work)


def test_the_number_of_streams_is_bounded(monkeypatch):
    monkeypatch.setattr(routes, "MAX_STREAMS", 1)

    async def work(world):
        world.publish(route(1))
        async with world.watch() as call:
            await call.read()
            assert (await world.refusal(token="token-1"))[0] is CODE.RESOURCE_EXHAUSTED

    serve_routes(work)


def test_a_pod_that_reports_without_end_waits(monkeypatch):
    monkeypatch.setattr(routes, "PACE_S", 3600)

    async def work(world):
        world.publish(route(1))
        async with world.watch() as call:
            await call.read()
            for _ in range(3):
                await call.write(pb.StageReport(deployment=MODEL, tier="edge"))
            await world.until(lambda: len(world.reports) == 2, "the second report is heard")
            world.publish(route(2))
            assert (await call.read()).epoch == 2
            assert len(world.reports) == 2

    serve_routes(work)


def test_one_pod_does_not_take_the_places_of_others(monkeypatch):
    monkeypatch.setattr(routes, "MAX_STREAMS_OF_POD", 1)

    async def work(world):
        world.publish(route(1))
        async with world.watch() as call:
            await call.read()
            assert (await world.refusal())[0] is CODE.RESOURCE_EXHAUSTED
            async with world.watch(token="token-1") as other:
                assert (await other.read()).epoch == 1
        await world.until(lambda: world.server.streams == 0, "the streams end")
        async with world.watch() as call:
            assert (await call.read()).epoch == 1

    serve_routes(work)


def test_a_damaged_route_reaches_nobody_and_ends_nothing():
    async def work(world):
        world.publish(route(1))
        async with world.watch() as call:
            await call.read()
            world.routes[KEY] = RouteRecord("2", "r", "u", 2, "", "", b"\xff\xff")
            world.server.changed(KEY)
            await asyncio.sleep(0.05)
            world.publish(route(3))
            assert (await call.read()).epoch == 3

    serve_routes(work)


def test_a_pod_that_ends_its_side_ends_the_stream_in_order():
    async def work(world):
        world.publish(route(1))
        async with world.watch() as call:
            await call.read()
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is CODE.OK

    serve_routes(work)


def test_every_pod_gets_the_newest_route_soon_though_thousands_come_in_a_burst():
    async def work(world):
        world.publish(route(1))
        async with contextlib.AsyncExitStack() as stack:
            calls = [await stack.enter_async_context(world.watch(f"token-{i}")) for i in range(50)]
            for call in calls:
                assert (await call.read()).epoch == 1
            for epoch in range(2, 4002):
                world.publish(route(epoch))
                if epoch % 100 == 0:
                    await asyncio.sleep(0)

            async def newest(call):
                while (await call.read()).epoch < 4001:
                    pass

            await asyncio.gather(*map(newest, calls))
            took = []
            for epoch in range(4002, 4022):
                began = time.perf_counter()
                world.publish(route(epoch))
                assert (await calls[0].read()).epoch == epoch
                took.append(time.perf_counter() - began)
            # A busy machine makes some of them late, and no queue that grew in the burst makes one of them early.
            assert min(took) < 0.05

    serve_routes(work)


def test_a_stream_that_is_slow_to_take_one_route_does_not_miss_the_next():
    async def work(world):
        large = route(1)
        large.model.name = "x" * (32 << 20)
        world.publish(large)
        async with world.watch("token-0") as slow, world.watch("token-1") as quick:
            assert (await quick.read()).epoch == 1
            world.publish(route(2))
            assert (await quick.read()).epoch == 2
            assert [(await slow.read()).epoch for _ in range(2)] == [1, 2]

    serve_routes(work)


def test_pods_trust_the_server_by_its_authority(tmp_path):
    authority, foreign = Authority("ours"), Authority("theirs")
    folder = write_secret(tmp_path / "tls", authority.issue("127.0.0.1"), authority.pem)

    async def work(world):
        world.publish(route(1))
        async with world.watch(credentials=trusting(authority.pem)) as call:
            assert (await call.read()).epoch == 1
        assert (await world.refusal(credentials=trusting(foreign.pem)))[0] is UNAVAILABLE

    serve_routes(work, RoutesSettings(listen="127.0.0.1:0", tls_dir=str(folder)))

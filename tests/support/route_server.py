"""The operator's route server over real connections, with tokens, pods and routes in memory."""

import asyncio
import contextlib
import time
from types import SimpleNamespace

import grpc
import grpc.aio
import pytest

from tests.support.patience import PATIENCE_S, START_S
from tests.support.stages import MODEL
from tiersplit_core.errors import OperationError
from tiersplit_operator.facts import Key, Pod, RouteRecord
from tiersplit_operator.routes import RoutesServer
from tiersplit_operator.settings import RoutesSettings
from tiersplit_wire.connection import open_channel
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

KEY = Key("shop", MODEL)


class RouteWorld:
    """A server with what it asks: tokens, routes and pods in memory."""

    def __init__(self):
        self.tokens = {f"token-{i}": SimpleNamespace(namespace="shop", pod_uid=f"uid-{i}") for i in range(200)}
        self.tokens["token-far"] = SimpleNamespace(namespace="far", pod_uid="uid-0")
        self.known = tuple(Pod(f"pod-{i}", uid=f"uid-{i}", tier="edge", node=f"node-{i}") for i in range(200))
        self.routes, self.reports, self.leads, self.reviews, self.down = {}, [], True, [], False
        self.server, self.address = None, ""

    async def review_token(self, token, audience):
        self.reviews.append(audience)
        if self.down:
            raise OperationError("the API server is away")
        return self.tokens.get(token)

    def route(self, key):
        return self.routes.get(key)

    def pods(self, key):
        return self.known if key == KEY else ()

    def publish(self, route, key=KEY):
        payload = route.SerializeToString()
        self.routes[key] = RouteRecord(str(route.epoch), "r", "u", route.epoch, "", route.selected, payload)
        self.server.changed(key)

    @contextlib.asynccontextmanager
    async def watch(self, token="token-0", deployment=MODEL, tier="edge", credentials=None, **report):
        """A pod's stream; its first report is sent."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        async with open_channel(self.address, credentials) as channel:
            call = rpc.RoutesStub(channel).Watch(metadata=metadata, timeout=PATIENCE_S)
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                await call.write(pb.StageReport(deployment=deployment, tier=tier, **report))
            yield call
            call.cancel()

    async def refusal(self, **asked):
        """With which status, and why, a pod is sent away."""
        async with self.watch(**asked) as call:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                assert await call.read() is not grpc.aio.EOF
                await call.read()
        return refused.value.code(), refused.value.details()

    async def until(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, what
            await asyncio.sleep(0.005)


def serve_routes(work, settings=None, **changes):
    """Run `work` with a server."""

    async def main():
        world = RouteWorld()
        world.__dict__.update(changes)
        chosen = settings or RoutesSettings(listen="127.0.0.1:0")
        world.server = RoutesServer(
            chosen, world, world, lambda key, report: world.reports.append((key, report)), lambda: world.leads
        )
        world.address = await world.server.start()
        try:
            async with asyncio.timeout(START_S + 2 * PATIENCE_S):
                await work(world)
        finally:
            await world.server.stop(0)

    asyncio.run(main())

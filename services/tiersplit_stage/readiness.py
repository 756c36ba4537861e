"""Whether the stage at the other end of a channel wants requests: what its health service tells about itself."""

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SERVICE = "tiersplit.wire.v1.Activations"
_AGAIN_S = 1.0


async def watch_readiness(channel: grpc.aio.Channel, tell: Callable[[bool], None]) -> None:
    """Tell it at once and whenever it changes, until cancelled; who keeps no health is ready.

    Args:
        channel: to the stage.
        tell: told whether it is ready.
    """
    stub = health_pb2_grpc.HealthStub(channel)
    while True:
        try:
            async for answer in stub.Watch(health_pb2.HealthCheckRequest(service=_SERVICE)):
                tell(answer.status != health_pb2.HealthCheckResponse.NOT_SERVING)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                tell(True)
                return
        # The watch alone ended: what it told last would stand for as long as the connection.
        await asyncio.sleep(_AGAIN_S)

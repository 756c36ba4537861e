"""Whether the stage at the other end of a channel wants requests: what its health service tells about itself."""

from collections.abc import Callable

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

_SERVICE = "tiersplit.wire.v1.Activations"


async def watch_readiness(channel: grpc.aio.Channel, tell: Callable[[bool], None]) -> None:
    """Tell it now and whenever it changes, for as long as the connection lasts; who keeps no health is ready.

    Args:
        channel: to the stage.
        tell: told whether it is ready.
    """
    call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=_SERVICE))
    try:
        async for answer in call:
            tell(answer.status != health_pb2.HealthCheckResponse.NOT_SERVING)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            tell(True)

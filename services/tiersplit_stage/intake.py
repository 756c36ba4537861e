"""What a head lets in: the bytes of a request, bounded by what its model can use and by the time that they may take."""

import asyncio
import math
import time
from typing import Any

import grpc.aio

from tiersplit_core.errors import DeadlineError, ExhaustedError, RequestError
from tiersplit_wire.connection import MAX_MESSAGE_BYTES
from tiersplit_wire.datatypes import largest_element_bytes
from tiersplit_wire.v1 import route_pb2 as route

_DEFAULT_MAX_BATCH = 1024
_DESCRIPTION_BYTES = 64 << 10
"""For names, shapes, ids and parameters."""
ARRIVAL_S = 30.0
"""A call that has not brought its request by then gives its place to others, whatever deadline it set itself."""


def max_rows(model: route.Model) -> int:
    """The largest batch that `model` takes."""
    return model.max_batch or _DEFAULT_MAX_BATCH


def largest_request_bytes(model: route.Model) -> int:
    """Bytes of the largest request that `model` can answer; `MAX_MESSAGE_BYTES` where nothing bounds its inputs."""
    sizes = [_largest_bytes(tensor, max_rows(model)) for tensor in model.inputs]
    return int(min(MAX_MESSAGE_BYTES, _DESCRIPTION_BYTES + sum(sizes)))


def _largest_bytes(tensor: route.ModelTensor, rows: int) -> float:
    shape = [rows if i == 0 and size == -1 else size for i, size in enumerate(tensor.shape)]
    element = largest_element_bytes(tensor.datatype)
    return math.inf if element is None or -1 in shape else element * math.prod(shape)


def check_size(size_bytes: int, model: route.Model) -> None:
    """Refuse a request that is larger than any that `model` can answer.

    Raises:
        ExhaustedError: says how many bytes it may have.
    """
    most = largest_request_bytes(model)
    if size_bytes > most:
        enough = f"at most {most} bytes, enough for {max_rows(model)} rows"
        raise ExhaustedError(f"a request for {model.name!r} has {enough}; {size_bytes} came")


async def receive(context: Any, deadline: float) -> bytes:
    """The one message of a call, as it came.

    Args:
        context: of the call.
        deadline: monotonic second by which it must be here.

    Raises:
        DeadlineError: it was not, or took longer than `ARRIVAL_S`.
        RequestError: the call ended without one.
    """
    reading = asyncio.ensure_future(context.read())
    reading.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left to look
    # Left to itself where it takes too long: gRPC ends it with the call.
    allowed_s = min(deadline - time.monotonic(), ARRIVAL_S)
    await asyncio.wait((reading,), timeout=allowed_s)
    if not reading.done():
        raise DeadlineError(f"the request was not here within {max(allowed_s, 0):.1f} s")
    data = reading.result()
    if data is grpc.aio.EOF:
        raise RequestError("the call ended without a request")
    return bytes(data)

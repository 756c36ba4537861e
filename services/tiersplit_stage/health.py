"""What a kubelet and clients ask a stage: whether it lives, and whether it should get requests."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2

LIVENESS, READINESS = "liveness", "readiness"
_LOOK_S = 0.25
_PATIENCE_S = 5.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Keeps a grpc.health.v1 service in step with the stage.

    Liveness needs an event loop that answers at all and a compute thread that moves. Readiness is what the empty
    service name and the named services tell too; a way that is lost for less than requests wait for it changes nothing.

    Args:
        services: names that mean readiness, besides `readiness` and the empty one.
        alive: whether the stage's threads move.
        ready: whether requests can be answered.

    Attributes:
        changed: set when it is worth looking before the next look is due.
    """

    def __init__(self, services: Sequence[str], alive: Callable[[], bool], ready: Callable[[], bool]) -> None:
        self.servicer = health.aio.HealthServicer()
        self.changed = asyncio.Event()
        self._services = ("", READINESS, *services)
        self._alive, self._ready = alive, ready
        self._ready_at: float | None = None
        self._leaving = False
        self._told: dict[str, bool] = {}

    async def run(self) -> None:
        """Tell what changed, for ever."""
        while True:
            self.changed.clear()
            await self.tell()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.changed.wait(), _LOOK_S)

    async def tell(self) -> None:
        """Tell what changed since the last call."""
        ready = self._is_ready(time.monotonic())
        states = {LIVENESS: self._alive(), **dict.fromkeys(self._services, ready)}
        for service, state in states.items():
            if self._told.get(service) is not state:
                self._told[service] = state
                await self.servicer.set(service, _SERVING if state else _NOT_SERVING)

    async def leave(self) -> None:
        """This stage goes: it is not ready from now on, whatever else it can do."""
        self._leaving = True
        await self.tell()

    def _is_ready(self, now: float) -> bool:
        if self._ready():
            self._ready_at = now
        return not self._leaving and self._ready_at is not None and now - self._ready_at < _PATIENCE_S


class ProbeServicer:
    """What the kubelet asks, at a port that anybody can reach: nothing there can be held open, so its turn comes.

    Args:
        health: knows the answers.
    """

    def __init__(self, health: Health) -> None:
        self._health = health

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: D102, N802
        return await self._health.servicer.Check(request, context)

    async def Watch(self, request: Any, context: Any) -> None:  # noqa: ARG002, D102, N802
        await context.abort(
            grpc.StatusCode.UNIMPLEMENTED, "this port answers Check; Watch is served where requests are"
        )

"""A running deployment: relays, stages and the controller, started together and ended together."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio

from tiersplit_control.routing import make_route
from tiersplit_core.errors import InputError, OperationError
from tiersplit_core.units import parse_quantity
from tiersplit_local.control import serve_control
from tiersplit_local.controller import Controller
from tiersplit_local.links import EmulatedLink
from tiersplit_local.preparation import Prepared
from tiersplit_local.processes import MEMORY_ENVIRONMENT, Child
from tiersplit_local.settings import LocalSettings
from tiersplit_local.status import snapshot
from tiersplit_local.workdir import WorkDir, read_json, write_json
from tiersplit_wire.v1 import route_pb2_grpc

READY_TIMEOUT_S = 120.0
DRAIN_S = 15.0
MAX_REPORT_BYTES = 4 * 2**20
MAX_LATENCY_S = 60.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is started.

    Attributes:
        threads: intra-op threads of each stage.
        serve_port: port of the head on 127.0.0.1; 0 picks one.
        max_batch: largest batch that the head takes.
    """

    threads: int = 1
    serve_port: int = 0
    max_batch: int = 64


class Supervisor:
    """Runs a prepared deployment.

    Args:
        settings: what the manifest means here.
        prepared: bundle, surface and profiles.
        work: its directory.
        options: how it is started.
    """

    def __init__(self, settings: LocalSettings, prepared: Prepared, work: WorkDir, options: RunOptions) -> None:
        self.settings, self.prepared, self.work, self.options = settings, prepared, work, options
        self.links = tuple(EmulatedLink(link) for link in settings.intent.links)
        self.controller = Controller(settings.intent, prepared.catalogue, work.history, self._placed)
        self.stages: dict[str, Child] = {}
        self.head = ""
        self._server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_REPORT_BYTES)])
        self._stop = asyncio.Event()
        self._control: asyncio.Server | None = None
        self._socket = work.socket_path()

    async def run(self, on_ready: Callable[[str], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Start everything, serve until SIGINT or SIGTERM, then drain and end everything.

        Args:
            on_ready: told the head's address once the first plan serves.
            on_tick: told the state about once a second.

        Raises:
            OperationError: it did not become ready in time.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._start()
            tasks.append(asyncio.create_task(self.controller.run()))
            if await self._became_ready(tasks[0]):
                on_ready(self.head)
                tasks.append(asyncio.create_task(self._tick(on_tick)))
                await self._stopped(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()

    async def _start(self) -> None:
        route_pb2_grpc.add_RoutesServicer_to_server(self.controller, self._server)  # type: ignore[no-untyped-call]
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        await asyncio.gather(*(link.start() for link in self.links))
        addresses = {link.link.target: (link.address,) for link in self.links}
        prepared = self.prepared
        route = make_route(self.settings.intent, prepared.bundle, prepared.catalogue, addresses, self.options.max_batch)
        route.probe_budget_bps = self.controller.probe_budget()
        self.controller.publish(route)
        for position, tier in enumerate(self.settings.intent.tier_names):
            self.stages[tier] = self._stage(tier, f"127.0.0.1:{port}", is_head=position == 0)
        await asyncio.gather(*(stage.start() for stage in self.stages.values()))
        self._control = await serve_control(self._socket, self.handle)
        write_json(self.work.running, {"pid": os.getpid(), "control": str(self._socket)})

    def _stage(self, tier: str, controller: str, *, is_head: bool) -> Child:
        command = [sys.executable, "-m", "tiersplit_stage", "--deployment", self.settings.intent.name, "--tier", tier]
        command += ["--bundle", str(self.prepared.bundle.root), "--controller", controller]
        command += ["--threads", str(self.settings.threads), "--slowdown", str(self.settings.slowdowns[tier])]
        command += ["--serve", f"127.0.0.1:{self.options.serve_port}"] if is_head else []
        said = self.work.stage(tier)
        said.unlink(missing_ok=True)
        command += ["--metrics", "127.0.0.1:0", "--ready-file", str(said)]
        environment = {**MEMORY_ENVIRONMENT, "OMP_NUM_THREADS": str(self.settings.threads)}
        return Child(f"stage {tier}", command, self.work.logs / f"stage-{tier}.log", environment)

    async def _placed(self, tier: str, address: str) -> None:
        for link in self.links:
            if link.link.target == tier:
                await link.lead_to(address)

    async def _became_ready(self, deciding: asyncio.Task[None]) -> bool:
        """Whether a plan serves; False where a signal came first."""
        waiting = [asyncio.create_task(self.controller.serving.wait()), asyncio.create_task(self._stop.wait())]
        done, _ = await asyncio.wait([*waiting, deciding], timeout=READY_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if deciding in done:
            deciding.result()
        if not done:
            raise OperationError(f"not ready within {READY_TIMEOUT_S:.0f} s: {self._complaints()}")
        self.head = self.controller.observer.head_report.client_address
        return not self._stop.is_set()

    def _complaints(self) -> str:
        words = []
        for name, stage in self.stages.items():
            problem = self.controller.observer.stages[name].report.problem or stage.last_words(2)
            words.append(f"{name}: {problem or 'silent'}")
        return "; ".join(words)

    async def _stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        """Wait for a signal, or for a task that died: that ends the run with its error."""
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in done - {stop}:
            task.result()

    async def _tick(self, on_tick: Callable[[dict[str, Any]], None]) -> None:
        while True:
            on_tick(self.status())
            await asyncio.sleep(1.0)

    def status(self) -> dict[str, Any]:
        """The state as plain values."""
        metrics = {name: str(read_json(self.work.stage(name)).get("metrics_address", "")) for name in self.stages}
        return snapshot(self.controller, self.head, self.stages, metrics, self.links, self.settings.slowdowns)

    async def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request of the control socket: `status`, `link` or `pin`.

        Raises:
            InputError: the request is none of them, or does not fit.
        """
        if "status" in request:
            return self.status()
        if "link" in request:
            return await self._set_link(request["link"])
        if "pin" in request:
            self.controller.pin(None if request["pin"] is None else str(request["pin"]))
            return {"pinned": self.controller.pinned}
        raise InputError("ask for status, link or pin", "request")

    async def _set_link(self, wanted: object) -> dict[str, Any]:
        if not isinstance(wanted, dict):
            raise InputError("write an object with from, to, bandwidth, latency_s", "link")
        chosen = self._between(str(wanted.get("from")), str(wanted.get("to")))
        latency_s = wanted.get("latency_s")
        if latency_s is not None and not (isinstance(latency_s, int | float) and 0 <= latency_s <= MAX_LATENCY_S):
            raise InputError(f"{latency_s!r} is no latency; write 0 to {MAX_LATENCY_S:.0f} seconds", "link.latency_s")
        for link in chosen:
            bandwidth = link.link.bandwidth_bps
            if (text := wanted.get("bandwidth")) is not None:
                bandwidth = None if text == "unlimited" else float(parse_quantity(str(text), "bandwidth"))
            await link.reshape(bandwidth, None if latency_s is None else float(latency_s))
        return {"links": [link for link in self.status()["links"] if link["from"] in {c.link.source for c in chosen}]}

    def _between(self, source: str, target: str) -> tuple[EmulatedLink, ...]:
        """The link between neighbours, or all links from one tier to a later one."""
        names = self.settings.intent.tier_names
        if source not in names or target not in names or names.index(source) >= names.index(target):
            known = ", ".join(f"{link.link.source}:{link.link.target}" for link in self.links) or "none"
            raise InputError(f"{source}:{target} names no link; links are {known}", "link")
        return self.links[names.index(source) : names.index(target)]

    async def _end(self) -> None:
        """The head first, so that what it took is answered while the others still serve."""
        stages = list(self.stages.values())
        for together in (stages[:1], stages[1:]):
            await asyncio.gather(*(stage.stop(DRAIN_S) for stage in together), return_exceptions=True)
        await asyncio.gather(*(link.stop() for link in self.links), return_exceptions=True)
        await self._server.stop(0.5)
        if self._control is not None:
            self._control.close()
        self._socket.unlink(missing_ok=True)
        if self._socket.parent != self.work.path:
            self._socket.parent.rmdir()

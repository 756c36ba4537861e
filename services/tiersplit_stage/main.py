"""One stage as a process: builds its parts, serves until it is told to stop, and then drains."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tiersplit_stage.emulation import Emulation
from tiersplit_stage.head import Head
from tiersplit_stage.inference import InferenceServicer
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.options import Options, parse
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.pool import BlobStore, SegmentPool
from tiersplit_stage.reporting import Reporter, follow
from tiersplit_stage.routing import Router
from tiersplit_stage.servicer import SERVICE, ActivationsServicer
from tiersplit_stage.worker import Worker
from tiersplit_wire.connection import make_server
from tiersplit_wire.v1 import inference_pb2_grpc as inference_rpc
from tiersplit_wire.v1 import route_pb2 as pb

_STOP_GRACE_S = 2.0
_INFERENCE = "inference.GRPCInferenceService"


class Stage:
    """All parts of one stage.

    Args:
        options: what it was started with.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._metrics = StageMetrics()
        self._instance = f"{options.tier}-{os.getpid()}-{secrets.token_hex(4)}"
        store = BlobStore(options.bundle)
        pool = SegmentPool(store, options.threads)
        worker = Worker(options.queue)
        self._pipeline = Pipeline(options.tier, pool, worker, Emulation(options.slowdown), self._metrics)
        self._servicer = ActivationsServicer(self._pipeline, self._metrics, self._instance, options.max_in_flight)
        state = options.state_dir / f"{options.deployment}-{options.tier}.route" if options.state_dir else None
        self._router = Router(
            options.deployment, options.tier, store, pool, self._pipeline, self._servicer, self._report_soon, state
        )
        self._health = health.aio.HealthServicer()
        self._reporter: Reporter | None = None
        self._inference: InferenceServicer | None = None
        self._servers: list[grpc.aio.Server] = []

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        address = await self._open_activations()
        client_address = await self._open_inference() if self._options.serve else ""
        metrics_address = self._metrics.serve(self._options.metrics) if self._options.metrics else ""
        self._watch_gauges()
        identity = pb.StageReport(
            deployment=self._options.deployment,
            tier=self._options.tier,
            instance=self._instance,
            address=address,
            client_address=client_address,
        )
        self._reporter = Reporter(identity, self._router, self._pipeline, self._router.head)
        tasks = [asyncio.ensure_future(self._router.run())]
        if self._options.controller:
            tasks.append(asyncio.ensure_future(follow(self._options.controller, self._reporter, self._router)))
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        self._announce({"address": address, "client_address": client_address, "metrics_address": metrics_address})
        await self._stopped(tasks)
        await self._drain()
        for task in tasks:
            task.cancel()
        await self._router.close()
        self._pipeline.worker.close()

    async def _open_activations(self) -> str:
        server = make_server()
        server.add_generic_rpc_handlers((self._servicer.handlers(),))
        return await self._start(server, self._options.listen, SERVICE)

    async def _open_inference(self) -> str:
        head = Head(self._pipeline, self._metrics, self._options.max_in_flight, self._report_soon)
        self._inference = InferenceServicer(head, self._metrics, self._options.deployment, version("tiersplit"))
        self._router.head, self._router.inference = head, self._inference
        server = make_server()
        inference_rpc.add_GRPCInferenceServiceServicer_to_server(self._inference, server)  # type: ignore[no-untyped-call]
        return await self._start(server, self._options.serve, _INFERENCE)

    async def _start(self, server: grpc.aio.Server, listen: str, service: str) -> str:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = server.add_insecure_port(listen)
        await server.start()
        self._servers.append(server)
        return f"{listen.rpartition(':')[0]}:{port}"

    async def _set_health(self, status: "health_pb2.HealthCheckResponse.ServingStatus") -> None:
        for service in ("", SERVICE, *((_INFERENCE,) if self._options.serve else ())):
            await self._health.set(service, status)

    async def _stopped(self, tasks: "list[asyncio.Task[None]]") -> None:
        """Wait for a signal, or for a background task that died: that ends the process with its error."""
        stop = asyncio.get_running_loop().create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.cancel)
        done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for ended in done - {stop}:
            ended.result()

    async def _drain(self) -> None:
        """Say that this stage goes, give everybody time to notice, finish what is in flight, then stop.

        `server.stop` alone cancelled calls in 11 of 11 runs (design §5): clients need the second between.
        """
        if self._inference is not None:
            self._inference.draining = True
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._servicer.farewell()
        await asyncio.sleep(self._options.drain_wait_s)
        # New requests are refused from here on; those in flight have their time. Streams between stages never end by
        # themselves, so their server stops last.
        activations, *inference = self._servers
        await asyncio.gather(*(server.stop(self._options.drain_timeout_s) for server in inference))
        await self._pipeline.wait_idle(self._options.drain_timeout_s)
        with contextlib.suppress(TimeoutError):
            await self._servicer.flush(_STOP_GRACE_S)
        await activations.stop(_STOP_GRACE_S / 4)

    def _report_soon(self) -> None:
        if self._reporter is not None:
            self._reporter.changed.set()

    def _watch_gauges(self) -> None:
        pipeline, watch = self._pipeline, self._metrics.watch
        watch("tiersplit_in_flight", "Requests in flight.", pipeline.in_flight_total)
        watch("tiersplit_queue_depth", "Requests that wait or compute.", lambda: pipeline.worker.depth)
        watch("tiersplit_late_answers", "Answers after the fact.", lambda: pipeline.link.late if pipeline.link else 0)
        self._metrics.watch_link(lambda: pipeline.link)

    def _announce(self, addresses: dict[str, str]) -> None:
        text = json.dumps({**addresses, "pid": os.getpid(), "instance": self._instance})
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if self._options.ready_file is not None:
            partial = Path(f"{self._options.ready_file}.{os.getpid()}")
            partial.write_text(text)
            partial.replace(self._options.ready_file)


def main(arguments: list[str]) -> None:
    """Run a stage with these command line arguments."""
    uvloop.run(Stage(parse(arguments)).run())

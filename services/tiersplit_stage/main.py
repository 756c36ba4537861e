"""One stage as a process: builds its parts, serves until it is told to stop, and then drains."""

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tiersplit_core.errors import InputError, TiersplitError
from tiersplit_stage.emulation import Emulation
from tiersplit_stage.estimates import Estimates
from tiersplit_stage.following import Controller, RouteFile, follow
from tiersplit_stage.head import Head
from tiersplit_stage.health import Health, ProbeServicer
from tiersplit_stage.idle import IdleRuns
from tiersplit_stage.inference import INFERENCE, InferenceServicer
from tiersplit_stage.loading import Loading
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.options import Options, parse
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.pool import Blobs, BlobStore, SegmentPool
from tiersplit_stage.processors import quota
from tiersplit_stage.reporting import Reporter
from tiersplit_stage.resolving import Endpoint
from tiersplit_stage.routing import Router
from tiersplit_stage.servicer import SERVICE, ActivationsServicer
from tiersplit_stage.steering import Steering
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker
from tiersplit_wire.connection import bind, make_server, open_channel
from tiersplit_wire.v1 import route_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_wire.tls import TlsDirectory

_STOP_GRACE_S = 2.0
_SMALL_CALLS, _PROBES = 1024, 64
"""Calls at once besides requests (each client may watch a head's health), and at the port of the kubelet's probes."""


class Stage:
    """All parts of one stage.

    Args:
        options: what it was started with.

    Raises:
        InputError: the certificates or the cache cannot be used.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._metrics = StageMetrics()
        self._tls = _tls(options)
        # A restarted container has its pod's name again, and its neighbours must notice all the same.
        self._process_name = f"{options.instance or options.tier}-{os.getpid()}-{secrets.token_hex(4)}"
        store = _blobs(options)
        pool = SegmentPool(store, options.threads)
        self._loading = Loading(store, pool)
        worker = Worker(options.queue)
        granted = quota()
        stopwatch = Stopwatch(Emulation(options.slowdown), granted)
        self._pipeline = Pipeline(options.tier, pool, worker, stopwatch, self._metrics)
        self._estimates = Estimates(self._pipeline, granted=granted)
        self._steering: Steering | None = None
        self._servicer = ActivationsServicer(self._pipeline, self._metrics, self._process_name, options.max_in_flight)
        state = options.state_dir / f"{options.deployment}-{options.tier}.route" if options.state_dir else None
        self._router = Router(
            options.deployment,
            options.tier,
            self._loading,
            self._pipeline,
            self._servicer,
            self._report_soon,
            state,
            self._dial,
        )
        self._router.followers.append(self._estimates.follow)
        self._idle = IdleRuns(self._pipeline, self._estimates, stopwatch, lambda: self._router.guided_segments)
        self._health = Health(
            (SERVICE, *((INFERENCE,) if options.serve else ())),
            lambda: worker.running_s < options.stuck_s,
            self._is_ready,
        )
        self._reporter: Reporter | None = None
        self._inference: InferenceServicer | None = None
        self._servers: list[grpc.aio.Server] = []
        self._probed: grpc.aio.Server | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        address = await self._open_activations()
        client_address = await self._open_inference() if self._options.serve else ""
        health_address = await self._open_health() if self._options.health else ""
        metrics_address = self._metrics.serve(self._options.metrics) if self._options.metrics else ""
        self._watch_gauges()
        identity = self._identity(address, client_address)
        self._reporter = Reporter(identity, self._router, self._pipeline, self._estimates, self._steering)
        tasks = [asyncio.ensure_future(work) for work in self._work(self._reporter)]
        self._announce(
            {
                "address": address,
                "client_address": client_address,
                "health_address": health_address,
                "metrics_address": metrics_address,
            }
        )
        await self._stopped(tasks)
        await self._drain()
        for task in tasks:
            task.cancel()
        await self._router.close()
        self._pipeline.worker.close()

    def _work(self, reporter: Reporter) -> Iterator[Coroutine[Any, Any, None]]:
        """What goes on in the background for as long as the stage lives."""
        options, router = self._options, self._router
        yield from (router.run(), router.tend(), self._loading.run(), self._health.run())
        if router.head is not None:
            yield router.head.verify_all()
        yield self._idle.run()
        yield self._estimates.run(self._steering.look if self._steering is not None else lambda: None)
        if options.route_file is not None:
            yield RouteFile(options.route_file, router.offer).follow()
        if options.controller:
            controller = Controller(options.controller, options.controller_ca, options.token_file)
            yield follow(controller, reporter, router.offer)

    def _identity(self, address: str, client_address: str) -> pb.StageReport:
        options = self._options
        host = options.advertise.rpartition(":")[0]
        return pb.StageReport(
            deployment=options.deployment,
            namespace=options.namespace,
            tier=options.tier,
            instance=options.instance or self._process_name,
            node=options.node,
            address=options.advertise or address,
            client_address=f"{host}:{client_address.rpartition(':')[2]}" if host and client_address else client_address,
        )

    async def _open_activations(self) -> str:
        server = make_server()
        server.add_generic_rpc_handlers((self._servicer.handlers(),))
        credentials = self._tls.server_credentials(mutual=True) if self._tls else None
        return await self._start(server, self._options.listen, SERVICE, credentials)

    async def _open_inference(self) -> str:
        head = Head(self._pipeline, self._metrics, self._options.max_in_flight, self._report_soon)
        self._inference = InferenceServicer(head, self._metrics, self._options.deployment, version("tiersplit"))
        self._router.head, self._router.inference = head, self._inference
        self._steering = Steering(head, self._pipeline, self._estimates)
        self._router.followers.append(self._steering.follow)
        server = make_server(self._options.connection_age_s, self._options.max_in_flight + _SMALL_CALLS)
        server.add_generic_rpc_handlers((self._inference.handlers(),))
        credentials = self._tls.server_credentials(mutual=False) if self._tls else None
        return await self._start(server, self._options.serve, INFERENCE, credentials)

    async def _open_health(self) -> str:
        """The kubelet's probes know no TLS, so they have a port of their own."""
        self._probed = make_server(max_calls=_PROBES)
        health_pb2_grpc.add_HealthServicer_to_server(ProbeServicer(self._health), self._probed)
        address = bind(self._probed, self._options.health)
        await self._probed.start()
        return address

    async def _start(
        self, server: grpc.aio.Server, listen: str, service: str, credentials: grpc.ServerCredentials | None
    ) -> str:
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, server)
        reflection.enable_server_reflection((service, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        address = bind(server, listen, credentials)
        await server.start()
        self._servers.append(server)
        return address

    def _dial(self, endpoint: Endpoint) -> grpc.aio.Channel:
        """A channel to a stage of the next tier, with the certificates of the moment."""
        credentials = self._tls.channel_credentials() if self._tls else None
        return open_channel(endpoint.address, credentials, endpoint.name)

    def _is_ready(self) -> bool:
        """Whether this stage should get requests: a head answers them, any other holds its part of a plan."""
        head = self._router.head
        return self._router.ready and (head is None or head.ready)

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
        await self._health.leave()
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
        if self._probed is not None:
            await self._probed.stop(0)

    def _report_soon(self) -> None:
        self._health.changed.set()
        self._estimates.look_soon()
        if self._reporter is not None:
            self._reporter.changed.set()

    def _watch_gauges(self) -> None:
        pipeline, watch = self._pipeline, self._metrics.watch
        watch("tiersplit_in_flight", "Requests in flight.", pipeline.in_flight_total)
        watch("tiersplit_queue_depth", "Requests that wait or compute.", lambda: pipeline.worker.depth)
        watch("tiersplit_late_answers", "Answers after the fact.", lambda: pipeline.link.late if pipeline.link else 0)
        self._metrics.watch_link(lambda: pipeline.link)
        self._metrics.watch_estimates(self._estimates)
        if self._tls is not None:
            watch("tiersplit_tls_expiry_seconds", "Until the certificate in use expires.", self._tls.expires_in_s)

    def _announce(self, addresses: dict[str, str]) -> None:
        text = json.dumps({**addresses, "pid": os.getpid(), "instance": self._process_name})
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        if self._options.ready_file is not None:
            partial = Path(f"{self._options.ready_file}.{os.getpid()}")
            partial.write_text(text)
            partial.replace(self._options.ready_file)


def _blobs(options: Options) -> Blobs:
    """Where blobs come from."""
    if options.bundle_cache is None:
        assert options.bundle is not None  # noqa: S101 - `parse` has seen to it
        return BlobStore(options.bundle)
    # Three megabytes that a stage does without where blobs lie on its own machine.
    from tiersplit_bundle.access import registry_access  # noqa: PLC0415
    from tiersplit_stage.cache import BlobCache  # noqa: PLC0415

    access = registry_access(options.registry_plain_http, options.registry_ca)
    return BlobCache(options.bundle_cache, options.cache_limit_bytes, access)


def _tls(options: Options) -> "TlsDirectory | None":
    """The certificates; None where all is plaintext."""
    if options.tls_dir is None:
        return None
    # Five megabytes that a stage does without where it needs no certificates.
    from tiersplit_wire.tls import TlsDirectory  # noqa: PLC0415

    return TlsDirectory(options.tls_dir)


def main(arguments: list[str]) -> None:
    """Run a stage with these command line arguments; exits with code 2 where they cannot be used, 1 where it failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        uvloop.run(Stage(parse(arguments)).run())
    except TiersplitError as error:
        sys.stderr.write(f"tiersplit_stage: {error}\n")
        raise SystemExit(2 if isinstance(error, InputError) else 1) from error

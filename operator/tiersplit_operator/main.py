"""The operator's process: kopf for the watches, and beside it the queue, adaptation, routes and the rest.

Any task that ends before it is told to ends the process: Kubernetes starts a fresh one, and everything is level-based.
"""

import asyncio
import logging
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import kopf

from tiersplit_bundle.access import registry_access
from tiersplit_core.errors import InputError, TiersplitError
from tiersplit_operator import metrics
from tiersplit_operator.adaptation.fleet import Fleet
from tiersplit_operator.adaptation.polling import Poller
from tiersplit_operator.beside import Beside
from tiersplit_operator.census import Census
from tiersplit_operator.clients.events import EventRecorder
from tiersplit_operator.clients.kubernetes import KubernetesClient
from tiersplit_operator.clients.prometheus import PrometheusClient
from tiersplit_operator.clients.registry import RegistryClient, hasty
from tiersplit_operator.clients.session import Call, Session, load_configuration
from tiersplit_operator.facts import Key
from tiersplit_operator.gather import Gatherer
from tiersplit_operator.handlers import Handlers, watched
from tiersplit_operator.indexing import wait_in_linear_time
from tiersplit_operator.leader import Elector, kept
from tiersplit_operator.logs import set_up_logs
from tiersplit_operator.planner import Planner, WorkerProcess
from tiersplit_operator.probes import probed, serve_metrics
from tiersplit_operator.queue import QueueLimits, WorkQueue
from tiersplit_operator.reconcile import Reconciler
from tiersplit_operator.routes import RoutesServer
from tiersplit_operator.settings import OperatorSettings, settings_from
from tiersplit_operator.store import IndexedStore
from tiersplit_operator.sweep import Sweeper
from tiersplit_operator.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Collection

log = logging.getLogger("tiersplit.operator")
DRAIN_S = 2.0
EXIT_INPUT = 2
DEEPEST = 12_000
"""Calls within calls: the API server takes documents 10,000 levels deep, and parsing goes down level by level. At
Python's own limit a single manifest with a deep pod template would end the watch of everybody's."""


def main() -> None:
    """Run until a signal comes; exit code 0 after that, 2 for wrong settings, 1 for anything that went wrong."""
    try:
        settings = settings_from()
    except InputError as error:
        sys.stderr.write(f"tiersplit-operator: {error}\n")
        sys.exit(EXIT_INPUT)
    set_up_logs(settings)
    sys.setrecursionlimit(DEEPEST)
    try:
        asyncio.run(run(settings))
    except TiersplitError as error:
        log.critical("%s", error)
        sys.exit(1)


async def run(settings: OperatorSettings) -> None:
    """Run the operator in this loop.

    Raises:
        TiersplitError: it cannot go on; leadership that was lost included.
    """
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(await _session())
        beside = await stack.enter_async_context(Beside())
        lease_session = await beside.run(_session())
        stack.push_async_callback(lambda: beside.run(lease_session.close()))
        prometheus = await stack.enter_async_context(PrometheusClient(settings.prometheus.bearer_file))
        leadership = Leadership(Elector(settings.lease, KubernetesClient(lease_session)), beside)
        parts = Parts(settings, session, prometheus, leadership)
        stack.callback(parts.registry.close)
        stack.callback(serve_metrics(settings.metrics_port))
        await parts.run()


async def _session() -> Session:
    return Session(await load_configuration(), _count)


class Leadership(NamedTuple):
    """Who leads, and the loop in which that is found out."""

    elector: Elector
    beside: Beside


class Parts:
    """Everything that runs, joined together.

    Args:
        settings: what is set from outside.
        session: the connection to the API server.
        prometheus: asks for observations.
        leadership: whether this replica leads.
    """

    def __init__(
        self, settings: OperatorSettings, session: Session, prometheus: PrometheusClient, leadership: Leadership
    ) -> None:
        self.settings = settings
        api = KubernetesClient(session)
        self.elector, self._beside = leadership
        self.handlers = Handlers(settings, self._add, self._gone, self._route_changed)
        self.store = IndexedStore(self.handlers.indexes)
        ca_file = Path(settings.registry.ca_file) if settings.registry.ca_file else None
        self.registry = RegistryClient(hasty(registry_access(settings.registry.plain_http, ca_file)))
        poller = Poller(prometheus, settings.prometheus.url) if settings.prometheus.url else None
        self.fleet = Fleet(settings, api, self.registry, self._changed, moved=_count_move, poller=poller)
        self.planner = Planner(self.registry, WorkerProcess(settings.planner), self._changed, settings.planner.workers)
        gatherer = Gatherer(settings, self.store, api, self.registry, self.planner, self.fleet)
        events = EventRecorder(api, settings.lease.identity)
        self.reconciler = Reconciler(self.store, gatherer, api, self.planner, self.fleet, events)
        limits = QueueLimits(settings.concurrency, settings.resync_s)
        self.queue = WorkQueue(self.reconciler, limits, failed=_count_failure)
        self.routes = RoutesServer(settings.routes, api, self.store, self.fleet.report, lambda: self.elector.leads)
        self.watchdog = Watchdog(self.store, api, self._stuck_s)
        self.census = Census(self.handlers, api, settings.namespaces)
        self._leads_since = time.monotonic()
        self._indexed = asyncio.Event()
        self.sweeper = Sweeper(self.registry, settings.registry.prefix, self.reconciler.used, self.store.keys)
        metrics.QUEUE_DEPTH.set_function(lambda: self.queue.depth)
        metrics.QUEUE_LAG_SECONDS.set_function(self._lag_s)

    def _lag_s(self) -> float:
        """How late the queue is; keys that waited while another replica led are not late."""
        leads_s = time.monotonic() - self._leads_since
        return min(self.queue.lag_s, leads_s) if self.elector.leads else 0.0

    def _stuck_s(self) -> float:
        """For how long keys have waited without any of them being done."""
        return min(self._lag_s(), self.queue.still_s)

    def _add(self, key: Key, after_s: float) -> None:
        self.queue.add(key, after_s)

    def _changed(self, key: Key) -> None:
        self.queue.add(key)

    def _gone(self, key: Key) -> None:
        self.queue.drop(key)
        self.reconciler.forget(key)
        metrics.forget_moves(key)

    def _route_changed(self, key: Key) -> None:
        self.routes.changed(key)

    async def run(self) -> None:
        """Watch, serve routes, and lead when it is this replica's turn; until kopf is told to end.

        Raises:
            TiersplitError: a part ended with an error.
        """
        watching = asyncio.create_task(self._watch(), name="watches")
        others = [asyncio.create_task(self._lead(), name="leader")]
        others.append(asyncio.create_task(self.watchdog.run(), name="watchdog"))
        others.append(asyncio.create_task(self.census.run(), name="census"))
        try:
            await _first_end(watching, others)
        finally:
            await _cancelled([*others, watching])
            await self.planner.stop()
            await self._beside.run(self.elector.release())
            await self.routes.stop(DRAIN_S)

    async def _watch(self) -> None:
        """Run kopf until it is told to end; its own `run_tasks` would cancel our tasks too in the end."""
        wait_in_linear_time(self._indexed.set)
        tasks = await kopf.spawn_tasks(
            registry=self.handlers.registry,
            # kopf would ask who the user is, and in a container the user has a number and no name.
            identity=self.settings.lease.identity,  # type: ignore[arg-type]
            standalone=True,
            **self.handlers.remembered(),
            **watched(self.settings),
        )
        try:
            async with probed(self.settings.probe_port, self.watchdog.complaint):
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _cancelled(tasks)

    async def _lead(self) -> None:
        """Wait for the Lease; then the queue, adaptation and sweeping run for as long as it is kept.

        Who does not know yet what there is serves no routes, which also keeps a rollout waiting, and does not lead:
        with thousands of objects that takes minutes, and all of the processor that the Lease would be kept with.
        """
        await self._indexed.wait()
        await self.routes.start()
        await self._beside.run(self.elector.acquire())
        metrics.LEADS.set(1)
        self._leads_since = time.monotonic()
        keeping = asyncio.create_task(self._beside.run(kept(self.elector)), name="lease")
        tasks = [
            keeping,
            asyncio.create_task(self.queue.run(), name="queue"),
            asyncio.create_task(self.fleet.run(), name="adaptation"),
            asyncio.create_task(self.sweeper.run(), name="sweeper"),
        ]
        try:
            await _first_end(keeping, tasks[1:])
        finally:
            metrics.LEADS.set(0)
            await _cancelled(tasks)


async def _first_end(may_end: "asyncio.Task[None]", others: "list[asyncio.Task[None]]") -> None:
    """Wait for the first task that ends; only `may_end` may do so without that being an error."""
    done, _ = await asyncio.wait([may_end, *others], return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            raise error
    if may_end not in done:
        raise TiersplitError(f"{', '.join(task.get_name() for task in done)} ended without being told to")


async def _cancelled(tasks: "Collection[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _count(call: Call) -> None:
    metrics.API_CALLS.labels(call.verb, call.kind, str(call.status)).inc()
    metrics.API_SECONDS.labels(call.verb).observe(call.seconds)


def _count_failure(_key: Key, error: Exception) -> None:
    metrics.RECONCILE_ERRORS.labels(type(error).__name__).inc()


def _count_move(key: Key, _move: object) -> None:
    metrics.count_move(key)

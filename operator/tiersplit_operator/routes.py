"""`Routes/Watch` for pods: they dial here, prove who they are, get each new route, and report."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tiersplit_operator.facts import Key, Pod, RouteRecord
from tiersplit_operator.settings import RoutesSettings
from tiersplit_operator.tokens import RefusedError, TokenReviews, Tokens
from tiersplit_wire.connection import SERVER_OPTIONS, bind
from tiersplit_wire.tls import TlsDirectory
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

FIRST_REPORT_S = 10.0
MAX_STREAMS = 20_000
MAX_STREAMS_OF_POD = 16
"""Connections that broke without a word count until they are noticed."""
MAX_TOKEN_BYTES = 12 * 2**10
MAX_REPORT_BYTES = 512 * 2**10
MAX_NODE_LENGTH = 253
PACE_S = 0.02
"""Between two reports of a pod that are heard: one that reports without end waits, and nobody else does."""
_OPTIONS = (
    *(pair for pair in SERVER_OPTIONS if pair[0] != "grpc.max_receive_message_length"),
    ("grpc.max_receive_message_length", MAX_REPORT_BYTES),
)
log = logging.getLogger("tiersplit.routes")


class Store(Protocol):
    """What the watches have shown."""

    def route(self, key: Key) -> RouteRecord | None:
        """The route of a resource."""
        ...

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The pods of a resource."""
        ...


@dataclass(frozen=True, slots=True)
class _Guest:
    """A pod that was let in."""

    key: Key
    pod: Pod


class RoutesServer(rpc.RoutesServicer):
    """Serves the route streams.

    Args:
        settings: where to listen, and with which certificate.
        tokens: reviews the tokens of pods.
        store: routes and pods as watched.
        reports: told every report of a stage.
        leads: whether this replica leads. Another one tells the route and ends the stream, so that the pod dials again
            until it finds the leader; a pod that starts meanwhile does not wait for that.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: RoutesSettings,
        tokens: Tokens,
        store: Store,
        reports: Callable[[Key, pb.StageReport], None],
        leads: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._store, self._reports, self._leads = settings, store, reports, leads
        self._reviews = TokenReviews(tokens, clock)
        self._changes: dict[Key, set[asyncio.Event]] = {}
        self._parsed: dict[Key, tuple[RouteRecord, pb.Route | None]] = {}
        self._streams = 0
        self._of_pods: Counter[str] = Counter()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        """Open the port; the address that was bound."""
        server = grpc.aio.server(options=_OPTIONS)
        rpc.add_RoutesServicer_to_server(self, server)  # type: ignore[no-untyped-call]
        folder = self._settings.tls_dir
        credentials = TlsDirectory(Path(folder)).server_credentials(mutual=False) if folder else None
        address = bind(server, self._settings.listen, credentials)
        await server.start()
        self._server = server
        return address

    async def stop(self, grace_s: float) -> None:
        """End all streams; pods dial again, to another replica."""
        if self._server is not None:
            await self._server.stop(grace_s)

    def changed(self, key: Key) -> None:
        """The watch showed another route of this resource."""
        for event in self._changes.get(key, ()):
            event.set()

    @property
    def streams(self) -> int:
        """Pods that are connected."""
        return self._streams

    async def Watch(  # noqa: N802 - the name in the protocol
        self, request_iterator: AsyncIterator[pb.StageReport], context: Any
    ) -> AsyncIterator[pb.Route]:
        """Serve one pod: its reports in, each route out."""
        self._streams += 1
        try:
            guest = await self._admit(request_iterator, context)
            with self._seated(guest.pod):
                async for route in self._serve(guest, request_iterator):
                    yield route
        except RefusedError as refused:
            await context.abort(refused.code, str(refused))
        finally:
            self._streams -= 1

    @contextlib.contextmanager
    def _seated(self, pod: Pod) -> Iterator[None]:
        """One pod must not take the places of all the others."""
        if self._of_pods[pod.uid] >= MAX_STREAMS_OF_POD:
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the pod has {MAX_STREAMS_OF_POD} streams already")
        self._of_pods[pod.uid] += 1
        try:
            yield
        finally:
            self._of_pods[pod.uid] -= 1
            if not self._of_pods[pod.uid]:
                del self._of_pods[pod.uid]

    async def _admit(self, reports: AsyncIterator[pb.StageReport], context: Any) -> _Guest:
        """Which resource the pod belongs to: by its token, its first report and its labels."""
        if self._streams > MAX_STREAMS:
            raise RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} pods are connected")
        identity = await self._reviews.identity(_token(context), _peer(context))
        try:
            async with asyncio.timeout(FIRST_REPORT_S):
                first = await anext(reports)
        except (TimeoutError, StopAsyncIteration) as error:
            raise RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "no report came") from error
        key = Key(identity.namespace, first.deployment)
        pod = next((pod for pod in self._store.pods(key) if pod.uid == identity.pod_uid), None)
        if pod is None:
            # The watch may be behind a pod that has just started: it dials again.
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "the pod is not known to belong to that deployment")
        if pod.tier != first.tier or pod.job:
            raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, f"the pod belongs to tier {pod.tier!r}")
        guest = _Guest(key, pod)
        self._hear(guest, first)
        return guest

    async def _serve(self, guest: _Guest, reports: AsyncIterator[pb.StageReport]) -> AsyncIterator[pb.Route]:
        # Each stream has an event of its own: one that is busy sending misses nothing that others have taken note of.
        changed, sent = asyncio.Event(), 0
        self._changes.setdefault(guest.key, set()).add(changed)
        listener = asyncio.create_task(self._listen(guest, reports))
        try:
            while not listener.done():
                changed.clear()
                route = self._route(guest.key)
                if route is not None and route.epoch > sent:
                    sent = route.epoch
                    yield route
                if not self._leads():
                    raise RefusedError(grpc.StatusCode.UNAVAILABLE, "another replica leads; dial again")
                await _either(changed, listener)
            if not listener.cancelled() and isinstance(error := listener.exception(), RefusedError):
                raise error
        finally:
            self._leave(guest.key, changed)
            await _ended(listener)

    def _leave(self, key: Key, changed: asyncio.Event) -> None:
        self._changes[key].discard(changed)
        if not self._changes[key]:
            del self._changes[key]
            self._parsed.pop(key, None)

    def _route(self, key: Key) -> pb.Route | None:
        """The route as watched; parsed once for all streams."""
        record = self._store.route(key)
        if record is None:
            return None
        known = self._parsed.get(key)
        if known is None or known[0] is not record:
            known = self._parsed[key] = (record, _parsed(key, record))
        return known[1]

    async def _listen(self, guest: _Guest, reports: AsyncIterator[pb.StageReport]) -> None:
        async for report in reports:
            self._hear(guest, report)
            await asyncio.sleep(PACE_S)

    def _hear(self, guest: _Guest, report: pb.StageReport) -> None:
        """A pod speaks for itself alone, whatever it says that it is."""
        if (report.deployment, report.tier) != (guest.key.name, guest.pod.tier):
            raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, "a report is about another deployment or tier")
        report.instance, report.namespace = guest.pod.name, guest.key.namespace
        report.node = guest.pod.node or report.node[:MAX_NODE_LENGTH]
        self._reports(guest.key, report)


def _parsed(key: Key, record: RouteRecord) -> pb.Route | None:
    try:
        return pb.Route.FromString(record.payload)
    except DecodeError:
        log.warning("%s/%s: the route's ConfigMap is damaged; pods keep the one they have", *key)
        return None


def _token(context: Any) -> str:
    metadata = dict(context.invocation_metadata() or ())
    scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "send the pod's token as `authorization: Bearer …`")
    return token


def _peer(context: Any) -> str:
    """Address of who calls; its ports come and go."""
    return str(context.peer()).rpartition(":")[0]


async def _either(changed: asyncio.Event, listener: "asyncio.Task[None]") -> None:
    waiting = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({waiting, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _ended(listener: "asyncio.Task[None]") -> None:
    listener.cancel()
    await asyncio.wait({listener})
    if not listener.cancelled() and (error := listener.exception()) is not None:
        log.debug("a stream of reports broke: %s", error)

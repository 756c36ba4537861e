"""`Routes/Watch` for pods: they dial here, prove who they are, get each new route, and report."""

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tiersplit_operator.facts import Key, Pod, RouteRecord
from tiersplit_operator.resources.workloads import TOKEN_AUDIENCE
from tiersplit_operator.settings import RoutesSettings
from tiersplit_wire.connection import bind, make_server
from tiersplit_wire.tls import TlsDirectory
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

FIRST_REPORT_S = 10.0
KNOWN_S = 60.0
"""How long an answer about a token is believed; the kubelet renews tokens far less often."""
MAX_KNOWN = 20_000
MAX_STREAMS = 20_000
MAX_TOKEN_BYTES = 16_384
log = logging.getLogger("tiersplit.routes")


class Identity(Protocol):
    """Whom a token belongs to."""

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        ...

    @property
    def pod_uid(self) -> str:
        """The pod's uid."""
        ...


class Tokens(Protocol):
    """Who knows tokens."""

    async def review_token(self, token: str, audience: str) -> Identity | None:
        """Whom a token belongs to; None where it is not good for the audience."""
        ...


class Store(Protocol):
    """What the watches have shown."""

    def route(self, key: Key) -> RouteRecord | None:
        """The route of a resource."""
        ...

    def pods(self, key: Key) -> tuple[Pod, ...]:
        """The pods of a resource."""
        ...


class _RefusedError(Exception):
    """A stream is ended with this status."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


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
        self._settings, self._tokens, self._store = settings, tokens, store
        self._reports, self._leads, self._clock = reports, leads, clock
        self._changes: dict[Key, asyncio.Event] = {}
        self._known: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        self._streams = 0
        self._server: grpc.aio.Server | None = None

    async def start(self) -> str:
        """Open the port; the address that was bound."""
        server = make_server()
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
        event = self._changes.get(key)
        if event is not None:
            event.set()

    @property
    def streams(self) -> int:
        """Pods that are connected."""
        return self._streams

    async def Watch(  # noqa: N802 - the name in the protocol
        self, request_iterator: AsyncIterator[pb.StageReport], context: Any
    ) -> AsyncIterator[pb.Route]:
        """Serve one pod: its reports in, each route out."""
        try:
            key = await self._admit(request_iterator, context)
            self._streams += 1
            try:
                async for route in self._serve(key, request_iterator):
                    yield route
            finally:
                self._streams -= 1
        except _RefusedError as refused:
            await context.abort(refused.code, str(refused))

    async def _admit(self, reports: AsyncIterator[pb.StageReport], context: Any) -> Key:
        """Which resource the pod belongs to: by its token, its first report and its labels."""
        if self._streams >= MAX_STREAMS:
            raise _RefusedError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_STREAMS} pods are connected")
        identity = await self._identity(_token(context))
        try:
            async with asyncio.timeout(FIRST_REPORT_S):
                first = await anext(reports)
        except (TimeoutError, StopAsyncIteration) as error:
            raise _RefusedError(grpc.StatusCode.DEADLINE_EXCEEDED, "no report came") from error
        key = Key(identity.namespace, first.deployment)
        pod = next((pod for pod in self._store.pods(key) if pod.uid == identity.pod_uid), None)
        if pod is None:
            # The watch may be behind a pod that has just started: it dials again.
            raise _RefusedError(grpc.StatusCode.UNAVAILABLE, f"the pod is not known to belong to {first.deployment!r}")
        if pod.tier != first.tier:
            raise _RefusedError(grpc.StatusCode.PERMISSION_DENIED, f"the pod belongs to tier {pod.tier!r}")
        self._hear(key, first)
        return key

    async def _identity(self, token: str) -> Identity:
        name = hashlib.sha256(token.encode()).hexdigest()
        known = self._known.get(name)
        if known is not None and self._clock() - known[0] < KNOWN_S:
            return known[1]
        try:
            found = await self._tokens.review_token(token, TOKEN_AUDIENCE)
        except Exception as error:
            raise _RefusedError(grpc.StatusCode.UNAVAILABLE, "the token cannot be reviewed at the moment") from error
        if found is None:
            raise _RefusedError(grpc.StatusCode.UNAUTHENTICATED, "the token is not one of a pod for this server")
        self._known[name] = (self._clock(), found)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return found

    async def _serve(self, key: Key, reports: AsyncIterator[pb.StageReport]) -> AsyncIterator[pb.Route]:
        listener = asyncio.create_task(self._listen(key, reports))
        sent = 0
        try:
            while not listener.done():
                changed = self._changes.setdefault(key, asyncio.Event())
                changed.clear()
                route = self._route(key)
                if route is not None and route.epoch > sent:
                    sent = route.epoch
                    yield route
                if not self._leads():
                    raise _RefusedError(grpc.StatusCode.UNAVAILABLE, "another replica leads; dial again")
                await _either(changed, listener)
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError, grpc.RpcError):
                await listener

    def _route(self, key: Key) -> pb.Route | None:
        record = self._store.route(key)
        if record is None:
            return None
        try:
            return pb.Route.FromString(record.payload)
        except DecodeError:
            log.warning("%s/%s: the route's ConfigMap is damaged; pods keep the one they have", *key)
            return None

    async def _listen(self, key: Key, reports: AsyncIterator[pb.StageReport]) -> None:
        async for report in reports:
            self._hear(key, report)

    def _hear(self, key: Key, report: pb.StageReport) -> None:
        if report.deployment == key.name:
            self._reports(key, report)


def _token(context: Any) -> str:
    metadata = dict(context.invocation_metadata() or ())
    scheme, _, token = str(metadata.get("authorization", "")).partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN_BYTES:
        raise _RefusedError(grpc.StatusCode.UNAUTHENTICATED, "send the pod's token as `authorization: Bearer …`")
    return token


async def _either(changed: asyncio.Event, listener: "asyncio.Task[None]") -> None:
    waiting = asyncio.create_task(changed.wait())
    try:
        await asyncio.wait({waiting, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()

"""Where routes come from: the stream to the controller and the mounted file. Without either the last route stands."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tiersplit_core.errors import InputError, OperationError
from tiersplit_stage.reporting import Reporter
from tiersplit_wire.connection import CONTROL_OPTIONS, open_channel, trusting
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc as rpc

_PERIOD_S = 0.5
_SHORTEST_S = 0.02
_BACKOFF_S = (0.2, 2.0)
_DIAL_S = 10.0
_LASTING_S = 5.0
_LOOK_S = 2.0
_MAX_SMALL_BYTES = 2**20
_MAX_ROUTE_BYTES = 16 * 2**20
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Controller:
    """How the controller is reached.

    Attributes:
        address: HOST:PORT.
        ca_file: PEM with whom to trust; None: plaintext.
        token_file: the bearer token; None: none is sent.
    """

    address: str
    ca_file: Path | None = None
    token_file: Path | None = None

    def dial(self) -> grpc.aio.Channel:
        """A channel with the authority as it is now.

        Raises:
            InputError: it cannot be read.
        """
        credentials = None if self.ca_file is None else trusting(_small(self.ca_file))
        return open_channel(self.address, credentials, options=CONTROL_OPTIONS)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Who asks, with the token as it is now: the kubelet replaces it while the process lives.

        Raises:
            InputError: it cannot be read.
        """
        if self.token_file is None:
            return ()
        token = _small(self.token_file).decode("ascii", "replace").strip()
        if not token or not token.isprintable() or not token.isascii():
            raise InputError("holds no token", self.token_file.name)
        return (("authorization", f"Bearer {token}"),)


async def follow(controller: Controller, reporter: Reporter, offer: Callable[[pb.Route], None]) -> None:
    """Keep a stream to the controller open, for ever.

    Args:
        controller: how it is reached.
        reporter: makes the reports that go there.
        offer: given every route that comes.
    """
    backoff, told = _BACKOFF_S[0], ""
    while True:
        began, failure = time.monotonic(), None
        try:
            heard, reason = await _attend(controller, reporter, offer)
        except _ReportError as error:
            heard, reason, failure = False, str(error), error
        if reason != told:
            level = logging.INFO if heard else logging.WARNING
            _log.log(level, "the stream to %s ended: %s", controller.address, reason, exc_info=failure)
            told = reason
        await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - spreads dials, hides nothing
        # A replica that does not lead ends the stream at once: the next dial finds another soon, but not for ever so.
        lasted = time.monotonic() - began > _LASTING_S
        backoff = _BACKOFF_S[0] if lasted else min(2 * backoff, _BACKOFF_S[1])


async def _attend(controller: Controller, reporter: Reporter, offer: Callable[[pb.Route], None]) -> tuple[bool, str]:
    """One stream until it ends: whether a route came over it, and why it ended.

    Raises:
        _ReportError: it was ended because no report could be made.
    """
    heard = False

    def take(route: pb.Route) -> None:
        nonlocal heard
        heard = True
        offer(route)

    try:
        async with controller.dial() as channel:
            # A call that waited for its connection would show a token that is as old as the wait.
            await asyncio.wait_for(channel.channel_ready(), _DIAL_S)
            call = rpc.RoutesStub(channel).Watch(metadata=controller.metadata())  # type: ignore[no-untyped-call]
            reason = await _exchange(call, reporter, take)
    except grpc.aio.AioRpcError as error:
        return heard, f"{error.code().name}: {error.details()}"
    except TimeoutError:
        return heard, f"no connection within {_DIAL_S:.0f} s"
    except (InputError, OSError, asyncio.InvalidStateError, grpc.aio.UsageError) as error:
        return heard, str(error)
    return heard, reason


async def _exchange(call: grpc.aio.StreamStreamCall, reporter: Reporter, take: Callable[[pb.Route], None]) -> str:
    """Read routes and write reports until one of the two ends; why it did."""
    reading, writing = asyncio.ensure_future(_read(call, take)), asyncio.ensure_future(_write(call, reporter))
    try:
        await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            # A stage that cannot report any more would look alive for as long as its stream.
            writing.result()
        return await reading
    finally:
        for task in (reading, writing):
            task.cancel()
        call.cancel()
        await asyncio.gather(reading, writing, return_exceptions=True)


async def _read(call: grpc.aio.StreamStreamCall, take: Callable[[pb.Route], None]) -> str:
    while (route := await call.read()) is not grpc.aio.EOF:
        if route is None:  # what gRPC makes of bytes that are no `Route`
            return "what came is no route"
        take(route)
    return "the controller ended it"


async def _write(call: grpc.aio.StreamStreamCall, reporter: Reporter) -> None:
    """Write reports until the call has ended; why it has is told to who reads."""
    with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
        while True:
            reporter.changed.clear()
            await call.write(_made(reporter))
            await asyncio.sleep(_SHORTEST_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reporter.changed.wait(), _PERIOD_S)


def _made(reporter: Reporter) -> pb.StageReport:
    try:
        return reporter.report()
    except Exception as error:  # whatever it is, it must not end the reports unseen
        raise _ReportError(f"no report can be made: {error!r}") from error


class _ReportError(OperationError):
    """A stage cannot say how it is."""


class RouteFile:
    """A route that lies in a file: a ConfigMap's mount, which the kubelet swaps whole.

    Args:
        path: the serialised `Route`; it may be absent.
        offer: given the route at start and whenever the file is another one.
    """

    def __init__(self, path: Path, offer: Callable[[pb.Route], None]) -> None:
        self._path, self._offer = path, offer
        self._seen: object = None

    async def follow(self) -> None:
        """Look for changes, for ever."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def look(self) -> None:
        """Offer the file's route if it changed since the last look; what is no route is told once and passed over."""
        seen = self._stamp()
        if seen is None or seen == self._seen:
            return
        self._seen = seen
        try:
            with self._path.open("rb") as file:
                self._offer(pb.Route.FromString(file.read(_MAX_ROUTE_BYTES)))
        except (OSError, DecodeError) as error:
            _log.warning("%s holds no route: %s", self._path, error)

    def _stamp(self) -> object:
        """Of the file behind all links: a swapped link is another file."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _small(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SMALL_BYTES)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path.name) from error

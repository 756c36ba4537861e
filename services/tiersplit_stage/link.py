"""The way to the next tier: one stream per stage there, the least busy one takes a request."""

import asyncio
import itertools
from collections.abc import Callable, Iterable
from functools import partial

import grpc.aio

from tiersplit_stage.meter import Observed, Totals
from tiersplit_stage.resolving import Endpoint, Resolver
from tiersplit_stage.stream import LostError, Stream
from tiersplit_wire.failures import NotResidentError
from tiersplit_wire.v1 import activation_pb2 as pb

_RETIRE_S = 30.0


class Link:
    """Streams to all stages of the next tier.

    Args:
        source: name of this tier.
        target: name of the next tier.
        noticed: called when the link became usable, stopped being so, or surprised.
        dial: opens a channel to a stage there; None: without TLS.
    """

    def __init__(
        self,
        source: str,
        target: str,
        noticed: Callable[[], None],
        dial: Callable[[Endpoint], grpc.aio.Channel] | None = None,
    ) -> None:
        self.source, self.target = source, target
        self._noticed, self._dial = noticed, dial
        self.budget_bps = 0
        self.changes = asyncio.Event()
        self._streams: dict[Endpoint, Stream] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._turns = itertools.count()
        self._connected = 0
        self._totals = Totals()
        self._resolver = Resolver(self._connect)
        self._resolving = asyncio.ensure_future(self._resolver.run())

    @property
    def usable(self) -> bool:
        """Whether a request can be sent now."""
        return any(stream.usable for stream in self._streams.values())

    @property
    def instances(self) -> frozenset[str]:
        """The processes at the other end."""
        return frozenset(stream.instance for stream in self._streams.values() if stream.connected)

    @property
    def late(self) -> int:
        """Answers that came after their request was settled."""
        return self._totals.late

    @property
    def sent(self) -> tuple[int, float]:
        """Bytes sent and seconds spent on them since start."""
        return self._totals.sent_bytes, self._totals.busy_s

    async def update(self, addresses: Iterable[str]) -> None:
        """Connect to all stages behind these addresses, and to no others; names are looked up again and again."""
        await self._resolver.point(addresses)

    async def _connect(self, wanted: frozenset[Endpoint]) -> None:
        before = self._streams
        kept = {endpoint: stream for endpoint, stream in before.items() if endpoint in wanted}
        self._streams = kept | {endpoint: self._open(endpoint) for endpoint in sorted(wanted - set(kept))}
        for endpoint in set(before) - wanted:
            self._leave(before[endpoint])

    def _open(self, endpoint: Endpoint) -> Stream:
        dial = partial(self._dial, endpoint) if self._dial else None
        return Stream(endpoint.address, self._changed, lambda: self.budget_bps, dial, self._totals)

    def _leave(self, stream: Stream) -> None:
        leaving = asyncio.ensure_future(stream.retire(_RETIRE_S))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _changed(self) -> None:
        connected = sum(stream.connected for stream in self._streams.values())
        if connected < self._connected:
            self._resolver.look_again()
        self._connected = connected
        self.changes.set()
        self._noticed()

    async def exchange(self, request_id: bytes, frame: bytes) -> pb.Result:
        """Send an activation set over the least busy stream and wait for its result.

        A stage that does not hold the plan's segments yet has done nothing: the next one is asked.

        Raises:
            LostError: no stream is usable, or the one that was used broke.
            TiersplitError: what the next tier answered instead of a result.
        """
        failure: LostError | NotResidentError = LostError(f"no way from {self.source} to {self.target} at the moment")
        usable = [stream for stream in self._streams.values() if stream.usable]
        for stream in sorted(usable, key=lambda found: (found.in_flight, found.turn)):
            stream.turn = next(self._turns)  # of two idle ones the other is next
            try:
                return await stream.exchange(request_id, frame)
            except NotResidentError as error:
                failure = error
        raise failure

    async def wait_usable(self, timeout_s: float) -> bool:
        """Wait until a request can be sent; False when it could not within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.usable:
                    self.changes.clear()
                    await self.changes.wait()
        except TimeoutError:
            return False
        return True

    def take_observations(self) -> list[Observed]:
        """What was observed since the last call."""
        taken = [seen for stream in self._streams.values() for seen in stream.meter.take()]
        # One of several stages that is gone is no lost link.
        single = len(self._streams) < 2 or not self.usable
        return [seen for seen in taken if single or not seen.lost]

    async def close(self) -> None:
        """Close all streams at once."""
        self._resolving.cancel()
        for task in self._leaving:
            task.cancel()
        streams, self._streams = list(self._streams.values()), {}
        await asyncio.gather(*(stream.close() for stream in streams), *self._leaving, return_exceptions=True)


__all__ = ["Link", "LostError"]

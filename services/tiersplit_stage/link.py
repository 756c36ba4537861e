"""The way to the next tier: one stream per stage there, the least busy one takes a request."""

import asyncio
from collections.abc import Callable, Iterable

from tiersplit_stage.meter import Observed
from tiersplit_stage.stream import LostError, Stream
from tiersplit_wire.v1 import activation_pb2 as pb


class Link:
    """Streams to all stages of the next tier.

    Args:
        source: name of this tier.
        target: name of the next tier.
        noticed: called when the link became usable, stopped being so, or surprised.
    """

    def __init__(self, source: str, target: str, noticed: Callable[[], None]) -> None:
        self.source, self.target = source, target
        self._noticed = noticed
        self.budget_bps = 0
        self.changes = asyncio.Event()
        self._streams: dict[str, Stream] = {}

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
        return sum(stream.late for stream in self._streams.values())

    @property
    def sent(self) -> tuple[int, float]:
        """Bytes sent and seconds spent on them since start, over the streams that exist."""
        meters = [stream.meter for stream in self._streams.values()]
        return sum(meter.sent_bytes for meter in meters), sum(meter.busy_s for meter in meters)

    async def update(self, addresses: Iterable[str]) -> None:
        """Connect to these addresses, and to no others."""
        wanted = set(addresses)
        gone = [self._streams.pop(address) for address in set(self._streams) - wanted]
        for address in sorted(wanted - set(self._streams)):
            self._streams[address] = Stream(address, self._changed, lambda: self.budget_bps)
        await asyncio.gather(*(stream.close() for stream in gone))

    def _changed(self) -> None:
        self.changes.set()
        self._noticed()

    async def exchange(self, request_id: bytes, frame: bytes) -> pb.Result:
        """Send an activation set over the least busy stream and wait for its result.

        Raises:
            LostError: no stream is usable, or the one that was used broke.
            TiersplitError: what the next tier answered instead of a result.
        """
        usable = [stream for stream in self._streams.values() if stream.usable]
        if not usable:
            raise LostError(f"no way from {self.source} to {self.target} at the moment")
        return await min(usable, key=lambda stream: stream.in_flight).exchange(request_id, frame)

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
        """Close all streams."""
        await self.update(())


__all__ = ["Link", "LostError"]

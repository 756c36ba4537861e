"""A link's shape in time: when bytes that arrive at one end may leave at the other."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

SHORT_WAIT_S = 5e-4
"""The event loop wakes in whole milliseconds: a shorter wait is left out, a longer one rounded up, so both even out."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a link is set to.

    Attributes:
        bandwidth_bps: bits per second each way; 0 holds all bytes back; None does not limit.
        latency_s: propagation, one way.
    """

    bandwidth_bps: float | None = None
    latency_s: float = 0.0

    @property
    def down(self) -> bool:
        """Nothing passes."""
        return self.bandwidth_bps == 0

    @property
    def chunk_bytes(self) -> int:
        """Bytes that are shaped at once: five milliseconds' worth, at least a packet's."""
        if self.bandwidth_bps is None:
            return 65536
        return int(min(max(self.bandwidth_bps * 0.005 / 8, 1448), 65536))


class Medium:
    """One direction of a link, shared by all connections over it.

    Bytes take their turn: each chunk starts when it has arrived and the one before has left. The schedule is kept in
    exact times, so that a late wake-up delays one chunk but not the rate.
    """

    def __init__(self, shape: Shape, clock: Callable[[], float]) -> None:
        self.shape = shape
        self.passed_bytes = 0
        self._clock = clock
        self._free_at = 0.0
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    def reshape(self, shape: Shape) -> None:
        """From now on, bytes under way included, `shape` holds."""
        self.shape = shape
        self._changed.set()
        self._changed = asyncio.Event()

    async def pass_bytes(self, size: int, arrived_at: float) -> float:
        """Wait until `size` bytes have left; returns when they did, by the clock."""
        async with self._turn:
            start, bits = max(arrived_at, self._free_at), 8.0 * size
            while (rate := self.shape.bandwidth_bps) is not None:
                changed, now = self._changed, self._clock()
                end = start + bits / rate if rate > 0 else float("inf")
                if end - now < SHORT_WAIT_S:
                    start = end
                    break
                if await self._wait(changed, end - now):
                    now = self._clock()
                    bits = max(bits - max(now - start, 0.0) * rate, 0.0)
                    start = max(now, start)
            self._free_at = start
            self.passed_bytes += size
            return start

    async def until_up(self) -> None:
        """Wait while the link is down."""
        while self.shape.down:
            await self._changed.wait()

    @staticmethod
    async def _wait(changed: asyncio.Event, seconds: float) -> bool:
        """Whether the shape changed within `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == float("inf") else seconds):
                await changed.wait()
                return True
        return False

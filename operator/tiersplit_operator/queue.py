"""The work queue: keys in, one look at each at a time, failures tried again, everything looked at now and then.

kopf swallows the errors of event handlers and never retries them, so handlers only add keys here.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tiersplit_operator.schedule import Backoff, Schedule

K = TypeVar("K", bound=Hashable)
RESYNC_JITTER = 0.2
log = logging.getLogger("tiersplit.operator.queue")

Work = Callable[[K], Awaitable[float | None]]
"""Looks at one key; returns the seconds until it wants to look again, None for the resync, infinity for never."""


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Bounds of a queue.

    Attributes:
        concurrency: how many keys are in flight at once.
        resync_s: longest time between two looks at a key.
        work_s: how long one look may take.
        backoff: how long failing keys wait.
    """

    concurrency: int = 8
    resync_s: float = 600.0
    work_s: float = 180.0
    backoff: Backoff = field(default_factory=Backoff)


class WorkQueue(Generic[K]):
    """Runs `work` for the keys that are added.

    Args:
        work: looks at one key.
        limits: the queue's bounds.
        clock: seconds, monotonic.
        chance: returns numbers in [0, 1), for jitter.
        failed: told a key and its error after a look that failed.
    """

    def __init__(
        self,
        work: Work[K],
        limits: QueueLimits,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        failed: Callable[[K, Exception], None] = lambda _key, _error: None,
    ) -> None:
        self._work, self._limits, self._clock, self._chance, self._failed = work, limits, clock, chance, failed
        self._schedule: Schedule[K] = Schedule(limits.backoff, chance)
        self._slots = asyncio.Semaphore(limits.concurrency)
        self._changed = asyncio.Event()
        self._ended_at = clock()

    def add(self, key: K, after_s: float = 0.0) -> None:
        """Have the key looked at within `after_s` seconds."""
        self._schedule.add(key, self._clock() + after_s)
        self._changed.set()

    def drop(self, key: K) -> None:
        """Forget the key."""
        self._schedule.drop(key)

    @property
    def depth(self) -> int:
        """How many keys wait or are in flight."""
        return len(self._schedule) + self._schedule.running

    @property
    def lag_s(self) -> float:
        """How late the queue is, in seconds."""
        return self._schedule.lag_s(self._clock())

    @property
    def still_s(self) -> float:
        """Seconds since a look last ended."""
        return self._clock() - self._ended_at

    async def run(self) -> None:
        """Work until cancelled; looks that are in flight are cancelled too."""
        async with asyncio.TaskGroup() as looks:
            while True:
                await self._slots.acquire()
                looks.create_task(self._look(await self._next()))

    async def _next(self) -> K:
        while True:
            self._changed.clear()
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            due = self._schedule.next_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(due - self._clock(), 0.0)):
                    await self._changed.wait()

    async def _look(self, key: K) -> None:
        try:
            async with asyncio.timeout(self._limits.work_s):
                after_s = await self._work(key)
        except Exception as error:
            wait_s = self._schedule.failed(key, self._clock())
            log.warning("%s: tried again in %.1f s: %s", key, wait_s, _words(error))
            self._failed(key, error)
        else:
            self._schedule.done(key, self._clock(), self._resync_s() if after_s is None else after_s)
        finally:
            self._ended_at = self._clock()
            self._slots.release()
            self._changed.set()

    def _resync_s(self) -> float:
        # Keys that were added together at the start do not all return together.
        return self._limits.resync_s * (1 - RESYNC_JITTER * self._chance())


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__

"""The one thread that computes: while it does, the event loop sends and receives."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tiersplit_core.errors import DeadlineError, ExhaustedError

T = TypeVar("T")


class Worker:
    """Runs functions one after another in a thread of its own, with a bounded queue before it.

    Args:
        limit: how many may wait or run before new work is refused.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.depth = 0
        self._pool = ThreadPoolExecutor(1, "compute")
        self._began: float | None = None

    @property
    def running_s(self) -> float:
        """Seconds that what runs now has been running; 0 where nothing does."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def check_room(self) -> None:
        """Refuse work that would have to wait behind too much.

        Raises:
            ExhaustedError: the queue is full.
        """
        if self.depth >= self.limit:
            raise ExhaustedError(f"{self.depth} requests wait already; try again later")

    async def run(self, work: Callable[[], T], deadline: float | None, *, admitted: bool = False) -> tuple[T, float]:
        """What `work` returns, and how many seconds it waited.

        Args:
            work: called in the thread.
            deadline: monotonic second after which it is not begun any more; None: no deadline.
            admitted: it was accepted before (a request that is run again), so the bound does not apply.

        Raises:
            ExhaustedError: the queue is full.
            DeadlineError: its turn came too late.
        """
        if not admitted:
            self.check_room()
        self.depth += 1
        queued = time.monotonic()

        def begin() -> tuple[T, float]:
            started = time.monotonic()
            if deadline is not None and started >= deadline:
                raise DeadlineError("the deadline passed while the request waited for its turn")
            self._began = started
            try:
                return work(), started - queued
            finally:
                self._began = None

        future = asyncio.get_running_loop().run_in_executor(self._pool, begin)
        future.add_done_callback(self._finished)
        return await future

    def _finished(self, _: "asyncio.Future[Any]") -> None:
        self.depth -= 1

    def close(self) -> None:
        """Stop the thread after what it does now."""
        self._pool.shutdown(wait=False, cancel_futures=True)

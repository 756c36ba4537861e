"""Child processes: started, watched, restarted with growing pauses, ended by their recorded pid."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

MIN_BACKOFF_S = 0.2
MAX_BACKOFF_S = 10.0
HEALTHY_S = 20.0
"""A process that ran this long starts over with the shortest pause."""
MAX_LOG_BYTES = 8 * 2**20
MEMORY_ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_ARENA_MAX": "2"}
"""With these, memory of dropped sessions returns to the system at once (core.md §3)."""


def tied(command: Sequence[str]) -> list[str]:
    """`command`, ended by the kernel when this process ends."""
    return [sys.executable, "-m", "tiersplit_local.child", str(os.getpid()), *command]


class Watched:
    """A process that a task watches over and starts again.

    Attributes:
        restarts: how often it was started again.
    """

    def __init__(self) -> None:
        self.restarts = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def _ended(self, grace_s: float) -> None:
        """Wait for the process that was asked to end, end it after `grace_s`, and watch no more."""
        if self._process is not None:
            try:
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class Child(Watched):
    """One process that is kept running until it is stopped.

    Attributes:
        name: what it is called in logs.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        super().__init__()
        self.name = name
        self._command, self._log, self._environment = list(command), log, dict(environment)

    async def start(self) -> None:
        """Start it and watch over it."""
        await self._spawn()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.name}")

    async def _spawn(self) -> None:
        too_long = self._log.exists() and self._log.stat().st_size > MAX_LOG_BYTES
        with self._log.open("wb" if too_long else "ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *tied(self._command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    async def _watch(self) -> None:
        backoff_s = MIN_BACKOFF_S
        while self._process is not None:
            began = time.monotonic()
            await self._process.wait()
            if self._stopping:
                return
            backoff_s = MIN_BACKOFF_S if time.monotonic() - began > HEALTHY_S else min(2 * backoff_s, MAX_BACKOFF_S)
            await asyncio.sleep(backoff_s)
            if self._stopping:
                return
            self.restarts += 1
            await self._spawn()

    async def stop(self, grace_s: float = 10.0) -> None:
        """Ask it to end, and after `grace_s` end it."""
        self._stopping = True
        self._signal(signal.SIGTERM)
        await self._ended(grace_s)

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for an error message."""
        try:
            with self._log.open("rb") as file:
                file.seek(max(self._log.stat().st_size - 4096, 0))
                return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

"""An event loop whose time passes as soon as nothing is left to do: seconds cost nothing, and load changes nothing."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterable
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Instead of waiting, it moves the time on."""

    now_s = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if timeout is None and not ready:
            raise RuntimeError("everybody waits, and nothing is ever going to happen")
        self.now_s += 0.0 if ready else timeout or 0.0
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """For coroutines that wait for each other, for seconds and for threads; sockets keep no such time.

    What is handed to a thread runs at once, in the loop's own, and takes no time.
    """

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Virtual monotonic seconds."""
        return self._jump.now_s

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":
        """A future that is done already."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run_virtually(scenario: Coroutine[Any, Any, T], modules: Iterable[ModuleType], patch: pytest.MonkeyPatch) -> T:
    """What `scenario` returns.

    Args:
        scenario: run to its end in virtual time.
        modules: in these, `time.monotonic()` tells the same time.
        patch: undoes that.
    """
    loop = VirtualLoop()
    for module in modules:
        patch.setattr(module, "time", SimpleNamespace(monotonic=loop.time))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(scenario)

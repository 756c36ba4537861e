"""How long segments run: the seconds that pass, and what of them compares with a profile."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tiersplit_stage.emulation import Emulation
from tiersplit_stage.processors import Quota

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a segment.

    Attributes:
        taken_s: seconds that passed.
        steady_s: seconds where it follows other work, as profiles have it: more only under a limit of the processor,
            where a run after a rest finds a period's time at hand.
    """

    taken_s: float
    steady_s: float


class Stopwatch:
    """Runs segments in the calling thread, as slowly as the tier that this stage stands for.

    Args:
        emulation: stretches runs.
        granted: this container's limit of the processor; None: there is none.
    """

    def __init__(self, emulation: Emulation, granted: Quota | None = None) -> None:
        self._emulation, self._granted = emulation, granted

    def time(self, segment: str, rows: int, run: Callable[[], T]) -> tuple[T, Ran]:
        """What `run` returns, and how long a segment of so many rows took."""
        # Where a limit leaves less than a processor a session computes in its caller's thread alone.
        started, spent_s = time.perf_counter(), time.thread_time()
        found = run()
        spent_s, passed_s = time.thread_time() - spent_s, time.perf_counter() - started
        taken_s = self._emulation.stretch(segment, rows, passed_s)
        return found, Ran(taken_s, steady_s(self._granted, taken_s, spent_s))


def steady_s(granted: Quota | None, taken_s: float, spent_s: float) -> float:
    """Seconds of a run in a stage under a limit of the processor.

    After a rest a short run finds a period's time at hand and passes unhindered; in a stage it follows the taking of
    the request and other segments, which have used that up.

    Args:
        granted: the limit; None: there is none.
        taken_s: seconds of the run.
        spent_s: its processor seconds.
    """
    return taken_s if granted is None else max(taken_s, granted.steady_s(spent_s))

"""Processor time that this process may use, and what a limit of it makes of a run."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_SCHEDULED = 2
"""Of the clocks that a process has: the one that the scheduler keeps. The kernel derives their numbers from the id."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A cgroup's limit: so much processor time in every period, and none is saved up.

    Attributes:
        processors: processors' worth of time.
        period_s: seconds after which the time is granted anew.
    """

    processors: float
    period_s: float

    @property
    def granted_s(self) -> float:
        """Processor seconds of one period, which are at hand after a rest."""
        return self.processors * self.period_s

    def steady_s(self, spent_s: float) -> float:
        """Seconds that pass while work of `spent_s` processor seconds is done that follows other work."""
        return spent_s / self.processors

    def rested_s(self, spent_s: float) -> float:
        """The same where it follows a rest: a period's time is at hand at once."""
        at_hand_s = min(spent_s, self.granted_s)
        return min(at_hand_s + (spent_s - at_hand_s) / self.processors, self.steady_s(spent_s))


def spent_by(process: int) -> float:
    """Processor seconds that a process has spent since it began, to the nanosecond, as the kernel counts them.

    Raises:
        OSError: it has ended.
    """
    return time.clock_gettime(~process << 3 | _SCHEDULED)


def usable_processors(cgroup: Path = _CGROUP) -> int:
    """Processors of this process's cpuset, or fewer where its cgroup's quota (version 2 or 1) is for fewer."""
    allowed = len(os.sched_getaffinity(0))
    granted = quota(cgroup)
    return max(1, allowed if granted is None else min(allowed, math.ceil(granted.processors)))


def quota(cgroup: Path = _CGROUP) -> Quota | None:
    """What the cgroup may use; None where it is not limited."""
    version1 = [cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us"]
    words = _words(cgroup / "cpu.max") or [word for path in version1 for word in _words(path)]
    try:
        limit_us, period_us = (float(word) for word in words)
    except ValueError:  # `max`, or no such files
        return None
    # Version 1 writes -1 for no limit.
    return Quota(limit_us / period_us, period_us / 1e6) if limit_us > 0 and period_us > 0 else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []

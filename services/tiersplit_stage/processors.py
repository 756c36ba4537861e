"""How many threads are worth having: the processors that this process may use, and how much of them."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_processors(cgroup: Path = _CGROUP) -> int:
    """Processors of this process's cpuset, or fewer where its cgroup's quota (version 2 or 1) is for fewer."""
    allowed = len(os.sched_getaffinity(0))
    granted = quota(cgroup)
    return max(1, allowed if granted is None else min(allowed, math.ceil(granted)))


def quota(cgroup: Path = _CGROUP) -> float | None:
    """Processors' worth of time that the cgroup may use; None where it is not limited."""
    version1 = [cgroup / "cpu" / "cpu.cfs_quota_us", cgroup / "cpu" / "cpu.cfs_period_us"]
    words = _words(cgroup / "cpu.max") or [word for path in version1 for word in _words(path)]
    try:
        limit, period = (float(word) for word in words)
    except ValueError:  # `max`, or no such files
        return None
    return limit / period if limit > 0 and period > 0 else None  # version 1 writes -1 for no limit


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []

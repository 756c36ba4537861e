"""How many threads are worth having: the processors that this process may use, and how much of them."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_processors(cgroup: Path = _CGROUP) -> int:
    """Processors of this process's cpuset, or fewer where its cgroup's quota (version 2 or 1) is for fewer."""
    allowed = len(os.sched_getaffinity(0))
    quota = _quota(cgroup)
    return max(1, allowed if quota is None else min(allowed, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Processors' worth of time that the cgroup may use; None where it is not limited."""
    limit, period = _words(cgroup / "cpu.max") or _version1(cgroup / "cpu") or ("max", "")
    try:
        quota = float(limit) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
    return quota if quota > 0 else None  # version 1 writes -1 for no limit


def _version1(folder: Path) -> tuple[str, str] | None:
    words = [*(_words(folder / "cpu.cfs_quota_us") or ()), *(_words(folder / "cpu.cfs_period_us") or ())]
    return (words[0], words[1]) if len(words) == 2 else None


def _words(path: Path) -> tuple[str, ...] | None:
    try:
        return tuple(path.read_text(encoding="ascii").split())
    except OSError:
        return None

"""Resident memory of this process and its high-water mark."""

import resource
from contextlib import suppress
from pathlib import Path

import psutil

_CLEAR = Path("/proc/self/clear_refs")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_STATUS = Path("/proc/self/status")
_STACK_BYTES = 8 * 2**20
_SLACK_BYTES = 16 * 2**20
"""What kernels need for a moment while they pack weights, and what is asked for and never used."""


def resident_bytes() -> int:
    """Bytes of this process that are in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """High-water mark of `resident_bytes` since `reset_peak`, or since the start where it cannot be reset."""
    found = _status_bytes("VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 if found is None else found


def bound_memory(more_bytes: int, threads: int) -> None:
    """Let this process fail where it asks for so many bytes beyond what it has: else the system would end it.

    Where a container is at its limit the system may end all of its processes, not this one alone.

    Args:
        more_bytes: what it may ask for.
        threads: how many it will start; their stacks count and are hardly used.
    """
    held = _status_bytes("VmData:")
    if held is not None:
        stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = held + more_bytes + _SLACK_BYTES + threads * (stack if stack > 0 else _STACK_BYTES)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted if most < 0 else min(wanted, most), most))


def stand_back() -> None:
    """Where the system must end a process for want of memory, let it be this one, whose failure is understood."""
    with suppress(OSError):
        _OOM_SCORE.write_text("1000")


def _status_bytes(key: str) -> int | None:
    """A line of this process's status; None where the system has none."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), None)


def reset_peak() -> None:
    """Let the high-water mark begin again at what is resident now, where the system can."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return

"""Resident memory of this process and its high-water mark."""

import resource
from pathlib import Path

import psutil

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def resident_bytes() -> int:
    """Bytes of this process that are in memory now."""
    return int(psutil.Process().memory_info().rss)


def peak_bytes() -> int:
    """High-water mark of `resident_bytes` since `reset_peak`, or since the start where it cannot be reset."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def reset_peak() -> None:
    """Let the high-water mark begin again at what is resident now, where the system can."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return

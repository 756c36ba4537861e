"""How many bytes a measuring process may hold where a container is limited."""

from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_RUNTIME_BYTES = 112 * 2**20
"""What the measuring process holds without a model (Python, ONNX Runtime and gRPC, with their libraries), and what it
may ask for beyond what was expected."""

_NO_LIMIT = 2**60
"""Version 1 writes a huge number where nothing is limited."""


def room_bytes(cgroup: Path = _CGROUP) -> int | None:
    """What is left for a model beside what this container holds already; None where it is not limited."""
    limit = _number(cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes")
    if limit is None or limit >= _NO_LIMIT:
        return None
    used = _number(cgroup / "memory.current", cgroup / "memory" / "memory.usage_in_bytes") or 0
    given_back = _file_cache_bytes(cgroup / "memory.stat", cgroup / "memory" / "memory.stat")
    return max(0, limit - max(0, used - given_back) - _RUNTIME_BYTES)


def _number(*paths: Path) -> int | None:
    text = next((found for found in map(_text, paths) if found), "").strip()
    return int(text) if text.isdecimal() else None


def _file_cache_bytes(*paths: Path) -> int:
    """Pages of files, which the kernel drops when a process needs room; those of libraries count as the runtime's."""
    text = next((found for found in map(_text, paths) if found), "")
    pairs = (line.partition(" ") for line in text.splitlines())
    told = {key.removeprefix("total_"): int(value) for key, _, value in pairs if value.isdecimal()}
    return told.get("inactive_file", 0) + told.get("active_file", 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""

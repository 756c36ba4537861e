"""What examples keep between runs: files that are there whole or not at all, and a record of what they were made of."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def digest_of(sources: Iterable[Path], packages: Iterable[str]) -> str:
    """A digest of source files and of the versions of packages."""
    parts = [path.read_text() for path in sources]
    parts += [f"{package}=={version(package)}" for package in packages]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def read_record(kind: type[T], path: Path) -> T | None:
    """The record on disk as a dataclass of that kind, or None where there is none that can be read."""
    try:
        return kind(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_record(path: Path, record: Any) -> None:
    """Write a dataclass, when all files that it speaks of are there."""
    write_atomically(path, json.dumps(asdict(record), indent=2).encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that a reader sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as one compressed .npz file, atomically."""
    import io  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415 - who looks for finished files does not wait for it

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())

"""The directory of one local run: what is kept between runs, and the lock that keeps two runs apart."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiersplit_core.errors import OperationError

ROOT = Path(".tiersplit")
_MAX_SOCKET_PATH = 100
"""Unix socket addresses hold 108 bytes."""


class WorkDir:
    """`.tiersplit/<name>/`: bundle, profiles, surface, logs, history, control socket and the keys of finished steps."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self.path = (root / name).resolve()
        self.bundle = self.path / "bundle"
        self.surface = self.path / "surface.json"
        self.refined = self.path / "profiles.json"
        self.history = self.path / "history.json"
        self.running = self.path / "running.json"
        self.logs = self.path / "logs"

    def profile(self, tier: str) -> Path:
        """Where the profile of a tier is kept."""
        return self.path / f"profile-{tier}.json"

    def stage(self, tier: str) -> Path:
        """Where a tier's stage says its addresses."""
        return self.path / f"stage-{tier}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory for one run.

        Raises:
            OperationError: another run of the same name holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = read_json(self.running).get("pid", "unknown")
                raise OperationError(f"{self.path.name} is running already (pid {other}); end that run first") from None
            self._sweep()
            self.logs.mkdir(exist_ok=True)
            try:
                yield
            finally:
                self.running.unlink(missing_ok=True)
                self._sweep()

    def _sweep(self) -> None:
        """Remove what steps that were ended had begun to write: until it is whole, its name begins with a dot."""
        for entry in self.path.glob(".*"):
            _remove(entry)

    def clear(self) -> None:
        """Forget all results of earlier runs."""
        for entry in self.path.iterdir():
            if entry.name != "lock":
                _remove(entry)
        self.logs.mkdir(exist_ok=True)

    def is_done(self, step: str, key: str) -> bool:
        """Whether `step` was finished for exactly these inputs."""
        return read_json(self.path / "steps.json").get(step) == key

    def mark_done(self, step: str, key: str) -> None:
        """Remember that `step` was finished for these inputs."""
        done = read_json(self.path / "steps.json")
        write_json(self.path / "steps.json", {**done, step: key})

    def socket_path(self) -> Path:
        """A place for the control socket that is short enough for the kernel."""
        path = self.path / "control.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
            path.unlink(missing_ok=True)
            return path
        return Path(tempfile.mkdtemp(prefix="tiersplit-")) / "control.sock"


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def key_of(value: Any) -> str:
    """A digest of what a step depends on."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_key(path: Path) -> str:
    """A digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of an earlier run; empty where there is none or it is damaged."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

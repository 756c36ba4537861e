"""The folder of a cache: how full it is, who uses what of it, and what goes when room is needed."""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiersplit_bundle.layout import Descriptor, blob_file
from tiersplit_core.errors import OperationError
from tiersplit_core.units import format_bytes

_BLOB = re.compile(r"\.?([0-9a-f]{64})(\.part.*)?")
_RESERVE_BYTES = 4 * 2**20
"""Left free on the volume, so that claims and logs can still be written."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One file on the shelf: a blob, or a part of one.

    Attributes:
        path: the file.
        digest: of the blob.
        size: bytes.
        used_at: when it was last used, in seconds since the epoch.
    """

    path: Path
    digest: str
    size: int
    used_at: float


def choose_victims(kept: Iterable[Kept], needed: Set[str], wanted_bytes: int) -> list[Kept]:
    """What goes so that at least `wanted_bytes` come free: the longest unused first, nothing that is needed.

    Raises:
        OperationError: all that may go is not enough.
    """
    victims: list[Kept] = []
    missing = wanted_bytes
    for found in sorted(kept, key=lambda entry: entry.used_at):
        if missing <= 0:
            break
        if found.digest not in needed:
            victims.append(found)
            missing -= found.size
    if missing > 0:
        raise OperationError(
            f"the cache is full of blobs that are needed: {format_bytes(missing)} more must fit; "
            "give the tier's cache a larger sizeLimit"
        )
    return victims


class Shelf:
    """A folder of blobs that processes share.

    Each process writes what it needs into a claim of its own and holds a lock on that for as long as it lives: a claim
    that nobody holds is what a dead process left.

    Args:
        folder: an image layout's root.
        limit_bytes: that its blobs may take; 0: what the volume holds.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder, self._limit = folder, limit_bytes
        self._blobs, self._claims = folder / "blobs" / "sha256", folder / "claims"
        for made in (self._blobs, self._claims):
            made.mkdir(parents=True, exist_ok=True)
        self._claim_path = self._claims / secrets.token_hex(8)
        with self._alone():
            self._claim = os.open(self._claim_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._claim, fcntl.LOCK_EX)

    def claim(self, needed: Set[str]) -> None:
        """Tell other processes what this one needs; replaces what it claimed before."""
        data = "\n".join(sorted(needed)).encode()
        with self._alone():
            os.ftruncate(self._claim, 0)
            os.pwrite(self._claim, data, 0)

    def touch(self, digest: str) -> None:
        """The blob was used."""
        os.utime(blob_file(self._folder, digest))

    def begun_bytes(self, digest: str) -> int:
        """How much of a blob that is being pulled has come."""
        path = blob_file(self._folder, digest)
        parts = map(_stat, path.parent.glob(f".{path.name}.part*"))
        return max((found.st_size for found in parts if found is not None), default=0)

    def make_room(self, entry: Descriptor, needed: Set[str]) -> None:
        """Drop what no process needs until `entry` fits.

        Args:
            entry: a blob that comes.
            needed: digests that this process needs.

        Raises:
            OperationError: it cannot fit.
        """
        with self._alone():
            kept = list(self._kept())
            begun = sum(found.size for found in kept if found.digest == entry.digest)
            coming = max(0, entry.size - begun)
            for victim in choose_victims(kept, needed | self._others(), coming - self._room(kept)):
                victim.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the claim up."""
        self._claim_path.unlink(missing_ok=True)
        # A thread that still pulls must not write into whatever gets this number next.
        claim, self._claim = self._claim, -1
        os.close(claim)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While it lasts no other process drops anything."""
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _room(self, kept: Iterable[Kept]) -> int:
        free = shutil.disk_usage(self._folder).free - _RESERVE_BYTES
        return min(free, self._limit - sum(found.size for found in kept)) if self._limit else free

    def _kept(self) -> Iterator[Kept]:
        for path in self._blobs.iterdir():
            named = _BLOB.fullmatch(path.name)
            if named is not None and (found := _stat(path)) is not None:
                yield Kept(path, f"sha256:{named[1]}", found.st_size, found.st_mtime)

    def _others(self) -> frozenset[str]:
        """What living processes claim."""
        return frozenset(digest for path in self._claims.iterdir() for digest in self._claimed(path))

    def _claimed(self, path: Path) -> list[str]:
        if path == self._claim_path:
            return []
        try:
            with path.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except BlockingIOError:
            return path.read_text(encoding="ascii").splitlines()
        except FileNotFoundError:
            pass
        return []


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None

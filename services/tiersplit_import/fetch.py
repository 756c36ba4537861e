"""Files that a manifest names by URI: https, s3, a claim's volume, or a path; bounded, and taken up again where cut."""

import errno
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from tiersplit_bundle.layout import file_digest
from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_core.units import format_bytes

VOLUMES = Path("/var/lib/tiersplit/pvc")
"""Where the operator mounts the claims that a manifest names, each under its name."""

MAX_BYTES = 32 * 2**30
SCHEMES = "https://, s3://bucket/key, pvc://claim/path or a path"
_PIECE_BYTES = 2**20
_SAY_EVERY_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much and how long is fetched.

    Attributes:
        max_bytes: of one file.
        timeout_s: for one file, its retries included.
        stall_s: without a byte, after which a connection is given up.
        attempts: without progress, after which a file is given up.
        pause_s: before the second attempt; doubles with each.
    """

    max_bytes: int = MAX_BYTES
    timeout_s: float = 3600.0
    stall_s: float = 60.0
    attempts: int = 5
    pause_s: float = 0.5


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is here.

    Attributes:
        path: where.
        digest: of its bytes.
        size: how many they are.
    """

    path: Path
    digest: str
    size: int


Opener = Callable[[int], "Stream"]
"""Opens the remote file at a position; a server may begin before it."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An open remote file.

    Attributes:
        read: up to so many bytes; none at the end.
        close: ends it.
        start: the position of the first byte.
        size: of the whole file, or None where nobody says.
    """

    read: Callable[[int], bytes]
    close: Callable[[], None]
    start: int
    size: int | None


def fetch(
    uri: str,
    target: Path,
    field: str,
    limits: Limits | None = None,
    volumes: Path = VOLUMES,
    say: Say = lambda text: print(text, file=sys.stderr),
) -> Fetched:
    """The file that `uri` names; remote ones are copied to `target`, others stay where they are.

    Args:
        uri: https, s3, pvc, file, or a plain path.
        target: the file that a remote one becomes.
        field: of the manifest, for errors.
        limits: of size and time.
        volumes: where claims are mounted.
        say: told about progress.

    Raises:
        ManifestError: the URI is none of those, or names nothing, or too much.
        OperationError: it cannot be reached, or refuses; another try may help.
    """
    limits = limits or Limits()
    if not uri.isprintable():
        raise ManifestError("an address has printable characters alone", field)
    scheme = uri.partition("://")[0] if "://" in uri else ""
    _check_address(uri, scheme, field)
    if scheme in {"", "file", "pvc"}:
        return _local(_path_of(uri, scheme, volumes, field), uri, field, limits)
    if scheme not in {"https", "s3"}:
        raise ManifestError(f"{scheme}:// is not fetched; write {SCHEMES}", field)
    from tiersplit_import.remote import opener  # noqa: PLC0415 - loads libraries that files here do not need

    return _Copy(opener(uri, field, limits.stall_s), shown(uri), target, field, limits, say).run()


def _check_address(uri: str, scheme: str, field: str) -> None:
    try:
        urlsplit(uri if scheme else "")
    except ValueError as error:  # such as brackets around what is no IPv6 address
        raise ManifestError(f"{error}; write {SCHEMES}", field) from error


def shown(uri: str) -> str:
    """The URI without user and query: they may be secret."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _path_of(uri: str, scheme: str, volumes: Path, field: str) -> Path:
    if scheme != "pvc":
        return Path(unquote(urlsplit(uri).path) if scheme else uri)
    claim, _, rest = uri.removeprefix("pvc://").partition("/")
    inside = PurePosixPath(rest)
    if not claim or not rest or claim in {".", ".."} or ".." in inside.parts or inside.is_absolute():
        raise ManifestError("write pvc://claim/path, with a path inside the claim's volume", field)
    if not (volumes / claim).is_dir():
        raise OperationError(f"{field}: the claim {claim!r} is not mounted under {volumes}")
    found = (volumes / claim / inside).resolve()
    if not found.is_relative_to((volumes / claim).resolve()):
        raise ManifestError("the path leaves the claim's volume", field)
    return found


def _local(path: Path, uri: str, field: str, limits: Limits) -> Fetched:
    if not path.is_file():
        raise ManifestError(f"there is no file {uri}", field)
    size = path.stat().st_size
    _check_size(size, uri, field, limits)
    return Fetched(path, file_digest(path), size)


def _check_size(size: int, name: str, field: str, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise ManifestError(
            f"{name} has {format_bytes(size)}, more than the {format_bytes(limits.max_bytes)} that are fetched", field
        )


class BrokenTransferError(OperationError):
    """A transfer broke in a way that may pass."""


class _Copy:
    """One remote file on its way to a local one."""

    def __init__(self, opener: Opener, name: str, target: Path, field: str, limits: Limits, say: Say) -> None:
        self._open, self._name, self._target, self._field = opener, name, target, field
        self._limits, self._say = limits, say
        self._deadline = time.monotonic() + limits.timeout_s
        self._said = time.monotonic()
        self._done = 0
        self._hash = hashlib.sha256()

    def run(self) -> Fetched:
        """Copy it, as often as it takes."""
        self._say(f"fetching {self._name}")
        self._target.parent.mkdir(parents=True, exist_ok=True)
        part = self._target.with_name(f".{self._target.name}.part")
        try:
            with part.open("w+b") as file:
                self._persist(file)
            part.replace(self._target)
        finally:
            part.unlink(missing_ok=True)
        self._say(f"fetched {self._name}: {format_bytes(self._done)}")
        return Fetched(self._target, f"sha256:{self._hash.hexdigest()}", self._done)

    def _persist(self, file: BinaryIO) -> None:
        tried = 0
        while True:
            reached = self._done
            try:
                return self._attempt(file)
            except BrokenTransferError as error:
                tried = 1 if self._done > reached else tried + 1
                pause_s = self._limits.pause_s * 2 ** (tried - 1)
                if tried >= self._limits.attempts or time.monotonic() + pause_s > self._deadline:
                    raise OperationError(
                        f"{self._field}: {self._name}: {error}; given up after {tried} tries"
                    ) from error
                time.sleep(pause_s)

    def _attempt(self, file: BinaryIO) -> None:
        with _closing(self._open(self._done)) as stream:
            if stream.size is not None:
                _check_size(stream.size, self._name, self._field, self._limits)
                _check_room(self._target.parent, stream.size - self._done)
            if stream.start != self._done:
                self._start_over(file)
            while piece := stream.read(_PIECE_BYTES):
                self._take(piece, file, stream.size)
            if stream.size is not None and self._done != stream.size:
                raise BrokenTransferError(f"it ended after {self._done} of {stream.size} bytes")

    def _start_over(self, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate()
        self._done, self._hash = 0, hashlib.sha256()

    def _take(self, piece: bytes, file: BinaryIO, size: int | None) -> None:
        self._done += len(piece)
        _check_size(self._done, self._name, self._field, self._limits)
        now = time.monotonic()
        if now > self._deadline:
            raise OperationError(f"{self._field}: {self._name} took longer than {self._limits.timeout_s:.0f} s")
        self._hash.update(piece)
        _write(file, piece)
        if now - self._said >= _SAY_EVERY_S:
            self._said = now
            self._say(f"fetching {self._name}: {format_bytes(self._done)}{f' of {format_bytes(size)}' if size else ''}")


def _write(file: BinaryIO, piece: bytes) -> None:
    try:
        file.write(piece)
    except OSError as error:
        why = "the disk is full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else os.strerror(error.errno or 0)
        raise OperationError(f"what is fetched cannot be written: {why}") from error


def _check_room(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OperationError(f"{format_bytes(needed)} are to be fetched and {format_bytes(free)} are free")


@contextmanager
def _closing(stream: Stream) -> Iterator[Stream]:
    try:
        yield stream
    finally:
        stream.close()

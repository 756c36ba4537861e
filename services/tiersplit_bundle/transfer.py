"""Moving blobs between files and a registry: in pieces, verified, and taken up again where a connection broke."""

import errno
import fcntl
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from tiersplit_bundle.layout import Descriptor, digest_of, file_digest
from tiersplit_bundle.transport import Call, Reply, TransientError, Transport
from tiersplit_core.errors import BundleError, OperationError

CHUNK_BYTES = 32 * 2**20
"""Blobs up to this size go in one request, larger ones in several: proxies before registries limit requests."""

_PIECE_BYTES = 2**18
_OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes that are sent, from a file or from memory.

    Attributes:
        digest: of all of them.
        size: how many they are.
        content: the file, or the bytes.
    """

    digest: str
    size: int
    content: Path | bytes

    @classmethod
    def of(cls, content: Path | bytes) -> "Source":
        """The source with its digest."""
        if isinstance(content, bytes):
            return cls(digest_of(content), len(content), content)
        return cls(file_digest(content), content.stat().st_size, content)

    def pieces(self, start: int, length: int) -> Iterator[bytes]:
        """`length` bytes from `start`, in pieces."""
        if isinstance(self.content, bytes):
            yield self.content[start : start + length]
            return
        with self.content.open("rb") as file:
            file.seek(start)
            while length > 0 and (piece := file.read(min(length, _PIECE_BYTES))):
                length -= len(piece)
                yield piece


class Download:
    """One blob on its way into a file.

    Args:
        transport: to the registry.
        repository: that holds the blob.
        entry: says digest and size.
        file: gets the bytes; what it holds already is believed to be the blob's beginning until the end proves it.
        stop: ends the transfer early when set.
    """

    def __init__(
        self, transport: Transport, repository: str, entry: Descriptor, file: BinaryIO, stop: threading.Event
    ) -> None:
        self._transport, self._entry, self._file, self._stop = transport, entry, file, stop
        self._url = f"{repository}/blobs/{entry.digest}"
        self.done = 0
        self._hash = hashlib.sha256()
        self._resumed = False

    def run(self) -> None:
        """Fetch what is missing, and verify all of it.

        Raises:
            BundleError: the registry has no such blob, or other bytes.
            OperationError: the registry cannot be reached.
        """
        self._take_up()
        self._fetch()
        if self._resumed and not self._is_right():
            self._start_over()
            self._fetch()
        if not self._is_right():
            raise BundleError("the registry's bytes do not have this digest; push the bundle again", self._entry.digest)

    def _fetch(self) -> None:
        if self.done < self._entry.size or not self._is_right():
            self._transport.persist(f"pulling {self._entry.digest}", self._attempt, lambda: self.done)

    def _is_right(self) -> bool:
        return self.done == self._entry.size and f"sha256:{self._hash.hexdigest()}" == self._entry.digest

    def _take_up(self) -> None:
        """Go on behind what an earlier try left."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE_BYTES):
            self._hash.update(piece)
            self.done += len(piece)
        self._resumed = self.done > 0
        if self.done >= self._entry.size and not self._is_right():
            self._start_over()

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.done, self._hash, self._resumed = 0, hashlib.sha256(), False

    def _attempt(self) -> None:
        headers = {"Range": f"bytes={self.done}-"} if self.done else {}
        call = Call("GET", self._url, headers=headers)
        with self._transport.once(call) as response:
            self._check_start(call, response)
            for piece in response.iter_raw():
                self._take(piece)
        if self.done < self._entry.size:
            raise TransientError(f"the answer ended after {self.done} of {self._entry.size} bytes")

    def _check_start(self, call: Call, response: httpx.Response) -> None:
        if response.status_code == 404:
            raise BundleError("the registry does not hold this blob; push the bundle again", self._entry.digest)
        if response.status_code not in {200, 206, 416}:
            raise self._transport.unexpected(call, response.status_code, b"")
        goes_on = response.headers.get("content-range", "").startswith(f"bytes {self.done}-")
        if response.status_code == 206 and goes_on:
            self._resumed = True
        elif response.status_code == 200:
            self._start_over()
        else:
            self._start_over()
            raise TransientError("the registry does not go on where the transfer broke")

    def _take(self, piece: bytes) -> None:
        if self._stop.is_set():
            raise OperationError(f"pulling {self._entry.digest} was stopped")
        self.done += len(piece)
        if self.done > self._entry.size:
            raise BundleError(f"the registry sends more than its {self._entry.size} bytes", self._entry.digest)
        self._hash.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise _disk_error(error) from error


def holds(path: Path, entry: Descriptor) -> bool:
    """Whether `path` is the blob, every byte of it."""
    return path.is_file() and path.stat().st_size == entry.size and file_digest(path) == entry.digest


def download(
    transport: Transport, repository: str, entry: Descriptor, path: Path, stop: threading.Event | None = None
) -> None:
    """Fetch a blob to `path`, which has all of it or does not exist; one that is there already stays.

    Errors as `Download.run`.
    """
    if holds(path, entry):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(path) as (part, file):
        Download(transport, repository, entry, file, stop or threading.Event()).run()
        file.flush()
        os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(path)


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """The file in which a blob grows: one that an earlier process left, unless another one is at work on it."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = part.exists() and part.stat().st_ino == os.fstat(descriptor).st_ino
    except OSError:
        free = False
    if not free:
        os.close(descriptor)
        descriptor, name = tempfile.mkstemp(prefix=part.name, dir=path.parent)
        part = Path(name)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            yield part, file
        except BundleError:
            part.unlink(missing_ok=True)
            raise


def _disk_error(error: OSError) -> OperationError:
    full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    return OperationError("the disk is full; give the cache more room" if full else f"cannot be written: {error}")


class Upload:
    """One blob on its way into a repository.

    Args:
        transport: to the registry.
        repository: gets the blob.
        source: the bytes.
        chunk_bytes: the largest request.
    """

    def __init__(self, transport: Transport, repository: str, source: Source, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._transport, self._repository, self._source = transport, repository, source
        self._chunk_bytes = chunk_bytes

    def run(self, mount_from: str | None = None) -> None:
        """Send the blob unless the repository has it, or another one of the same registry can lend it.

        Args:
            mount_from: that repository.

        Raises:
            OperationError: the registry cannot be reached or does not take it.
        """
        self._transport.persist(f"pushing {self._source.digest}", lambda: self._attempt(mount_from))

    def _is_there(self) -> bool:
        call = Call("HEAD", f"{self._repository}/blobs/{self._source.digest}")
        return self._ask(call, 200, 404).status == 200

    def _mount(self, other: str) -> bool:
        params = {"mount": self._source.digest, "from": other}
        call = Call("POST", f"{self._repository}/blobs/uploads/", kind=f"push from {other}", params=params)
        return self._ask(call, 201, 202).status == 201

    def _attempt(self, mount_from: str | None) -> None:
        # An earlier try may have succeeded without our hearing of it.
        if not self._is_there() and not (mount_from is not None and self._mount(mount_from)):
            self._upload()

    def _upload(self) -> None:
        # A broken upload starts anew: the common registry does not take one up whose last request broke off.
        started = self._ask(Call("POST", f"{self._repository}/blobs/uploads/", kind="push"), 202)
        location, sent = self._location(started), 0
        while self._source.size - sent > self._chunk_bytes:
            location, sent = self._send_chunk(location, sent)
        self._finish(location, sent)

    def _send_chunk(self, location: httpx.URL, start: int) -> tuple[httpx.URL, int]:
        end = start + self._chunk_bytes
        headers = {"Content-Range": f"{start}-{end - 1}"}
        taken = self._send("PATCH", location, start, self._chunk_bytes, headers, 202)
        return self._location(taken), end

    def _finish(self, location: httpx.URL, start: int) -> None:
        params = {"digest": self._source.digest}
        self._send("PUT", location.copy_merge_params(params), start, self._source.size - start, {}, 201)

    def _send(
        self, method: str, location: httpx.URL, start: int, length: int, headers: dict[str, str], wanted: int
    ) -> Reply:
        about = {"Content-Type": _OCTETS, "Content-Length": str(length)}
        body: Callable[[], Iterator[bytes]] = lambda: self._source.pieces(start, length)  # noqa: E731
        return self._ask(Call(method, str(location), kind="push", headers={**headers, **about}, body=body), wanted)

    def _ask(self, call: Call, *wanted: int) -> Reply:
        return self._transport.ask_once(call, frozenset(wanted))

    def _location(self, reply: Reply) -> httpx.URL:
        """Where the upload goes on; a registry behind a proxy that ends TLS may name itself without it."""
        url = self._transport.base.join(reply.headers.get("location", ""))
        own = url.host == self._transport.base.host and url.scheme == "http"
        return url.copy_with(scheme=self._transport.base.scheme) if own else url

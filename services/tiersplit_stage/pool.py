"""The segments that are loaded: one ONNX Runtime session each, loaded and dropped while others run."""

import gc
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tiersplit_bundle.layout import blob_file, file_digest
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.sessions import bound_heap, open_session, relax_heap, release_unused, run_options, trim_heap

NOWHERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Expected:
    """What a segment's input is.

    Attributes:
        dtype: of its elements; None where any may come.
        shape: sizes of its axes; the name of one that varies, or None for one without a name.
    """

    dtype: np.dtype[Any] | None
    shape: tuple[int | str | None, ...]


class Blobs(Protocol):
    """Blobs by digest, wherever they come from."""

    @property
    def progress(self) -> str:
        """What is on its way; empty where nothing is."""
        ...

    def follow(self, bundle: str, needed: Collection[str], elsewhere: Mapping[str, str] = NOWHERE) -> None:
        """A route came: `needed` are asked for; they come from `bundle`, or from where `elsewhere` says."""
        ...

    def path(self, digest: str) -> Path:
        """Where the blob lies, once its bytes are what its digest says; may take long.

        Raises:
            BundleError: the blob is missing, damaged, or `digest` is none.
            OperationError: it cannot be had at the moment.
        """
        ...

    def close(self) -> None:
        """Stop what is on its way."""
        ...


class BlobStore:
    """The blobs of a bundle on this machine by digest, each verified when it is first used."""

    progress = ""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self._verified: dict[str, int] = {}

    def path(self, digest: str) -> Path:
        """Where the blob lies, once its bytes are what its digest says.

        Raises:
            BundleError: the blob is missing, damaged, or `digest` is none.
        """
        path = blob_file(self._bundle, digest)
        stamp = _stamp(path, digest)
        if self._verified.get(digest) != stamp:
            if file_digest(path) != digest:
                raise BundleError("the blob's bytes are not what its digest says", digest)
            self._verified[digest] = stamp
        return path

    def follow(self, bundle: str, needed: Collection[str], elsewhere: Mapping[str, str] = NOWHERE) -> None:
        """Nothing to do: all blobs lie here."""

    def close(self) -> None:
        """Nothing to do: nothing is on its way."""


class SegmentPool:
    """Loaded segments by the digest of their blob; safe to load in one thread while another runs."""

    def __init__(self, store: Blobs, threads: int) -> None:
        self._store = store
        self._threads = threads
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._options: dict[str, ort.RunOptions | None] = {}
        self._lock = threading.Lock()

    @property
    def loaded(self) -> frozenset[str]:
        """Digests of the blobs that have a session."""
        return frozenset(self._sessions)

    def load(self, segment: SegmentInfo) -> None:
        """Make a session for `segment`; its weights stay memory-mapped from the bundle where ONNX Runtime allows.

        Raises:
            BundleError: a blob is missing or damaged.
            OperationError: ONNX Runtime cannot load it.
        """
        if segment.blob in self._sessions:
            return
        weights = [self._store.path(weight) for weight in segment.weights]
        path = self._store.path(segment.blob)
        bound_heap()
        try:
            session = open_session(path, self._threads, weights)
        except Exception as error:  # ONNX Runtime raises a dozen kinds without a common base of its own
            raise OperationError(f"segment {segment.id} cannot be loaded: {error}") from error
        finally:
            trim_heap()
            relax_heap()
        _check_names(session, segment)
        with self._lock:
            self._sessions = {**self._sessions, segment.blob: session}
            self._options = {**self._options, segment.blob: run_options(session)}

    def drop(self, blobs: Iterable[str]) -> None:
        """Forget sessions and hand their memory back to the system at once."""
        gone = set(blobs)
        with self._lock:
            self._sessions = {blob: session for blob, session in self._sessions.items() if blob not in gone}
            self._options = {blob: options for blob, options in self._options.items() if blob not in gone}
        gc.collect()
        release_unused()

    def blank(self, segment: SegmentInfo) -> dict[str, Any]:
        """Inputs of one row of zeros, to see how fast the segment runs.

        Raises:
            OperationError: the segment is not loaded, or a shape is not known before a request comes.
        """
        return {found.name: _blank(found, segment) for found in self._session(segment).get_inputs()}

    def expected(self, segment: SegmentInfo) -> dict[str, Expected]:
        """Its inputs by name.

        Raises:
            OperationError: the segment is not loaded.
        """
        return {found.name: _expected(found) for found in self._session(segment).get_inputs()}

    def run(self, segment: SegmentInfo, values: Mapping[str, Any]) -> dict[str, Any]:
        """Run one segment on `OrtValue`s; returns its outputs by name.

        Raises:
            OperationError: the segment is not loaded, or ONNX Runtime refuses the inputs.
        """
        session, options = self._session(segment), self._options.get(segment.blob)
        feed = {name: values[name] for name in segment.inputs}
        try:
            found = session.run_with_ort_values(list(segment.outputs), feed, options)
        except Exception as error:  # as above
            raise OperationError(f"segment {segment.id} failed: {error}") from error
        if options is not None:
            trim_heap()  # the arena shrank, but the heap of a stage that serves would keep what it handed back
        return dict(zip(segment.outputs, found, strict=True))

    def _session(self, segment: SegmentInfo) -> ort.InferenceSession:
        session = self._sessions.get(segment.blob)
        if session is None:
            raise OperationError(f"segment {segment.id} is not loaded")
        return session


_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


def _expected(found: ort.NodeArg) -> Expected:
    known = _DTYPES.get(found.type)
    return Expected(np.dtype(known) if known is not None else None, tuple(found.shape))


def _blank(found: ort.NodeArg, segment: SegmentInfo) -> Any:
    """One row of zeros; the batch is the only dimension that may vary."""
    rest = found.shape[1:]
    if found.type not in _DTYPES or not all(isinstance(size, int) for size in rest):
        raise OperationError(f"segment {segment.id}: the shape of {found.name} is not known")
    first = found.shape[:1]
    return to_ort(np.zeros([size if isinstance(size, int) else 1 for size in first] + rest, _DTYPES[found.type]))


def to_ort(array: NDArray[Any]) -> Any:
    """An `OrtValue` that reads the array's own memory."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _check_names(session: ort.InferenceSession, segment: SegmentInfo) -> None:
    missing = set(segment.outputs) - {found.name for found in session.get_outputs()}
    foreign = {found.name for found in session.get_inputs()} - set(segment.inputs)
    if missing or foreign:
        raise BundleError(
            f"its ONNX file does not fit the route: {sorted(missing | foreign)[0]!r}", f"segment {segment.id}"
        )


def _stamp(path: Path, digest: str) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise BundleError(f"the blob cannot be read: {error.strerror}", digest) from error

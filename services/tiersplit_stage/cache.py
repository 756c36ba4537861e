"""Blobs that are pulled when they are first needed and kept for the next start, within the bytes that they may take."""

import threading
from collections.abc import Collection, Mapping
from pathlib import Path

from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.layout import Descriptor, blob_file
from tiersplit_bundle.registry import Registry
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_core.units import format_bytes
from tiersplit_stage.pool import NOWHERE, BlobStore
from tiersplit_stage.shelf import Shelf
from tiersplit_stage.sources import OpenRegistry, Source, Sources


class BlobCache:
    """The blobs of the route's bundle by digest: those on the shelf, and those of its registry.

    Blobs are pulled by one thread at a time; everything else may be called from others meanwhile.

    Args:
        folder: where they are kept; other processes may share it.
        limit_bytes: that all of them may take; 0: what the volume holds.
        access: how registries are reached.
        open_registry: of a bundle's repository.
    """

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        access: RegistryAccess,
        open_registry: OpenRegistry = Registry,
    ) -> None:
        self._folder = folder
        self._sources = Sources(access, open_registry)
        self._shelf = Shelf(folder, limit_bytes)
        self._store = BlobStore(folder)
        self._bundle = ""
        self._elsewhere: Mapping[str, str] = NOWHERE
        self._needed = self._claimed = frozenset[str]()
        self._pulling: Descriptor | None = None
        self._stop = threading.Event()

    @property
    def progress(self) -> str:
        """What is being pulled; empty where nothing is."""
        entry = self._pulling
        if entry is None:
            return ""
        done = self._shelf.begun_bytes(entry.digest)
        return f"pulling {entry.digest[:19]}…: {format_bytes(done)} of {format_bytes(entry.size)}"

    def follow(self, bundle: str, needed: Collection[str], elsewhere: Mapping[str, str] = NOWHERE) -> None:
        """A route came: `needed` are kept, and what is not needed stops coming.

        Args:
            bundle: that blobs come from.
            needed: digests.
            elsewhere: bundles of the blobs that `bundle` does not have, by digest.
        """
        self._bundle, self._elsewhere = bundle, elsewhere
        self._sources.keep({bundle, *elsewhere.values()})
        self._needed = frozenset(needed)
        entry = self._pulling
        if entry is not None and entry.digest not in self._needed:
            self._stop.set()

    def path(self, digest: str) -> Path:
        """Where the blob lies, pulled and verified if it must be.

        Raises:
            BundleError: the bundle does not have it, its bytes are damaged at their source, or `digest` is none.
            OperationError: the registry cannot be reached, or there is no room.
        """
        try:
            return self._found(digest)
        except OSError as error:
            raise OperationError(f"the cache cannot keep {digest}: {error.strerror}") from error

    def close(self) -> None:
        """Stop what is being pulled; what came is kept for the next start."""
        self._needed = frozenset()  # else the blob after the one that is stopped would come
        self._stop.set()
        self._sources.keep(())
        self._shelf.close()

    def _found(self, digest: str) -> Path:
        path, needed = blob_file(self._folder, digest), self._needed
        if needed is not self._claimed:
            self._shelf.claim(needed)
            self._claimed = needed
        if path.exists():
            try:
                return self._used(digest)
            except BundleError:
                path.unlink(missing_ok=True)  # damaged on this disk: its source may still be good
        self._pull(digest, path)
        return self._used(digest)

    def _used(self, digest: str) -> Path:
        path = self._store.path(digest)
        self._shelf.touch(digest)
        return path

    def _pull(self, digest: str, path: Path) -> None:
        bundle = self._elsewhere.get(digest, self._bundle)
        if not bundle:
            raise OperationError("the route names no bundle that blobs could be pulled from")
        with self._sources.using(bundle) as source:
            self._pull_from(source, digest, path)

    def _pull_from(self, source: Source, digest: str, path: Path) -> None:
        if digest not in source.listed:
            raise BundleError("the bundle's manifest does not list this blob", digest)
        entry = source.listed[digest]
        self._shelf.make_room(entry, self._needed | {digest})
        self._stop.clear()
        self._pulling = entry
        if digest not in self._needed:
            self._stop.set()  # a newer route came in between
        try:
            source.registry.pull_blob(entry, path, self._stop)
        finally:
            self._pulling = None

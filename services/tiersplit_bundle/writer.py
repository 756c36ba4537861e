"""Writing a bundle: blobs first, the index last, so that a reader never sees half of one."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tiersplit_bundle import media
from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.layout import Descriptor, blob_file, canonical_json, digest_of
from tiersplit_bundle.manifest import extended, identity, manifest_of
from tiersplit_core.errors import BundleError

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that become a layer of a bundle."""

    media_type: str
    data: bytes
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The digest under which the bundle will hold it."""
        return digest_of(self.data)

    @property
    def descriptor(self) -> Descriptor:
        """Its entry in a manifest."""
        return Descriptor(self.media_type, self.digest, len(self.data), dict(self.annotations))


class BundleWriter:
    """Builds a bundle in a directory beside its target and moves it there when the `with` block succeeds.

    A target that is a bundle already keeps its old blobs and gets the new index in one replacement, so that those
    who have it open read on. Where the target holds the same import already (with or without segments added since),
    it stays as it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.target = Path(path)
        self.digest = ""
        self._entries: dict[tuple[str, str], Descriptor] = {}
        self._config: Mapping[str, Any] = {}
        self._work = Path()

    def __enter__(self) -> Self:
        _check_target(self.target)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._work = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent))
        self.blobs.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    @property
    def work(self) -> Path:
        """Where the layout stands until it is complete."""
        return self._work

    @property
    def blobs(self) -> Path:
        """Where what was added lies until the layout is complete, each under its bare hexadecimal digest."""
        return self._work / "blobs" / "sha256"

    def configure(self, config: Mapping[str, Any]) -> None:
        """Set the configuration: format version, model name, source and version."""
        self._config = dict(config)

    def add(self, blob: Blob) -> str:
        """Add a layer; equal bytes are stored once. Returns its digest."""
        entry = blob.descriptor
        self._entries.setdefault(identity(entry), entry)
        return _store(self._work, blob.data)

    def _finish(self) -> None:
        config = canonical_json(self._config)
        entry = Descriptor(media.CONFIG, _store(self._work, config), len(config))
        self.digest = write_index(self._work, canonical_json(manifest_of(entry, self._entries.values())))
        if not self.target.exists() or not any(self.target.iterdir()):
            self._work.chmod(0o755)
            self._work.replace(self.target)
            _sync(self.target.parent)
        elif Bundle.open(self.target).base != self.digest:
            _move_blobs(self._work, self.target)
            _replace(self.target / "index.json", (self._work / "index.json").read_bytes())


def extend(
    bundle: Bundle, blobs: Sequence[Blob], replace: bool = False, annotations: Mapping[str, str] | None = None
) -> Bundle:
    """Add layers to a bundle that may be in use: blobs first, then the index in one replacement.

    Args:
        bundle: the bundle; it stays readable as it was.
        blobs: what is added; bytes that it holds already are not written again.
        replace: as `manifest.extended` has it.
        annotations: added to the manifest's.

    Returns:
        The bundle as it is now.
    """
    for blob in blobs:
        _store(bundle.root, blob.data)
    manifest = extended(bundle.manifest, bundle.digest, [blob.descriptor for blob in blobs], replace)
    manifest["annotations"] |= annotations or {}
    write_index(bundle.root, canonical_json(manifest))
    return Bundle.open(bundle.root, complete=bundle.complete)


def write_index(root: Path, data: bytes) -> str:
    """Make a manifest the layout's one, in one replacement; the blobs that it lists should be there. Its digest."""
    (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    digest = _store(root, data)
    entry = {**Descriptor(media.IMAGE_MANIFEST, digest, len(data)).to_json(), "artifactType": media.ARTIFACT}
    index = {"schemaVersion": 2, "mediaType": media.IMAGE_INDEX, "manifests": [entry]}
    _replace(root / "oci-layout", _LAYOUT)
    _replace(root / "index.json", canonical_json(index))
    return digest


def _check_target(target: Path) -> None:
    if target.is_dir() and any(target.iterdir()):
        Bundle.open(target)
    elif target.exists() and not target.is_dir():
        raise BundleError("is a file; name a directory that is new or a bundle", str(target))


def _store(root: Path, data: bytes) -> str:
    digest = digest_of(data)
    path = blob_file(root, digest)
    # A blob of the right size may still be damaged; writing it again heals it.
    if not path.is_file() or path.stat().st_size != len(data) or digest_of(path.read_bytes()) != digest:
        _replace(path, data)
    return digest


def _replace(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".writing.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _move_blobs(source: Path, target: Path) -> None:
    for path in sorted((source / "blobs" / "sha256").iterdir()):
        path.replace(target / "blobs" / "sha256" / path.name)
    _sync(target / "blobs" / "sha256")

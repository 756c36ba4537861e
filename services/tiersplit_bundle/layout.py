"""The pieces of an OCI image layout: digests, descriptors and JSON documents, each checked and bounded."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiersplit_core.errors import BundleError

MAX_DOCUMENT_BYTES = 16 * 2**20
"""The largest index, manifest or configuration that is read."""

MAX_BLOB_BYTES = 64 * 2**30
MAX_LAYERS = 200_000
_CHUNK_BYTES = 2**20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One entry of a manifest.

    Attributes:
        media_type: what the blob is.
        digest: `sha256:` and 64 hexadecimal digits.
        size: the blob's bytes.
        annotations: what is known about it.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as the OCI specification writes it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        return {**found, "annotations": dict(self.annotations)} if self.annotations else found


def digest_of(data: bytes | memoryview) -> str:
    """`sha256:…` of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """`sha256:…` of a file, read in bounded pieces."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            found.update(piece)
    return "sha256:" + found.hexdigest()


def check_digest(digest: object, path: str) -> str:
    """`digest` if it is one; the only way by which text of a bundle becomes part of a file name.

    Raises:
        BundleError: it is none.
    """
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise BundleError(f"{digest!r} is no digest; expected sha256: and 64 hexadecimal digits", path)
    return digest


def blob_file(root: Path, digest: str) -> Path:
    """Where the blob of `digest` lies under the layout `root`."""
    return root / "blobs" / "sha256" / check_digest(digest, "digest").removeprefix("sha256:")


def canonical_json(value: object) -> bytes:
    """The one way in which a bundle writes JSON, so that equal values are equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def read_document(path: Path, name: str) -> dict[str, Any]:
    """A JSON object from a file of at most `MAX_DOCUMENT_BYTES`.

    Raises:
        BundleError: it is missing, too large, or no JSON object; `path` is `name`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", name) from error
    return parse_document(data, name)


def parse_document(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `data`; errors as `read_document`."""
    if len(data) > MAX_DOCUMENT_BYTES:
        raise BundleError(f"larger than {MAX_DOCUMENT_BYTES} bytes", name)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError("is no JSON document", name) from error
    if not isinstance(value, dict):
        raise BundleError("expected a JSON object", name)
    return value


def parse_descriptor(value: object, path: str) -> Descriptor:
    """The descriptor that `value` describes.

    Raises:
        BundleError: it is none; `path` is where the mistake stands.
    """
    if not isinstance(value, dict):
        raise BundleError("expected a descriptor", path)
    media_type, size, annotations = value.get("mediaType"), value.get("size"), value.get("annotations", {})
    if not isinstance(media_type, str):
        raise BundleError("expected a media type", f"{path}.mediaType")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_BLOB_BYTES:
        raise BundleError(f"expected a size of at most {MAX_BLOB_BYTES} bytes, got {size!r}", f"{path}.size")
    if not isinstance(annotations, dict) or not all(isinstance(text, str) for text in annotations.values()):
        raise BundleError("expected annotations that are texts", f"{path}.annotations")
    return Descriptor(media_type, check_digest(value.get("digest"), f"{path}.digest"), size, annotations)


def parse_descriptors(value: object, path: str) -> tuple[Descriptor, ...]:
    """The list of descriptors that `value` describes; errors as `parse_descriptor`."""
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise BundleError(f"expected a list of at most {MAX_LAYERS} descriptors", path)
    return tuple(parse_descriptor(item, f"{path}[{i}]") for i, item in enumerate(value))

"""The manifest of a bundle, as a document: how it is written and extended, on disk and in a registry alike."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiersplit_bundle import media
from tiersplit_bundle.layout import Descriptor, parse_descriptor, parse_descriptors

EMPTY = Descriptor(
    "application/vnd.oci.empty.v1+json", "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", 2
)
"""The configuration of an artifact that has none: `{}`, as the OCI image specification gives it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as the registry gave it, its digest verified.

    Attributes:
        descriptor: media type, digest and size.
        data: its bytes.
        document: what they say.
    """

    descriptor: Descriptor
    data: bytes
    document: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Of its bytes."""
        return self.descriptor.digest

    @property
    def config(self) -> Descriptor:
        """The configuration's entry; raises BundleError as `layers`."""
        return parse_descriptor(self.document.get("config"), "manifest.config")

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers' entries.

        Raises:
            BundleError: they are malformed.
        """
        return parse_descriptors(self.document.get("layers"), "manifest.layers")


def manifest_of(
    config: Descriptor,
    layers: Iterable[Descriptor],
    artifact_type: str = media.ARTIFACT,
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A manifest as the OCI image specification writes it."""
    value: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.IMAGE_MANIFEST,
        "artifactType": artifact_type,
        "config": config.to_json(),
        "layers": [entry.to_json() for entry in layers],
    }
    return {**value, "annotations": dict(annotations)} if annotations else value


def identity(entry: Descriptor) -> tuple[str, str]:
    """What a bundle lists once: a segment by its id and a plan's golden answers by the plan, everything else by digest.

    Two segments may well be the same bytes, such as those of a layer without weights in two bit widths.
    """
    key = {media.SEGMENT: media.SEGMENT_ID, media.PLAN_GOLDEN: media.PLAN}.get(entry.media_type, "")
    return entry.media_type, entry.annotations.get(key, entry.digest)


def extended(manifest: Mapping[str, Any], digest: str, added: Sequence[Descriptor], replace: bool) -> dict[str, Any]:
    """The manifest of a bundle with more layers.

    Args:
        manifest: as it is.
        digest: of it; becomes the base where it is the one that import wrote.
        added: the layers; each takes the place of the one that it is a newer form of (`identity`).
        replace: whether listed layers of the same media types are dropped, those of `media.COLLECTED` excepted; those
            of `media.NEWEST` are in any case.

    Raises:
        BundleError: its layers are malformed.
    """
    kinds = {entry.media_type for entry in added}
    dropped = kinds - media.COLLECTED if replace else kinds & media.NEWEST
    layers = parse_descriptors(manifest.get("layers"), "manifest.layers")
    entries = {identity(entry): entry for entry in layers if entry.media_type not in dropped}
    entries |= {identity(entry): entry for entry in added}
    annotations = dict(manifest.get("annotations", {}))
    annotations.setdefault(media.BASE, digest)
    kept = {key: value for key, value in manifest.items() if key not in {"layers", "annotations"}}
    return {**kept, "layers": [entry.to_json() for entry in entries.values()], "annotations": annotations}

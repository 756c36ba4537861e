"""Reading a bundle: nothing is believed before its digest was checked."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tiersplit_bundle import media
from tiersplit_bundle.accuracies import Accuracies, accuracies_from_json
from tiersplit_bundle.layout import (
    MAX_DOCUMENT_BYTES,
    Descriptor,
    blob_file,
    check_digest,
    digest_of,
    file_digest,
    parse_descriptor,
    parse_descriptors,
    parse_document,
    read_document,
)
from tiersplit_core.errors import BundleError, GraphError, StatisticsError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.graph.serialization import graph_from_json
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.json import statistics_from_json
from tiersplit_core.quantization.statistics import Statistics

Arrays = dict[str, npt.NDArray[Any]]
_MAX_READ_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class BundleSegment:
    """A segment that lies in the bundle, ready to be loaded.

    Attributes:
        id: the segment's name, equal in every plan that uses it.
        digest: of its ONNX file.
        layers: the layers that it runs, in execution order.
        inputs: tensor names that it reads, in the order of its ONNX inputs.
        outputs: tensor names that it computes, in the order of its ONNX outputs.
        weights: digests of the parameters that it reads.
    """

    id: str
    digest: str
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...]


class Bundle:
    """A bundle on disk; safe to share between threads.

    Attributes:
        root: the layout's directory.
        digest: of the manifest; changes when blobs are added.
        base: of the manifest that import wrote; stays when blobs are added.
        complete: whether all blobs must be there; else those that are not asked for may lie elsewhere.
    """

    def __init__(self, root: Path, digest: str, manifest: Mapping[str, Any], complete: bool = True) -> None:
        self.root = root
        self.digest = digest
        self.manifest = manifest
        self.complete = complete
        self.base: str = manifest.get("annotations", {}).get(media.BASE, digest)
        self.layers = parse_descriptors(manifest.get("layers"), "manifest.layers")
        self._config = parse_descriptor(manifest.get("config"), "manifest.config")
        self._verified: set[str] = set()
        self._lock = threading.Lock()
        self._check()

    @classmethod
    def open(cls, path: str | Path, complete: bool = True) -> Self:
        """The bundle that lies at `path`.

        Args:
            path: its directory.
            complete: whether all blobs must be there; a stage pulls only those that it needs.

        Raises:
            BundleError: layout, index, manifest or a blob's presence, size or media type is not a bundle's; the
                error names the file or blob.
        """
        root = Path(path)
        if not root.is_dir():
            raise BundleError("is no bundle directory; write one with `tiersplit import`", str(path))
        if read_document(root / "oci-layout", "oci-layout").get("imageLayoutVersion") != "1.0.0":
            raise BundleError("expected imageLayoutVersion 1.0.0", "oci-layout")
        entry = _only_manifest(read_document(root / "index.json", "index.json"))
        data = _read_checked(root, entry, MAX_DOCUMENT_BYTES)
        return cls(root, entry.digest, parse_document(data, entry.digest), complete)

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.config.get("name", ""))

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Format version, model name, source and the version that wrote it."""
        return parse_document(_read_checked(self.root, self._config, MAX_DOCUMENT_BYTES), self._config.digest)

    @cached_property
    def graph(self) -> LayerGraph:
        """The layer graph."""
        entry = self._only(media.GRAPH)
        try:
            return graph_from_json(parse_document(self.read(entry.digest), entry.digest))
        except GraphError as error:
            raise BundleError(str(error), entry.digest) from error

    @property
    def graph_digest(self) -> str:
        """Digest of the layer graph: what profiles and surfaces are for."""
        return self._only(media.GRAPH).digest

    @cached_property
    def quantization(self) -> Statistics | None:
        """What calibration found out about quantising the layers; None where there was no calibration data."""
        if not any(entry.media_type == media.QUANTIZATION for entry in self.layers):
            return None
        try:
            return statistics_from_json(self.read_json(media.QUANTIZATION), list(self.graph.index))
        except StatisticsError as error:
            raise BundleError(f"its quantisation statistics: {error}", self.digest) from error

    @cached_property
    def accuracies(self) -> Accuracies | None:
        """What was measured on validation data; None where nothing was."""
        if not any(entry.media_type == media.ACCURACIES for entry in self.layers):
            return None
        return accuracies_from_json(self.read_json(media.ACCURACIES))

    @cached_property
    def plan_goldens(self) -> Mapping[str, str]:
        """Digest of the golden answers of each plan that was rated, by the plan's digest."""
        found = [entry for entry in self.layers if entry.media_type == media.PLAN_GOLDEN]
        return {check_digest(entry.annotations.get(media.PLAN), entry.digest): entry.digest for entry in found}

    @property
    def model_path(self) -> Path:
        """The whole canonical model, every one of its blobs verified."""
        for entry in self.layers:
            if entry.media_type == media.WEIGHTS:
                self.blob_path(entry.digest)
        return self.blob_path(self._only(media.MODEL).digest)

    @cached_property
    def segments(self) -> tuple[BundleSegment, ...]:
        """The segments that were cut so far."""
        return tuple(_segment(entry) for entry in self._segments if media.FORM not in entry.annotations)

    @cached_property
    def forms(self) -> Mapping[RunForm, BundleSegment]:
        """The whole model in quantised forms, to be measured; none where there was no calibration data."""
        marked = [entry for entry in self._segments if media.FORM in entry.annotations]
        return {_form(entry): _segment(entry) for entry in marked}

    def segment_path(self, segment: BundleSegment) -> Path:
        """The segment's ONNX file, it and its weights verified."""
        for digest in segment.weights:
            self.blob_path(digest)
        return self.blob_path(segment.digest)

    def needed_by(self, segments: Iterable[str]) -> frozenset[str]:
        """Digests of what a stage needs that runs the segments of these names: graph, golden pair, files and weights.

        Raises:
            BundleError: the bundle has no such segment.
        """
        known = {segment.id: segment for segment in self.segments}
        found = {self.graph_digest, self._only(media.GOLDEN).digest}
        for name in segments:
            if name not in known:
                raise BundleError(
                    f"the bundle has no segment {name!r}; cut it with `tiersplit materialise`", "segments"
                )
            found.update((known[name].digest, *known[name].weights))
        return frozenset(found)

    def read(self, digest: str) -> bytes:
        """A blob's bytes, verified.

        Raises:
            BundleError: the bundle does not list it, or its bytes are not what was written.
        """
        return _read_checked(self.root, self.descriptor(digest), _MAX_READ_BYTES)

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies, verified once per bundle object; errors as `read`."""
        entry = self.descriptor(digest)
        path = blob_file(self.root, digest)
        with self._lock:
            if digest not in self._verified:
                _check_size(self.root, entry)
                if file_digest(path) != digest:
                    raise _damaged(entry)
                self._verified.add(digest)
        return path

    def descriptor(self, digest: str) -> Descriptor:
        """The manifest's entry of a blob.

        Raises:
            BundleError: there is none.
        """
        try:
            return self._by_digest[digest]
        except KeyError:
            raise BundleError("the bundle's manifest does not list this blob", digest) from None

    def golden(self, plan: str = "") -> tuple[Arrays, Arrays]:
        """Golden inputs and outputs at batch 1: input name to array, output key to array.

        Args:
            plan: digest of a plan: what its own segments answer; empty: what the model answers.

        Raises:
            BundleError: the plan was not rated, or the blob is damaged.
        """
        from safetensors.numpy import load  # noqa: PLC0415 - most readers of a bundle need no arrays

        digest = self._plan_golden(plan) if plan else self._only(media.GOLDEN).digest
        try:
            arrays = load(self.read(digest))
        except Exception as error:
            raise BundleError(f"is no safetensors file: {error}", digest) from error
        return _with_prefix(arrays, "input/"), _with_prefix(arrays, "output/")

    def read_json(self, media_type: str) -> Any:
        """The newest JSON blob of a media type.

        Raises:
            BundleError: there is none.
        """
        found = [entry for entry in self.layers if entry.media_type == media_type]
        if not found:
            raise BundleError(f"the bundle has no {media_type}", self.digest)
        return parse_document(self.read(found[-1].digest), found[-1].digest)

    @property
    def _segments(self) -> Sequence[Descriptor]:
        return [entry for entry in self.layers if entry.media_type == media.SEGMENT]

    def _plan_golden(self, plan: str) -> str:
        if plan not in self.plan_goldens:
            raise BundleError(f"the plan {plan} was not rated; rate it with `tiersplit materialise`", self.digest)
        return self.plan_goldens[plan]

    @cached_property
    def _by_digest(self) -> Mapping[str, Descriptor]:
        return {entry.digest: entry for entry in (self._config, *self.layers)}

    def _only(self, media_type: str) -> Descriptor:
        found = [entry for entry in self.layers if entry.media_type == media_type]
        if len(found) != 1:
            raise BundleError(f"expected one {media_type}, found {len(found)}", self.digest)
        return found[0]

    def _check(self) -> None:
        if self.manifest.get("artifactType") != media.ARTIFACT:
            raise BundleError(f"{self.manifest.get('artifactType')!r} is no {media.ARTIFACT}", self.digest)
        if self._config.media_type != media.CONFIG:
            raise BundleError(f"{self._config.media_type!r} is no {media.CONFIG}", self._config.digest)
        for entry in self.layers:
            if entry.media_type not in media.LAYERS:
                raise BundleError(f"{entry.media_type!r} is no media type of a bundle", entry.digest)
        for entry in (self._config, *self.layers) if self.complete else ():
            _check_size(self.root, entry)


def _only_manifest(index: Mapping[str, Any]) -> Descriptor:
    entries = parse_descriptors(index.get("manifests"), "index.json.manifests")
    if len(entries) != 1 or entries[0].media_type != media.IMAGE_MANIFEST:
        raise BundleError(f"expected one {media.IMAGE_MANIFEST}", "index.json.manifests")
    return entries[0]


def _segment(entry: Descriptor) -> BundleSegment:
    about = parse_document(entry.annotations.get(media.SEGMENT_ABOUT, "").encode(), entry.digest)
    fields = {key: about.get(key) for key in ("layers", "inputs", "outputs", "weights")}
    for key, value in fields.items():
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise BundleError(f"expected a list of names in {key!r}", entry.digest)
    lists = {key: tuple(value or ()) for key, value in fields.items()}
    return BundleSegment(entry.annotations.get(media.SEGMENT_ID, ""), entry.digest, **lists)


def _form(entry: Descriptor) -> RunForm:
    try:
        return RunForm(entry.annotations[media.FORM])
    except ValueError:
        raise BundleError(f"{entry.annotations[media.FORM]!r} is no run form", entry.digest) from None


def _read_checked(root: Path, entry: Descriptor, limit: int) -> bytes:
    if entry.size > limit:
        raise BundleError(f"{entry.size} bytes are more than the {limit} that are read at once", entry.digest)
    _check_size(root, entry)
    data = blob_file(root, entry.digest).read_bytes()
    if digest_of(data) != entry.digest:
        raise _damaged(entry)
    return data


def _check_size(root: Path, entry: Descriptor) -> None:
    path = blob_file(root, entry.digest)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BundleError(f"the blob is missing ({entry.media_type})", entry.digest) from error
    if size != entry.size or not path.is_file():
        raise BundleError(f"the blob has {size} bytes, its descriptor says {entry.size}", entry.digest)


def _damaged(entry: Descriptor) -> BundleError:
    return BundleError(f"the blob's bytes do not have this digest ({entry.media_type}); import again", entry.digest)


def _with_prefix(arrays: Mapping[str, npt.NDArray[np.generic]], prefix: str) -> Arrays:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}

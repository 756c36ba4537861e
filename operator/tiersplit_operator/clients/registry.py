"""The registry, without blocking the loop: what tags mean is remembered for a while, blobs by their digest."""

import asyncio
import json
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from tiersplit_bundle import media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.layout import Descriptor
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Manifest, Registry
from tiersplit_bundle.writer import Blob
from tiersplit_core.errors import BundleError
from tiersplit_operator.facts import ArtifactRecord
from tiersplit_operator.plan_outcome import ANNOTATION

FOUND_S = 300.0
"""How long an answer is believed: the registry may lose what it had, and people move tags."""
MISSING_S = 1.0
MAX_ARTIFACTS, MAX_TIERS = 8192, 8192
MAX_BLOB_CACHE_BYTES = 64 * 2**20
MAX_REPOSITORIES = 256
TIMEOUT_S, ATTEMPTS, TRANSFER_S = 5.0, 3, 120.0
MAX_BUNDLES = 64
THREADS = 8
MAX_PROFILE_BYTES = 16 * 2**20
DOCUMENTS = frozenset({media.GRAPH, media.SURFACE, media.PROFILE, media.ACCURACIES})
"""What planning and adaptation read of a bundle; models and segments stay where they are."""
TIER_ANNOTATION = "tiersplit.tier"
"""Annotation of a profile's entry in a bundle's manifest: the tier's name."""
T = TypeVar("T")


def hasty(access: RegistryAccess) -> RegistryAccess:
    """The same access, given up soon: looks wait for answers, and threads that hang are missed by all resources."""
    return replace(access, timeout_s=TIMEOUT_S, attempts=ATTEMPTS, transfer_timeout_s=TRANSFER_S)


class RegistryClient:
    """What the operator does with the registry.

    Args:
        access: how it is reached; see `hasty`.
        clock: seconds, monotonic.
    """

    def __init__(self, access: RegistryAccess, clock: Callable[[], float] = time.monotonic) -> None:
        self._access, self._clock = access, clock
        self._artifacts: OrderedDict[str, tuple[float, ArtifactRecord | None]] = OrderedDict()
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._registries: OrderedDict[str, Registry] = OrderedDict()
        self._tiers: OrderedDict[str, str] = OrderedDict()
        self._scratch = Path(tempfile.mkdtemp(prefix="tiersplit-"))
        self._bundles: OrderedDict[Path, None] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="registry")

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        """Have a thread of our own do it: one that waits for a registry is missed by nobody else."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def artifact(self, reference: str) -> ArtifactRecord | None:
        """The manifest at a tag or digest; None where there is none.

        Raises:
            OperationError: the registry cannot be reached or refuses.
        """
        known = self._artifacts.get(reference)
        if known is not None and self._clock() < known[0]:
            return known[1]
        found = await self._run(self._look, reference)
        self._artifacts[reference] = (self._clock() + (MISSING_S if found is None else FOUND_S), found)
        _shrink(self._artifacts, MAX_ARTIFACTS)
        return found

    async def blob(self, reference: str, digest: str, limit: int) -> bytes:
        """A verified blob of the repository of `reference`.

        Raises:
            BundleError: it is not there, damaged or larger than `limit` bytes.
            OperationError: the registry cannot be reached or refuses.
        """
        if digest not in self._blobs:
            data = await self._run(self._registry(reference).read_blob, digest, limit)
            self._blobs[digest] = data
            while sum(map(len, self._blobs.values())) > MAX_BLOB_CACHE_BYTES and len(self._blobs) > 1:
                self._blobs.popitem(last=False)
            return data
        self._blobs.move_to_end(digest)
        return self._blobs[digest]

    async def profile(self, reference: str) -> bytes:
        """The profile that a profile Job pushed; errors as `blob`."""
        registry = self._registry(reference)
        target = Reference.parse(reference).target
        return await self._run(registry.read_artifact, media.PROFILE, target)

    async def extend(self, bundle: str, added: Sequence[Blob], tag: str) -> ArtifactRecord:
        """Put layers beside a bundle's, in place of those of the same kinds, under a tag; errors as `blob`."""
        registry, reference = self._registry(bundle), Reference.parse(bundle)
        digest = await self._run(registry.extend, added, tag, reference.target, True)
        self._artifacts.pop(str(reference.at(tag)), None)
        found = await self.artifact(str(reference.at(digest)))
        if found is None:
            raise BundleError("was pushed and is not there", str(reference.at(digest)))
        return found

    async def bundle(self, reference: str) -> Bundle:
        """The bundle's documents (graph, surface, profiles) as a partial bundle on disk; errors as `blob`."""
        return await self._run(self._pull, reference)

    def _pull(self, reference: str) -> Bundle:
        parsed = Reference.parse(reference)
        with Registry(parsed, self._access) as registry:
            manifest = registry.manifest()
            wanted = {entry.digest for entry in manifest.layers if entry.media_type in DOCUMENTS}
            directory = self._scratch / manifest.digest.removeprefix("sha256:")
            found = registry.pull_bundle(directory, wanted)
        with self._lock:
            self._bundles[directory] = None  # references of one manifest share its folder
            self._bundles.move_to_end(directory)
            while len(self._bundles) > MAX_BUNDLES:
                shutil.rmtree(self._bundles.popitem(last=False)[0], ignore_errors=True)
        return found

    async def repositories(self, prefix: str) -> list[str]:
        """References of all repositories below `prefix` (`HOST/PATH`); errors as `artifact`."""
        host, _, path = prefix.partition("/")
        probe = self._registry(f"oci://{prefix}/any")
        names = await self._run(probe.repositories)
        return [f"oci://{host}/{name}" for name in names if name.startswith(f"{path}/")]

    async def tags(self, reference: str) -> dict[str, str]:
        """Digest per tag of a repository; errors as `artifact`."""
        registry = self._registry(reference)

        def read() -> dict[str, str]:
            heads = {tag: registry.head(tag) for tag in registry.tags()}
            return {tag: head.digest for tag, head in heads.items() if head is not None}

        return await self._run(read)

    async def delete(self, reference: str, digest: str) -> None:
        """Remove a manifest and its tags; errors as `artifact`."""
        await self._run(self._registry(reference).delete, digest)

    def close(self) -> None:
        """Close all connections, and remove what was pulled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._scratch, ignore_errors=True)
        for registry in self._registries.values():
            registry.close()

    def _registry(self, reference: str) -> Registry:
        parsed = Reference.parse(reference)
        place = f"{parsed.host}/{parsed.repository}"
        with self._lock:
            if place not in self._registries:
                self._registries[place] = Registry(Reference(parsed.host, parsed.repository), self._access)
            self._registries.move_to_end(place)
            while len(self._registries) > MAX_REPOSITORIES:
                self._registries.popitem(last=False)
            return self._registries[place]

    def _look(self, reference: str) -> ArtifactRecord | None:
        registry, parsed = self._registry(reference), Reference.parse(reference)
        if registry.head(parsed.target) is None:
            return None
        return self._record(registry, f"{parsed.host}/{parsed.repository}", registry.manifest(parsed.target))

    def _record(self, registry: Registry, place: str, manifest: Manifest) -> ArtifactRecord:
        annotations: Mapping[str, Any] = manifest.document.get("annotations") or {}
        bundle = manifest.document.get("artifactType") == media.ARTIFACT
        by_type: dict[str, list[Descriptor]] = {}
        for entry in manifest.layers:
            by_type.setdefault(entry.media_type, []).append(entry)
        surface = by_type[media.SURFACE][-1] if media.SURFACE in by_type else None
        return ArtifactRecord(
            repository=place,
            digest=manifest.digest,
            base=str(annotations.get(media.BASE, manifest.digest)),
            graph=by_type[media.GRAPH][0].digest if bundle and media.GRAPH in by_type else "",
            segments={
                entry.annotations.get(media.SEGMENT_ID, ""): entry.digest
                for entry in by_type.get(media.SEGMENT, ())
                if media.FORM not in entry.annotations
            },
            profiles={self._tier(registry, entry): entry.digest for entry in by_type.get(media.PROFILE, ())}
            if bundle
            else {},
            surface=surface.digest if surface else "",
            quantization=_newest(by_type, media.QUANTIZATION),
            accuracies=_newest(by_type, media.ACCURACIES),
            forms=frozenset(filter(None, (e.annotations.get(media.FORM) for e in by_type.get(media.SEGMENT, ())))),
            outcome=surface.annotations.get(ANNOTATION, "") if surface else "",
            annotations={str(key): str(value) for key, value in annotations.items()},
        )

    def _tier(self, registry: Registry, entry: Descriptor) -> str:
        """The tier that a profile was measured on: its entry says so, else the profile itself."""
        named = entry.annotations.get(TIER_ANNOTATION) or self._tiers.get(entry.digest)
        if named is None:
            try:
                named = str(json.loads(registry.read_blob(entry.digest, MAX_PROFILE_BYTES))["tier"])
            except (ValueError, KeyError, TypeError):
                named = ""
            with self._lock:
                self._tiers[entry.digest] = named
                _shrink(self._tiers, MAX_TIERS)
        return named


def _newest(entries: Mapping[str, Sequence[Descriptor]], media_type: str) -> str:
    found = entries.get(media_type)
    return found[-1].digest if found else ""


def _shrink(cache: OrderedDict[str, Any], most: int) -> None:
    while len(cache) > most:
        cache.popitem(last=False)

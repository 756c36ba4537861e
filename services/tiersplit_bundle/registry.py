"""A repository of an OCI registry as a place for bundles: push, pull, extend, list and delete.

Blobs go before the manifest that lists them, and a manifest replaces its tag at once: nobody ever sees half a bundle.
"""

import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Self

from tiersplit_bundle import media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.layout import (
    MAX_DOCUMENT_BYTES,
    Descriptor,
    blob_file,
    canonical_json,
    check_digest,
    digest_of,
    parse_descriptor,
    parse_document,
)
from tiersplit_bundle.manifest import EMPTY, Manifest, extended, manifest_of
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.transfer import Source, Upload, download, holds
from tiersplit_bundle.transport import Call, Transport
from tiersplit_bundle.writer import Blob, write_index
from tiersplit_core.errors import BundleError, OperationError
from tiersplit_core.units import format_bytes

__all__ = ["Manifest", "Registry", "Report"]

MAX_PAGES = 1000
_PAGE = 500

Report = Callable[[int, int], None]
"""Told bytes that are done and bytes in all, after each blob."""


class Registry:
    """One repository; safe to share between threads.

    Args:
        reference: the repository; its tag or digest is what methods mean where no other is given.
        access: how the registry is reached.
        transport: sends the requests; None makes one.
    """

    def __init__(
        self, reference: Reference, access: RegistryAccess | None = None, transport: Transport | None = None
    ) -> None:
        self.reference = reference
        access = access or RegistryAccess()
        self._transport = transport or Transport(reference.host, reference.repository, access)
        self._access = self._transport.access

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    # What is there

    def head(self, target: str | None = None) -> Descriptor | None:
        """The manifest's descriptor, or None where there is none.

        Raises:
            OperationError: the registry cannot be reached or refuses.
        """
        call = self._manifest_call("HEAD", target)
        reply = self._transport.ask(call, frozenset({200, 404}))
        if reply.status == 404:
            return None
        digest = check_digest(reply.headers.get("docker-content-digest", ""), "Docker-Content-Digest")
        size = reply.headers.get("content-length", "0")
        return Descriptor(reply.headers.get("content-type", ""), digest, int(size) if size.isdecimal() else 0)

    def manifest(self, target: str | None = None) -> Manifest:
        """The manifest of a tag or digest.

        Raises:
            BundleError: there is none, or its bytes do not have the digest.
            OperationError: the registry cannot be reached or refuses.
        """
        call = self._manifest_call("GET", target)
        reply = self._transport.ask(call, frozenset({200, 404}))
        named = self.reference if target is None else self.reference.at(target)
        if reply.status == 404:
            raise BundleError("the registry has no such manifest; push one with `tiersplit import --push`", str(named))
        digest = digest_of(reply.body)
        if (named.digest or reply.headers.get("docker-content-digest", digest)) != digest:
            raise BundleError("the registry's manifest does not have this digest", str(named))
        document = parse_document(reply.body, digest)
        if document.get("mediaType", media.IMAGE_MANIFEST) != media.IMAGE_MANIFEST:
            raise BundleError(f"{document.get('mediaType')!r} is no {media.IMAGE_MANIFEST}", str(named))
        return Manifest(Descriptor(media.IMAGE_MANIFEST, digest, len(reply.body)), reply.body, document)

    def tags(self) -> tuple[str, ...]:
        """All tags of the repository; none where it does not exist."""
        return self._pages(f"{self.reference.repository}/tags/list", "tags")

    def repositories(self) -> tuple[str, ...]:
        """All repositories of the registry, whatever this one is."""
        return self._pages("_catalog", "repositories")

    # Reading

    def read_blob(self, digest: str, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
        """A blob's bytes, verified; for documents, not for weights.

        Args:
            digest: of the blob.
            limit: bytes that it has at most.

        Raises:
            BundleError: there is none, it is larger, or its bytes are not those of the digest.
            OperationError: the registry cannot be reached or refuses.
        """
        call = Call("GET", f"{self.reference.repository}/blobs/{check_digest(digest, 'digest')}")
        reply = self._transport.ask(call, frozenset({200, 404}), limit)
        if reply.status == 404:
            raise BundleError("the registry does not hold this blob; push the bundle again", digest)
        if digest_of(reply.body) != digest:
            raise BundleError("the registry's bytes do not have this digest; push the bundle again", digest)
        return reply.body

    def pull_blob(self, entry: Descriptor, path: Path, stop: threading.Event | None = None) -> None:
        """Fetch a blob to a file, which has all of it or does not exist; a broken transfer goes on where it broke.

        Args:
            entry: says digest and size.
            path: the file.
            stop: ends the transfer early when set, with an OperationError.

        Raises:
            BundleError: there is none, or its bytes are not those of the digest.
            OperationError: the registry cannot be reached or refuses, or the disk is full.
        """
        download(self._transport, self.reference.repository, entry, path, stop)

    def pull_bundle(
        self, directory: Path, blobs: Collection[str] | None = None, report: Report = lambda _done, _all: None
    ) -> Bundle:
        """Fetch a bundle, or chosen blobs of it, into an image layout.

        What the directory holds already is verified and stays, so that a second call fetches only what is missing.

        Args:
            directory: the layout; blobs of other bundles in it stay, its index then names this one.
            blobs: digests; None: all of the manifest. The configuration always comes.
            report: told after each blob.

        Returns:
            The bundle; where `blobs` were chosen, it need not have the others.

        Raises:
            BundleError: the manifest is no bundle's, or a blob is missing or damaged; the error names it.
            OperationError: the registry cannot be reached or refuses, or the disk is full.
        """
        found = self.manifest()
        listed = {entry.digest: entry for entry in (found.config, *found.layers)}
        Bundle(
            directory, found.digest, found.document, complete=False
        )  # refuses what is no bundle before it is fetched
        for digest in blobs or ():
            if digest not in listed:
                raise BundleError("the bundle's manifest does not list this blob", digest)
        chosen = listed if blobs is None else {found.config.digest, *blobs}
        self._pull_all([listed[digest] for digest in chosen], directory, report)
        write_index(directory, found.data)
        return Bundle.open(directory, complete=blobs is None)

    def read_artifact(self, media_type: str, target: str | None = None) -> bytes:
        """The one layer of this media type of a manifest.

        Raises:
            BundleError: there is not exactly one.
        """
        found = self.manifest(target)
        entries = [entry for entry in found.layers if entry.media_type == media_type]
        if len(entries) != 1:
            raise BundleError(f"expected one {media_type}, found {len(entries)}", found.digest)
        return self.read_blob(entries[0].digest)

    # Writing

    def push_blob(self, content: Path | bytes, mount_from: str | None = None) -> str:
        """Send a blob that the repository lacks; its digest.

        Args:
            content: the file, or the bytes.
            mount_from: another repository of the same registry that may have it.

        Raises:
            OperationError: the registry cannot be reached or refuses.
        """
        source = Source.of(content)
        Upload(self._transport, self.reference.repository, source).run(mount_from)
        return source.digest

    def push_bundle(
        self,
        bundle: Bundle,
        tag: str | None = None,
        mount_from: str | None = None,
        report: Report = lambda _done, _all: None,
    ) -> str:
        """Send a bundle: first the blobs that are missing, then its manifest; the manifest's digest.

        Args:
            bundle: complete.
            tag: under which it is found; None: the reference's, else its digest alone.
            mount_from: another repository of the same registry that may have its blobs.
            report: told after each blob.

        Raises:
            BundleError: a blob of the bundle is missing or damaged.
            OperationError: the registry cannot be reached or refuses.
        """
        entries = {
            entry.digest: entry for entry in (parse_descriptor(bundle.manifest["config"], "config"), *bundle.layers)
        }

        def send(entry: Descriptor, _: threading.Event) -> None:
            source = Source(entry.digest, entry.size, bundle.blob_path(entry.digest))
            Upload(self._transport, self.reference.repository, source).run(mount_from)

        self._each(list(entries.values()), send, report)
        return self.push_manifest(blob_file(bundle.root, bundle.digest).read_bytes(), tag)

    def push_manifest(self, data: bytes, tag: str | None = None) -> str:
        """Send a manifest whose blobs are there; its digest.

        Raises:
            OperationError: the registry cannot be reached, or does not take it (such as for a blob that it lacks).
        """
        digest = digest_of(data)
        target = tag or self.reference.tag or digest
        headers = {"Content-Type": media.IMAGE_MANIFEST, "Content-Length": str(len(data))}
        url = f"{self.reference.repository}/manifests/{self.reference.at(target).target}"
        call = Call("PUT", url, kind="push", headers=headers, body=lambda: iter((data,)))
        reply = self._transport.ask(call, frozenset({201}))
        if reply.headers.get("docker-content-digest", digest) != digest:
            raise OperationError(f"{self.reference.host} stored another manifest than was sent ({digest})")
        return digest

    def push_artifact(
        self, blob: Blob, artifact_type: str, tag: str, annotations: Mapping[str, str] | None = None
    ) -> str:
        """Send one blob as an artifact of its own; the manifest's digest. Errors as `push_blob`."""
        self.push_blob(b"{}")
        self.push_blob(blob.data)
        return self.push_manifest(
            canonical_json(manifest_of(EMPTY, [blob.descriptor], artifact_type, annotations)), tag
        )

    def extend(
        self,
        added: Sequence[Blob],
        tag: str,
        target: str | None = None,
        replace: bool = False,
        present: Sequence[Descriptor] = (),
    ) -> str:
        """Add layers to a bundle in the registry without having it here; the digest of its manifest with them.

        Args:
            added: sent before the manifest that lists them.
            tag: under which the extended bundle is found.
            target: tag or digest of the bundle as it is; None: the reference's.
            replace: as `manifest.extended` has it.
            present: layers that the repository holds already.

        Raises:
            BundleError: there is no such bundle.
            OperationError: the registry cannot be reached or refuses.
        """
        found = self.manifest(target)
        Bundle(Path(), found.digest, found.document, complete=False)
        for blob in added:
            self.push_blob(blob.data)
        entries = [*(blob.descriptor for blob in added), *present]
        return self.push_manifest(canonical_json(extended(found.document, found.digest, entries, replace)), tag)

    def delete(self, digest: str) -> None:
        """Remove a manifest and its tags; one that is gone is fine.

        Raises:
            OperationError: the registry does not delete.
        """
        url = f"{self.reference.repository}/manifests/{check_digest(digest, 'digest')}"
        reply = self._transport.ask(Call("DELETE", url, kind="delete"), frozenset({200, 202, 404, 405}))
        if reply.status == 405:
            raise OperationError(
                f"the registry {self.reference.host} deletes nothing; docker-registry does with storage.delete.enabled"
            )

    # How

    def _manifest_call(self, method: str, target: str | None) -> Call:
        named = self.reference if target is None else self.reference.at(target)
        if named.target is None:
            raise BundleError("name a tag or digest, as in :latest", str(named))
        url = f"{named.repository}/manifests/{named.target}"
        return Call(method, url, headers={"Accept": media.IMAGE_MANIFEST})

    def _pages(self, url: str, key: str) -> tuple[str, ...]:
        found: list[str] = []
        last = ""
        for _ in range(MAX_PAGES):
            params = {"n": str(_PAGE), **({"last": last} if last else {})}
            reply = self._transport.ask(Call("GET", url, params=params), frozenset({200, 404}))
            if reply.status == 404:
                return tuple(sorted(found))
            names = parse_document(reply.body, url).get(key) or []
            found += [str(name) for name in names]
            if not names or "link" not in reply.headers:
                return tuple(sorted(found))
            last = str(names[-1])
        raise OperationError(f"{self.reference.host} lists more than {MAX_PAGES * _PAGE} {key}")

    def _pull_all(self, entries: Sequence[Descriptor], directory: Path, report: Report) -> None:
        missing = [entry for entry in entries if not holds(blob_file(directory, entry.digest), entry)]
        _check_room(directory, sum(entry.size for entry in missing))

        def fetch(entry: Descriptor, stop: threading.Event) -> None:
            path = blob_file(directory, entry.digest)
            download(self._transport, self.reference.repository, entry, path, stop)

        self._each(missing, fetch, report)

    def _each(
        self, entries: Iterable[Descriptor], work: Callable[[Descriptor, threading.Event], None], report: Report
    ) -> None:
        """Do `work` for each entry, a few at once, large ones first; the first failure ends the others."""
        stop, done = threading.Event(), 0
        ordered = sorted(entries, key=lambda entry: -entry.size)
        total = sum(entry.size for entry in ordered)
        with ThreadPoolExecutor(self._access.parallel, "registry") as pool:
            waiting = {pool.submit(work, entry, stop): entry for entry in ordered}
            try:
                for future in as_completed(waiting):
                    future.result()
                    done += waiting[future].size
                    report(done, total)
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _check_room(directory: Path, needed: int) -> None:
    """Refuse what the disk cannot hold before hours of transfer end in that."""
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OperationError(
            f"{format_bytes(needed)} are to be pulled and {format_bytes(free)} are free; give the cache more room"
        )

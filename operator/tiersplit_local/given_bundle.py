"""A bundle that the manifest names: a directory here, or one that a registry holds."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.reference import Reference, is_reference
from tiersplit_core.errors import ManifestError
from tiersplit_core.units import format_bytes
from tiersplit_local.steps import Say, local_file

FIELD = "spec.model.source.bundle"


@dataclass(frozen=True, slots=True)
class GivenBundle:
    """A bundle that was imported before.

    Attributes:
        key: what it depends on; equal keys are equal bundles.
        bring: puts it into a directory that does not exist yet.
    """

    key: tuple[str, ...]
    bring: Callable[[Path], object]


def given_bundle(source: str, manifest: Path, say: Say) -> GivenBundle:
    """The bundle that `source` names.

    Args:
        source: `oci://…`, or a directory relative to the working directory or the manifest.
        manifest: the manifest's file.
        say: told how a transfer goes on.

    Raises:
        ManifestError: there is none.
        OperationError: the registry cannot be reached or refuses.
    """
    if is_reference(source):
        return _of_registry(Reference.parse(source, FIELD), say)
    path = local_file(source, manifest, FIELD)
    return GivenBundle(("bundle", str(path), Bundle.open(path).digest), lambda to: shutil.copytree(path, to))


def _of_registry(reference: Reference, say: Say) -> GivenBundle:
    from tiersplit_bundle.access import registry_access  # noqa: PLC0415 - most runs need no HTTP client
    from tiersplit_bundle.registry import Registry  # noqa: PLC0415

    access = registry_access()
    with Registry(reference, access) as registry:
        found = registry.head()
    if found is None:
        raise ManifestError(f"there is no {reference}; push it with `tiersplit import --push {reference}`", FIELD)
    exact = reference.at(found.digest)

    def bring(to: Path) -> object:
        with Registry(exact, access) as registry:
            return registry.pull_bundle(to, report=lambda done, total: say(_progress(done, total)))

    return GivenBundle(("bundle", str(exact)), bring)


def _progress(done: int, total: int) -> str:
    return f"import: pulled {format_bytes(done)} of {format_bytes(total)}"

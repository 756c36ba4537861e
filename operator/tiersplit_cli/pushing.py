"""What commands push into an OCI registry, and how they are told where."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiersplit_cli.output import progress
from tiersplit_core.errors import InputError

if TYPE_CHECKING:
    from tiersplit_bundle.bundle import Bundle
    from tiersplit_bundle.reference import Reference
    from tiersplit_bundle.registry import Registry
    from tiersplit_core.profile.layers import TierProfile

DEFAULT_TAG = "latest"

PushOption = Annotated[
    str | None, typer.Option("--push", metavar="oci://HOST/REPOSITORY[:TAG]", help="Push the result there too.")
]
PlainHttpOption = Annotated[bool, typer.Option("--registry-plain-http", help="The registry has no TLS.")]
CaOption = Annotated[Path | None, typer.Option("--registry-ca", help="Certificates that are trusted for it, PEM.")]


def target(text: str) -> "Reference":
    """Where `--push` points; without a tag it is `latest`.

    Raises:
        BundleError: it is no reference.
        InputError: it names a digest, which is a result.
    """
    from tiersplit_bundle.reference import Reference  # noqa: PLC0415 - only who pushes needs it

    found = Reference.parse(text, "--push")
    if found.digest is not None:
        raise InputError("write a tag; the digest is what pushing gives", "--push")
    return found if found.tag is not None else found.at(DEFAULT_TAG)


def push_bundle(path: Path, to: "Reference", plain_http: bool, ca_file: Path | None) -> str:
    """Push the bundle at `path`; the reference by its digest."""
    from tiersplit_bundle.bundle import Bundle  # noqa: PLC0415

    bundle = Bundle.open(path)
    with _open(to, plain_http, ca_file) as registry, progress() as bar:
        task = bar.add_task(f"pushing to {to}", total=1.0)
        digest = registry.push_bundle(bundle, report=lambda done, total: bar.update(task, completed=done, total=total))
    return str(to.at(digest))


def push_profile(
    profile: "TierProfile", bundle: "Bundle", to: "Reference", plain_http: bool, ca_file: Path | None
) -> str:
    """Add a profile to the bundle that lies at `to`; the reference of the bundle with it.

    Raises:
        InputError: another model's bundle lies there.
    """
    from tiersplit_bundle import Blob, media  # noqa: PLC0415
    from tiersplit_bundle.layout import canonical_json  # noqa: PLC0415
    from tiersplit_core.profile.json import profile_to_json  # noqa: PLC0415

    blob = Blob(media.PROFILE, canonical_json(profile_to_json(profile)), {media.TIER: profile.tier})
    with _open(to, plain_http, ca_file) as registry:
        listed = {entry.digest for entry in registry.manifest().layers if entry.media_type == media.GRAPH}
        if bundle.graph_digest not in listed:
            raise InputError(
                "another model's bundle lies there; push this one with `tiersplit import --push`", "--push"
            )
        return str(to.at(registry.extend([blob], to.tag or DEFAULT_TAG)))


def _open(to: "Reference", plain_http: bool, ca_file: Path | None) -> "Registry":
    from tiersplit_bundle.access import registry_access  # noqa: PLC0415
    from tiersplit_bundle.registry import Registry  # noqa: PLC0415

    return Registry(to, registry_access(plain_http, ca_file))

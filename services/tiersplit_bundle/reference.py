"""References to what an OCI registry holds: `oci://host[:port]/repository[:tag][@sha256:…]`."""

import re
from dataclasses import dataclass, replace
from typing import Self

from tiersplit_bundle.layout import check_digest
from tiersplit_core.errors import BundleError

SCHEME = "oci://"
MAX_LENGTH = 1024
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,252})|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}")
_ADVICE = "write oci://host[:port]/repository[:tag][@sha256:digest], in lower case and without credentials"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a manifest lies.

    Attributes:
        host: the registry, with its port where it has one.
        repository: the path below it.
        tag: the manifest's tag, or None.
        digest: of the manifest, or None; where both stand, the digest decides.
    """

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str, path: str = "reference") -> Self:
        """The reference that `text` writes.

        Args:
            text: as in `oci://registry.example:5000/models/plate-reader:latest`.
            path: the field in which it stands, for the error.

        Raises:
            BundleError: it is no such reference.
        """
        host, _, rest = text.removeprefix(SCHEME).partition("/")
        rest, at, digest = rest.partition("@")
        repository, colon, tag = rest.partition(":")
        named = _HOST.fullmatch(host) and _REPOSITORY.fullmatch(repository) and (not colon or _TAG.fullmatch(tag))
        if not named or not is_reference(text) or len(text) > MAX_LENGTH:
            # The text itself is not repeated: people write passwords into such addresses.
            raise BundleError(f"this is no reference to a registry; {_ADVICE}", path)
        return cls(host, repository, tag or None, check_digest(digest, path) if at else None)

    @property
    def target(self) -> str | None:
        """What names the manifest in its repository: the digest, else the tag."""
        return self.digest or self.tag

    def at(self, target: str) -> Self:
        """The same repository at another tag or digest.

        Raises:
            BundleError: `target` is neither.
        """
        if target.startswith("sha256:"):
            return replace(self, tag=None, digest=check_digest(target, "digest"))
        if _TAG.fullmatch(target) is None:
            raise BundleError(f"{target[:80]!r} is no tag; write letters, digits, '.', '_' and '-', at most 128", "tag")
        return replace(self, tag=target, digest=None)

    def __str__(self) -> str:
        tag, digest = f":{self.tag}" if self.tag else "", f"@{self.digest}" if self.digest else ""
        return f"{SCHEME}{self.host}/{self.repository}{tag}{digest}"


def is_reference(text: str) -> bool:
    """Whether `text` means something in a registry, and no file."""
    return text.startswith(SCHEME)

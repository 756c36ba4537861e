"""How a registry is reached: its credentials, certificates and limits."""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiersplit_core.errors import InputError

_FILES = ("config.json", ".dockerconfigjson")
_MAX_FILE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a registry asks for; never shown.

    Attributes:
        user: the user's name.
        password: the password or access token.
        identity_token: a refresh token that stands for both, or empty.
    """

    user: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How a registry is reached.

    Attributes:
        plain_http: whether it is reached without TLS.
        ca_file: certificates that are trusted besides the machine's, PEM.
        docker_config: the directory in which docker's `config.json` lies, or None.
        timeout_s: for a connection, and between two pieces of an answer.
        transfer_timeout_s: for one blob, its retries included.
        attempts: how often something that may pass is tried.
        parallel: blobs that are transferred at once.
    """

    plain_http: bool = False
    ca_file: Path | None = None
    docker_config: Path | None = None
    timeout_s: float = 30.0
    transfer_timeout_s: float = 3600.0
    attempts: int = 5
    parallel: int = 4

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "http" if self.plain_http else "https"


PLAIN_HTTP, CA_FILE = "TIERSPLIT_REGISTRY_PLAIN_HTTP", "TIERSPLIT_REGISTRY_CA_FILE"


def registry_access(
    plain_http: bool = False, ca_file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> RegistryAccess:
    """Access with the credentials of `DOCKER_CONFIG`, or of the user's own docker configuration.

    Args:
        plain_http: whether registries are reached without TLS; `TIERSPLIT_REGISTRY_PLAIN_HTTP=true` says so too.
        ca_file: certificates that are trusted besides; None: those of `TIERSPLIT_REGISTRY_CA_FILE`, if it is set.
        environment: in which all of that stands.
    """
    given, named = environment.get("DOCKER_CONFIG"), environment.get(CA_FILE)
    directory = Path(given) if given else Path.home() / ".docker"
    trusted = ca_file or (Path(named) if named else None)
    return RegistryAccess(plain_http or environment.get(PLAIN_HTTP) == "true", trusted, directory)


def read_credentials(directory: Path | None, host: str, repository: str) -> Credentials | None:
    """The credentials for a repository; those of the longest matching entry, as the kubelet chooses them.

    Args:
        directory: holds `config.json` (docker's name) or `.dockerconfigjson` (that of a Secret).
        host: the registry, with its port.
        repository: the path below it.

    Raises:
        InputError: the file is none of docker's, or its entry is damaged; the error shows no part of the entry.
    """
    entries = _entries(directory)
    names = {_bare(name): name for name in entries}
    matching = [bare for bare in names if _covers(bare, f"{host}/{repository}")]
    return _credentials(entries[names[max(matching, key=len)]], host) if matching else None


def _entries(directory: Path | None) -> Mapping[str, Any]:
    path = (
        None if directory is None else next((directory / name for name in _FILES if (directory / name).is_file()), None)
    )
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MAX_FILE_BYTES))
    except (OSError, ValueError) as error:
        raise InputError(
            'cannot be read as JSON; write docker\'s format, {"auths": {"host": {…}}}', path.name
        ) from error
    found = value.get("auths", {}) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise InputError('expected {"auths": {"host": {…}}}', path.name)
    return found


def _bare(name: str) -> str:
    """`https://host/v1/` is how older entries write `host`."""
    bare = name.removeprefix("https://").removeprefix("http://").rstrip("/")
    return bare.removesuffix("/v1").removesuffix("/v2")


def _covers(entry: str, place: str) -> bool:
    return place == entry or place.startswith(f"{entry}/")


def _credentials(entry: object, host: str) -> Credentials:
    path = f"auths[{host}]"
    if not isinstance(entry, dict):
        raise InputError("expected an object", path)
    if entry.get("identitytoken"):
        return Credentials(identity_token=str(entry["identitytoken"]))
    if entry.get("username"):
        return Credentials(str(entry["username"]), str(entry.get("password", "")))
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth", "")), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise InputError(
            "expected username and password, or auth with base64 of user:password; credential helpers are not asked",
            path,
        )
    return Credentials(user, password)

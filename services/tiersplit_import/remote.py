"""Remote files: https (fsspec) and s3 (obstore), each as a stream that begins where it is asked to."""

from __future__ import annotations

import configparser
import os
import re
import ssl
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import obstore
from fsspec.implementations.http import HTTPFileSystem
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from tiersplit_core.errors import ManifestError, OperationError
from tiersplit_import.fetch import BrokenTransferError, Opener, Stream, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from obstore import GetOptions, ObjectMeta
    from obstore.store import ObjectStore

_RANGE = re.compile(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONNECT_S = 30.0
_PART_BYTES = 4 * 2**20
_CREDENTIALS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


def opener(uri: str, field: str, stall_s: float) -> Opener:
    """Opens the remote file that `uri` names.

    Args:
        uri: https:// or s3://.
        field: of the manifest, for errors.
        stall_s: without a byte, after which a read is given up.

    Raises:
        ManifestError: it names no file.
    """
    parts = urlsplit(uri)
    if not parts.hostname or not parts.path.strip("/"):
        raise ManifestError(f"{shown(uri)!r} names no file", field)
    make = _https if parts.scheme == "https" else _s3
    return make(uri, field, stall_s)


# https


def _https(uri: str, field: str, stall_s: float) -> Opener:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=stall_s)
    files = HTTPFileSystem(get_client=_client, client_kwargs={"timeout": timeout}, skip_instance_cache=True)
    version: dict[str, str] = {}

    def open_at(start: int) -> Stream:
        headers = {"Accept-Encoding": "identity", **(_conditions(start, version) if start else {})}
        with _http_failures(uri, field):
            # A size of its own choice keeps fsspec from asking for it: many signed addresses answer GET alone.
            file = files.open(uri, block_size=0, size=1, headers=headers)
        found: Mapping[str, str] = file.r.headers
        version.update({"etag": found.get("ETag", "")})
        begin, size = _extent(file.r.status, found)
        return Stream(_guarded(file.read, uri, field), file.close, begin, size)

    return open_at


def _conditions(start: int, version: Mapping[str, str]) -> dict[str, str]:
    """Go on at `start`, unless the file is another one by now."""
    tag = version.get("etag", "")
    strong = {"If-Range": tag} if tag and not tag.startswith("W/") else {}
    return {"Range": f"bytes={start}-", **strong} if strong else {}


def _extent(status: int, headers: Mapping[str, str]) -> tuple[int, int | None]:
    """Where the answer begins, and the size of the whole file."""
    part = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if status == 206 and part is not None:
        return int(part.group(1)), None if part.group(2) == "*" else int(part.group(2))
    length = headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() and "Content-Encoding" not in headers else None


async def _client(**options: Any) -> aiohttp.ClientSession:
    """A session that follows redirects to https alone, and takes the environment's proxies and certificates."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_downgrade)
    # aiohttp's own context is made when it is imported; this one sees SSL_CERT_FILE as it is now.
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    return aiohttp.ClientSession(connector=connector, trace_configs=[trace], trust_env=True, **options)


async def _refuse_downgrade(_: aiohttp.ClientSession, __: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
    target = redirect.response.headers.get("Location", "")
    if redirect.url.join(type(redirect.url)(target)).scheme != "https":
        raise OperationError(f"{redirect.url.host} leads to an address without TLS")


def _guarded(read: Callable[[int], bytes], uri: str, field: str) -> Callable[[int], bytes]:
    def guarded(size: int) -> bytes:
        with _http_failures(uri, field):
            return read(size)

    return guarded


@contextmanager
def _http_failures(uri: str, field: str) -> Iterator[None]:
    name = shown(uri)
    try:
        yield
    except FileNotFoundError as error:
        raise ManifestError(f"there is no {name}", field) from error
    except aiohttp.ClientResponseError as error:
        if error.status in _PASSING:
            raise BrokenTransferError(f"the server answers {error.status}") from error
        raise OperationError(f"{field}: {name} was answered with {error.status}; {_advice(error.status)}") from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise OperationError(f"{field}: {name}: the certificate is not trusted; {_TRUST}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BrokenTransferError(str(error) or type(error).__name__) from error


_TRUST = "name its authority by SSL_CERT_FILE"


def _advice(status: int) -> str:
    refused = "sign the address, or give credentials by the Job's environment"
    return refused if status in {401, 403} else "check the address"


# s3


def _s3(uri: str, field: str, stall_s: float) -> Opener:
    parts = urlsplit(uri)
    key = parts.path.strip("/")
    with _s3_failures(uri, field):
        store = _bucket(parts.netloc, stall_s)
    seen = ""

    def open_at(start: int) -> Stream:
        nonlocal seen
        with _s3_failures(uri, field):
            about = obstore.head(store, key)
        same, seen = about["e_tag"] == seen, about["e_tag"] or ""
        begin = start if same else 0
        read = _Parts(store, key, about, begin).read

        def guarded(size: int) -> bytes:
            with _s3_failures(uri, field):
                return read(size)

        return Stream(guarded, lambda: None, begin, about["size"])

    return open_at


def _bucket(name: str, stall_s: float) -> ObjectStore:
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    timeouts = {"connect_timeout": timedelta(seconds=_CONNECT_S), "timeout": timedelta(seconds=max(stall_s, 1.0))}
    options: dict[str, Any] = {
        "config": _shared_credentials(os.environ),
        "client_options": {**timeouts, "allow_http": plain},
        # Tries are counted where the bytes are counted.
        "retry_config": {"max_retries": 0, "retry_timeout": timedelta(seconds=1)},
    }
    return from_url(f"s3://{name}", **options)


class _Parts:
    """Reads one version of an object in parts, each a request of its own with its own time."""

    def __init__(self, store: ObjectStore, key: str, about: ObjectMeta, start: int) -> None:
        self._store, self._key, self._about, self._at = store, key, about, start

    def read(self, _: int) -> bytes:
        """The next part; none at the end."""
        end = min(self._at + _PART_BYTES, self._about["size"])
        if self._at >= end:
            return b""
        options: GetOptions = {"range": (self._at, end), "if_match": self._about["e_tag"]}
        answer = obstore.get(self._store, self._key, options=options)
        if answer.meta["e_tag"] != self._about["e_tag"]:  # some servers take no notice of the condition
            raise BrokenTransferError("it changed while it was read")
        found = bytes(answer.bytes())
        self._at += len(found)
        return found


@contextmanager
def _s3_failures(uri: str, field: str) -> Iterator[None]:
    name = shown(uri)
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise ManifestError(f"there is no {name}", field) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise OperationError(
            f"{field}: {name} is refused; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (spec.import.env) or "
            "AWS_SHARED_CREDENTIALS_FILE"
        ) from error
    except (BaseError, OSError) as error:
        raise BrokenTransferError(str(error).splitlines()[0][:300]) from error


def _shared_credentials(environment: Mapping[str, str]) -> dict[str, str]:
    """What the shared credentials file says, where the environment holds no key of its own."""
    named = environment.get("AWS_SHARED_CREDENTIALS_FILE", "")
    if not named or environment.get("AWS_ACCESS_KEY_ID"):
        return {}
    file = configparser.ConfigParser()
    try:
        file.read_string(Path(named).read_text())
        profile = file[environment.get("AWS_PROFILE", "default")]
    except (OSError, configparser.Error, KeyError) as error:
        raise OperationError(f"AWS_SHARED_CREDENTIALS_FILE cannot be used: {type(error).__name__}") from error
    return {name.removeprefix("aws_"): profile[name] for name in _CREDENTIALS if name in profile}

"""HTTP to one registry: authorised, bounded, and tried again where a failure may pass."""

import json
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import TypeVar

import httpx

from tiersplit_bundle.access import RegistryAccess, read_credentials
from tiersplit_bundle.authorization import Authorization
from tiersplit_bundle.layout import MAX_DOCUMENT_BYTES
from tiersplit_core.errors import BundleError, InputError, OperationError

# It writes every address at INFO, and where a registry redirects to a store, the address carries a signature.
logging.getLogger("httpx").setLevel(logging.WARNING)

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes after which the same request may succeed."""

_BACKOFF_S, _MAX_BACKOFF_S, _MAX_WAIT_S = 0.1, 5.0, 30.0
_MAX_REDIRECTS = 5
_T = TypeVar("_T")
Body = Callable[[], Iterator[bytes]]


class TransientError(OperationError):
    """A failure that may pass.

    Attributes:
        wait_s: what the other side asks to wait.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: the HTTP method.
        url: absolute, or below the registry's `/v2/`.
        kind: `pull`, `push`, …: requests of a kind share their authorisation.
        params: added to the query.
        headers: besides those that each request has.
        body: makes the body, anew for every try; its length stands in `headers`.
    """

    method: str
    url: str
    kind: str = "pull"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A small answer, read whole."""

    status: int
    headers: httpx.Headers
    body: bytes


def backoff_s(tried: int, chance: float) -> float:
    """Seconds until the next try: doubling, and spread so that clients do not come back in step.

    Args:
        tried: how often it was tried, from 1.
        chance: uniform in 0 to 1.
    """
    return float(min(_MAX_BACKOFF_S, _BACKOFF_S * 2 ** (tried - 1)) * (0.5 + chance / 2))


class Transport:
    """Requests to one repository of a registry; safe to share between threads.

    Args:
        host: the registry, with its port.
        repository: decides which credentials are used.
        access: how it is reached.
        pause: waits between two tries.

    Raises:
        InputError: the credentials or certificates cannot be read.
    """

    def __init__(
        self, host: str, repository: str, access: RegistryAccess, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self.host, self.access = host, access
        self.base = httpx.URL(f"{access.scheme}://{host}/v2/")
        self._pause = pause
        self._client = httpx.Client(
            verify=_trusted() if access.ca_file is None else _trusting(access.ca_file),
            timeout=access.timeout_s,
            max_redirects=_MAX_REDIRECTS,
            headers={"Accept-Encoding": "identity", "User-Agent": "tiersplit"},
            event_hooks={"request": [self._refuse_downgrade]},
        )
        credentials = read_credentials(access.docker_config, host, repository)
        self._authorization = Authorization(self._send_token_request, credentials, host)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, call: Call, expected: frozenset[int], limit: int = MAX_DOCUMENT_BYTES) -> Reply:
        """Send `call`, again where that may help, and read the answer.

        Args:
            call: what is asked.
            expected: status codes that the caller understands.
            limit: bytes of the answer that are read at most.

        Raises:
            OperationError: no such answer came.
            BundleError: the answer is larger than `limit`.
        """
        return self.persist(f"{call.method} {self._shown(call)}", lambda: self.ask_once(call, expected, limit))

    def ask_once(self, call: Call, expected: frozenset[int], limit: int = MAX_DOCUMENT_BYTES) -> Reply:
        """As `ask`, tried once; raises `TransientError` where another try may help."""
        with self.once(call) as response:
            body = read_bounded(response, limit, self._shown(call))
            if response.status_code not in expected:
                raise self.unexpected(call, response.status_code, body)
            return Reply(response.status_code, response.headers, body)

    def persist(self, what: str, attempt: Callable[[], _T], progress: Callable[[], int] = lambda: 0) -> _T:
        """What `attempt` gives, tried again after a `TransientError`.

        Args:
            what: is done, for the error.
            attempt: does it.
            progress: a number that grows when something was achieved; such a try does not count as failed.

        Raises:
            OperationError: tried too often or for too long.
        """
        deadline = time.monotonic() + self.access.transfer_timeout_s
        tried, reached = 0, progress()
        for _ in count():
            try:
                return attempt()
            except TransientError as error:
                tried, reached = (1 if progress() > reached else tried + 1), max(progress(), reached)
                wait_s = max(error.wait_s, backoff_s(tried, random.random()))  # noqa: S311 - spreads load
                if tried >= self.access.attempts or time.monotonic() + wait_s > deadline:
                    raise OperationError(f"{what}: {error}; given up after {tried} tries") from error
                self._pause(wait_s)
        raise AssertionError

    @contextmanager
    def once(self, call: Call) -> Iterator[httpx.Response]:
        """The answer to `call`, not read yet; authorised if the registry asks for it.

        Raises:
            TransientError: the connection or the registry failed in a way that may pass, also while the body is read.
            OperationError: it failed in another way.
        """
        with self._stream(call) as response:
            if response.status_code not in {401, 403} or not self.is_own(response.request.url):
                yield response
                return
            challenge = response.headers.get("www-authenticate", "")
            if response.status_code == 403:
                raise self._authorization.refused()
        self._authorization.answer(call.kind, challenge)
        with self._stream(call) as response:
            if response.status_code in {401, 403}:
                raise self._authorization.refused()
            yield response

    def is_own(self, url: httpx.URL) -> bool:
        """Whether `url` is of the registry itself: nobody else is told who asks."""
        return (url.scheme, url.netloc) == (self.base.scheme, self.base.netloc)

    def unexpected(self, call: Call, status: int, body: bytes) -> OperationError:
        """The error for an answer that nobody expects, with the registry's own words."""
        return OperationError(f"{call.method} {self._shown(call)} was answered with {status}{_own_words(body)}")

    @contextmanager
    def _stream(self, call: Call) -> Iterator[httpx.Response]:
        url = self.base.join(call.url)
        headers = {**call.headers, **(self._authorization.header(call.kind) if self.is_own(url) else {})}
        follow = call.method in {"GET", "HEAD"}
        content = None if call.body is None else call.body()
        request = self._client.build_request(
            call.method, url.copy_merge_params(call.params), headers=headers, content=content
        )
        with (
            self._failures(self._shown(call)),
            _closing(self._client.send(request, stream=True, follow_redirects=follow)) as found,
        ):
            if found.status_code in TRANSIENT:
                raise TransientError(f"{self.host} answers {found.status_code}", _retry_after_s(found.headers))
            yield found

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """What httpx raises, in our words."""
        try:
            yield
        except httpx.ConnectError as error:
            if "SSL" in str(error).upper() or "TLS" in str(error).upper():
                raise OperationError(
                    f"{self.host} speaks no TLS that is trusted here ({error}); name its certificate authority, or ask "
                    "for plain HTTP where the registry has no TLS"
                ) from error
            raise TransientError(f"{self.host} cannot be reached ({error})") from error
        except httpx.TransportError as error:
            raise TransientError(f"the connection to {self.host} failed ({error or type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OperationError(f"{what}: {error}") from error

    def _send_token_request(self, request: httpx.Request) -> tuple[int, bytes]:
        with self._failures("asking for a token"), _closing(self._client.send(request, stream=True)) as found:
            if found.status_code in TRANSIENT:
                raise TransientError(f"{request.url.host} answers {found.status_code}")
            return found.status_code, read_bounded(found, 2**16, "token")

    def _refuse_downgrade(self, request: httpx.Request) -> None:
        if request.url.scheme != "https" and not self.access.plain_http:
            raise OperationError(f"{self.host} leads to {request.url.host} without TLS, which was not asked for")

    def _shown(self, call: Call) -> str:
        """The address without its query: that may carry signatures."""
        url = self.base.join(call.url)
        return f"{url.host}{url.path}"


def read_bounded(response: httpx.Response, limit: int, name: str) -> bytes:
    """The body, of at most `limit` bytes.

    Raises:
        BundleError: it is larger.
    """
    found = bytearray()
    for piece in response.iter_raw():
        found += piece
        if len(found) > limit:
            raise BundleError(f"the answer is larger than {limit} bytes", name)
    return bytes(found)


@contextmanager
def _closing(response: httpx.Response) -> Iterator[httpx.Response]:
    try:
        yield response
    finally:
        response.close()


@cache
def _trusted() -> ssl.SSLContext:
    """The authorities that everybody trusts; reading them takes longer than a request."""
    return httpx.create_ssl_context()


def _trusting(ca_file: Path) -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    try:
        context.load_verify_locations(cafile=str(ca_file))
    except OSError as error:
        raise InputError(f"cannot be read as PEM certificates: {error}", str(ca_file)) from error
    return context


def _retry_after_s(headers: httpx.Headers) -> float:
    text = headers.get("retry-after", "")
    return min(float(text), _MAX_WAIT_S) if text.isdecimal() and len(text) <= 6 else 0.0


def _own_words(body: bytes) -> str:
    """What the registry says about an error, in the form of the distribution specification."""
    try:
        first = json.loads(body)["errors"][0]
        return f": {str(first['code'])[:100]} {str(first.get('message', ''))[:200]}".rstrip()
    except (ValueError, LookupError, TypeError, AttributeError):
        return ""

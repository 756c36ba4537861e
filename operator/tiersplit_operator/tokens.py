"""Whom pods' tokens belong to: the API server is asked, not too often and not by too many at once."""

import asyncio
import contextlib
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import grpc

from tiersplit_core.errors import TiersplitError
from tiersplit_operator.resources.workloads import TOKEN_AUDIENCE

KNOWN_S, REFUSED_S = 60.0, 10.0
"""How long an answer about a token is believed: the kubelet renews tokens far less often, and one that is refused may
be good soon."""
MAX_KNOWN, MAX_REFUSED = 20_000, 5_000
MAX_REVIEWS, MAX_OF_PEER = 8, 2
"""At once: whoever shows tokens must not keep the operator from its own calls, nor other peers from theirs. Many heads
may stand behind one address: it waits, and is not banned."""
MAX_WAITING_OF_PEER = 64
PATIENCE_S = 10.0
V = TypeVar("V")


class RefusedError(Exception):
    """A stream is ended with this status."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Identity(Protocol):
    """Whom a token belongs to."""

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        ...

    @property
    def pod_uid(self) -> str:
        """The pod's uid."""
        ...


class Tokens(Protocol):
    """Who knows tokens."""

    async def review_token(self, token: str, audience: str) -> Identity | None:
        """Whom a token belongs to; None where it is not good for the audience."""
        ...


class TokenReviews:
    """Remembers for a while what was answered about tokens; of the tokens it keeps digests alone.

    Tokens that are good for nothing take no places of good ones, neither in memory nor at the API server.

    Args:
        tokens: who knows tokens.
        clock: monotonic seconds.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._gate = asyncio.Semaphore(MAX_REVIEWS)
        self._peers: dict[str, _Peer] = {}

    async def identity(self, token: str, peer: str) -> Identity:
        """Whom `token` belongs to.

        Args:
            token: as it was shown.
            peer: the address that shows it, without its port.

        Raises:
            RefusedError: to nobody that is served here, or nobody can tell at the moment.
        """
        name = hashlib.sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is not None and self._clock() - known[0] < KNOWN_S:
            return known[1]
        found = None if self._was_refused(name) else await self._reviewed(token, peer)
        return self._kept(name, found)

    def _was_refused(self, name: bytes) -> bool:
        at = self._refused.get(name)
        return at is not None and self._clock() - at < REFUSED_S

    def _kept(self, name: bytes, found: Identity | None) -> Identity:
        if found is None:
            self._known.pop(name, None)
            if not self._was_refused(name):
                _keep(self._refused, name, self._clock(), MAX_REFUSED)
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "the token is not one of a pod for this server")
        self._refused.pop(name, None)
        _keep(self._known, name, (self._clock(), found), MAX_KNOWN)
        return found

    async def _reviewed(self, token: str, peer: str) -> Identity | None:
        try:
            async with asyncio.timeout(PATIENCE_S), self._turn(peer), self._gate:
                return await self._tokens.review_token(token, TOKEN_AUDIENCE)
        except (TiersplitError, TimeoutError) as error:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "the token cannot be reviewed at the moment") from error

    @contextlib.asynccontextmanager
    async def _turn(self, peer: str) -> AsyncIterator[None]:
        """One of the peer's places; a peer is remembered while it waits for something."""
        known = self._peers.setdefault(peer, _Peer())
        if known.asking >= MAX_WAITING_OF_PEER:
            message = f"{MAX_WAITING_OF_PEER} tokens of {peer} are being reviewed"
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, message)
        known.asking += 1
        try:
            async with known.gate:
                yield
        finally:
            known.asking -= 1
            if not known.asking:
                del self._peers[peer]


@dataclass(slots=True)
class _Peer:
    """An address that shows tokens.

    Attributes:
        asking: how many of its tokens are reviewed or wait for it.
        gate: its places.
    """

    asking: int = 0
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_OF_PEER))


def _keep(cache: OrderedDict[bytes, V], name: bytes, value: V, most: int) -> None:
    cache[name] = value
    cache.move_to_end(name)
    while len(cache) > most:
        cache.popitem(last=False)

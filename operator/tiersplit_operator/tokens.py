"""Whom pods' tokens belong to: the API server is asked, not too often and not by too many at once."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import grpc

from tiersplit_core.errors import TiersplitError
from tiersplit_operator.resources.workloads import TOKEN_AUDIENCE

KNOWN_S = 60.0
"""How long an answer about a token is believed; the kubelet renews tokens far less often."""
MAX_KNOWN = 20_000
MAX_REVIEWS = 8
"""At once: whoever shows tokens must not keep the operator from its own calls."""
PATIENCE_S = 10.0


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

    Args:
        tokens: who knows tokens.
        clock: monotonic seconds.
    """

    def __init__(self, tokens: Tokens, clock: Callable[[], float] = time.monotonic) -> None:
        self._tokens, self._clock = tokens, clock
        self._known: OrderedDict[bytes, tuple[float, Identity | None]] = OrderedDict()
        self._gate = asyncio.Semaphore(MAX_REVIEWS)

    async def identity(self, token: str) -> Identity:
        """Whom `token` belongs to.

        Raises:
            RefusedError: to nobody that is served here, or nobody can tell at the moment.
        """
        name = hashlib.sha256(token.encode()).digest()
        known = self._known.get(name)
        if known is None or self._clock() - known[0] >= KNOWN_S:
            known = (self._clock(), await self._reviewed(token))
            self._known[name] = known
            self._known.move_to_end(name)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        if known[1] is None:
            raise RefusedError(grpc.StatusCode.UNAUTHENTICATED, "the token is not one of a pod for this server")
        return known[1]

    async def _reviewed(self, token: str) -> Identity | None:
        try:
            async with asyncio.timeout(PATIENCE_S), self._gate:
                return await self._tokens.review_token(token, TOKEN_AUDIENCE)
        except (TiersplitError, TimeoutError) as error:
            raise RefusedError(grpc.StatusCode.UNAVAILABLE, "the token cannot be reviewed at the moment") from error

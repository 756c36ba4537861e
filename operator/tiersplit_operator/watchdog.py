"""Is this process any good? A watch that died shows old objects for ever, and a queue that hangs looks at nothing."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from tiersplit_api.v1alpha1.types import KIND
from tiersplit_core.errors import OperationError
from tiersplit_operator.facts import Document, Key
from tiersplit_operator.store import Store

PERIOD_S = 60.0
MISSES = 3
MAX_STUCK_S = 300.0


class Reads(Protocol):
    """What the watchdog needs of the API."""

    async def get(self, kind: str, namespace: str, name: str) -> Document | None:
        """An object."""
        ...


class Watchdog:
    """Compares, now and then, one resource as the watch shows it with the one that the API server has.

    One that is behind is looked at again: the watch of its namespace alone may be dead, or it may be gone unseen.

    Args:
        store: what the watches show.
        api: reads.
        stuck_s: for how long keys have waited in the queue without any of them being done, in seconds.
        choose: picks one of the resources.
    """

    def __init__(
        self,
        store: Store,
        api: Reads,
        stuck_s: Callable[[], float],
        choose: Callable[[Sequence[Key]], Key] = random.choice,
    ) -> None:
        self._store, self._api, self._stuck_s, self._choose = store, api, stuck_s, choose
        self._misses = 0
        self._suspect: Key | None = None

    async def run(self) -> None:
        """Look every minute until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.look()

    async def look(self) -> None:
        """Compare once. An API server that does not answer says nothing about the watch."""
        keys = list(self._store.keys())
        if not keys:
            return
        key = self._suspect if self._suspect in keys else self._choose(keys)
        known = _version(self._store.resource(key))
        try:
            found = _version(await self._api.get(KIND, *key))
        except OperationError:
            return
        # What changed within this very moment may be on its way; so it is three times in a row that count.
        behind = found not in {known, _version(self._store.resource(key))}
        self._misses, self._suspect = (self._misses + 1, key) if behind else (0, None)

    def complaint(self) -> str:
        """Why this process should be started again; empty: it is fine."""
        if self._misses >= MISSES:
            return f"the watch shows what was, {self._misses} times in a row"
        if self._stuck_s() > MAX_STUCK_S:
            return f"the queue has done nothing for {self._stuck_s():.0f} s"
        return ""


def _version(body: Document | None) -> str:
    return "" if body is None else str(body["metadata"].get("resourceVersion", ""))

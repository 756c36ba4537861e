"""Manifests that nobody uses any more: without finalizers nothing removes them when a resource goes."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from tiersplit_core.errors import TiersplitError
from tiersplit_operator.facts import Key

log = logging.getLogger("tiersplit.operator.sweep")
PERIOD_S = 3600.0
OURS = ("import-", "profile-", "plan-", "ready-")


class Shelves(Protocol):
    """What sweeping needs of the registry."""

    async def repositories(self, prefix: str) -> list[str]:
        """All repositories below a prefix."""
        ...

    async def tags(self, reference: str) -> dict[str, str]:
        """Digest per tag."""
        ...

    async def delete(self, reference: str, digest: str) -> None:
        """Remove a manifest."""
        ...


class Sweeper:
    """Removes what was unused at two looks in a row: what is being made is used at the second one.

    Args:
        shelves: the registry.
        prefix: `HOST/PATH` below which everything is ours.
        used: digests that each resource uses, by resource; only complete where every resource was looked at.
        resources: all resources there are.
    """

    def __init__(
        self,
        shelves: Shelves,
        prefix: str,
        used: Mapping[Key, frozenset[str]],
        resources: Callable[[], Iterable[Key]],
    ) -> None:
        self._shelves, self._prefix, self._used, self._resources = shelves, prefix, used, resources
        self._suspects: frozenset[tuple[str, str]] = frozenset()

    async def run(self) -> None:
        """Sweep every hour until cancelled; a registry that does not answer waits for the next time."""
        while True:
            await asyncio.sleep(PERIOD_S)
            try:
                await self.sweep()
            except TiersplitError as error:
                log.warning("the registry is not swept: %s", error)

    async def sweep(self) -> int:
        """One round; returns how many manifests were removed."""
        if any(key not in self._used for key in self._resources()):
            log.info("not swept: some resources were not looked at yet")
            return 0
        unused = frozenset([pair for place in await self._places() for pair in await self._unused(place)])
        doomed, self._suspects = unused & self._suspects, unused - self._suspects
        removed = 0
        for place, digest in sorted(doomed):
            if digest in self._kept():  # a resource found it while others were removed
                continue
            await self._shelves.delete(place, digest)
            log.info("removed %s@%s, which nothing uses", place, digest)
            removed += 1
        return removed

    def _kept(self) -> set[str]:
        return {digest for found in self._used.values() for digest in found}

    async def _places(self) -> list[str]:
        return await self._shelves.repositories(self._prefix)

    async def _unused(self, place: str) -> list[tuple[str, str]]:
        """Manifests under our own tags alone: one that a person tagged as well is theirs."""
        tags = await self._shelves.tags(place)
        kept = self._kept() | {digest for tag, digest in tags.items() if not tag.startswith(OURS)}
        return [(place, digest) for digest in sorted(set(tags.values()) - kept)]

"""Objects that watches still show though they are gone.

A watch whose place the API server has forgotten (410) begins anew with a list, and kopf takes what is in it without
looking for what is missing: an object that went meanwhile would stay in its indexes and memories for good.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tiersplit_api.v1alpha1.types import KIND
from tiersplit_core.errors import OperationError
from tiersplit_operator.facts import Document
from tiersplit_operator.resources.context import MANAGED_BY, MANAGER

PERIOD_S = 600.0
log = logging.getLogger("tiersplit.operator.census")


class Known(NamedTuple):
    """An object that a watch has shown."""

    kind: str
    namespace: str
    name: str
    uid: str


class Watches(Protocol):
    """What the watches have shown."""

    def known(self) -> frozenset[Known]:
        """All objects that are taken to be there."""
        ...

    async def vanished(self, gone: Known) -> None:
        """Forget an object that is not there."""
        ...


class Lists(Protocol):
    """What the census needs of the API."""

    async def find(self, kind: str, namespace: str | None = None, labels: str = "") -> list[Document]:
        """All objects of a kind; raises OperationError."""
        ...


class Census:
    """Compares, now and then, all that the watches show with what the API server has.

    Args:
        watches: what is taken to be there, and forgets.
        api: lists.
        namespaces: those that are watched; empty: all of them.
    """

    def __init__(self, watches: Watches, api: Lists, namespaces: Sequence[str] = ()) -> None:
        self._watches, self._api = watches, api
        self._namespaces: Sequence[str | None] = namespaces or (None,)

    async def run(self) -> None:
        """Compare every ten minutes until cancelled."""
        while True:
            await asyncio.sleep(PERIOD_S)
            await self.take()

    async def take(self) -> None:
        """Compare once. An API server that does not answer says nothing about what is gone."""
        for kind in sorted({known.kind for known in self._watches.known()}):
            # What is seen only after the list began may well be missing in it.
            before = {known for known in self._watches.known() if known.kind == kind}
            try:
                present = await self._uids(kind)
            except OperationError as error:
                log.warning("%s cannot be compared with what the watch shows: %s", kind, error)
                continue
            for gone in sorted(known for known in before if known.uid not in present):
                log.warning("%s %s/%s is gone and was still shown; it is forgotten", kind, gone.namespace, gone.name)
                await self._watches.vanished(gone)

    async def _uids(self, kind: str) -> set[str]:
        labels = "" if kind == KIND else f"{MANAGED_BY}={MANAGER}"
        found = [await self._api.find(kind, namespace, labels) for namespace in self._namespaces]
        return {str(item["metadata"]["uid"]) for items in found for item in items}

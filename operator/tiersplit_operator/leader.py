"""Which replica leads: a small elector on a Lease.

The clocks of replicas are never compared: a holder is gone when its Lease did not change for as long as the Lease says,
on the watcher's own monotonic clock.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.settings import LeaseSettings

log = logging.getLogger("tiersplit.operator.leader")
MAX_NAME_LENGTH = 253


class LostLeadershipError(OperationError):
    """Another replica leads, or may: this process must end at once."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How a Lease is kept, in seconds.

    Attributes:
        lease_s: after so long without renewal another replica takes over.
        renew_s: a leader that could not renew for so long gives up.
        retry_s: time between two tries.
    """

    lease_s: float = 15.0
    renew_s: float = 10.0
    retry_s: float = 2.0


class LeaseApi(Protocol):
    """What the elector needs of the API."""

    async def get_lease(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The Lease, or None where there is none."""
        ...

    async def create_lease(self, document: Mapping[str, Any]) -> None:
        """Make it; `ConflictError` where there is one."""
        ...

    async def replace_lease(self, document: Mapping[str, Any]) -> None:
        """Write it; `ConflictError` where it changed since it was read."""
        ...


class Elector:
    """Takes the Lease, keeps it, gives it back.

    Args:
        lease: which Lease, and who we are.
        api: reads and writes it.
        timing: how it is kept.
        clock: seconds, monotonic.
        wall: the time that is written into the Lease, for people.
        sleep: waits that many seconds.
    """

    def __init__(
        self,
        lease: LeaseSettings,
        api: LeaseApi,
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._lease, self._api, self._timing = lease, api, timing
        self._clock, self._wall, self._sleep = clock, wall, sleep
        self._seen: tuple[str, str] = ("", "")
        self._seen_at = clock()
        self.leads = False

    @property
    def grace_s(self) -> float:
        """Seconds between a leader that gives up and the earliest one that takes over."""
        return self._timing.lease_s - self._timing.renew_s

    async def acquire(self) -> None:
        """Return once this replica leads."""
        while not await self._tried():
            await self._sleep(self._timing.retry_s)
        self.leads = True
        log.info("%s leads", self._lease.identity)

    async def keep(self) -> None:
        """Renew the Lease for ever.

        Raises:
            LostLeadershipError: another replica has it, or it could not be renewed in time.
        """
        renewed_at = self._clock()
        while True:
            await self._sleep(self._timing.retry_s)
            left_s = self._timing.renew_s - (self._clock() - renewed_at)
            if left_s <= 0:
                raise self._lost(f"the Lease could not be renewed for {self._timing.renew_s:.0f} s")
            began = self._clock()
            if await self._tried(left_s):
                renewed_at = began
            elif self._seen[0] != self._lease.identity:
                raise self._lost(f"{self._seen[0] or 'nobody'} has the Lease")

    async def release(self) -> None:
        """Give the Lease back, so that another replica need not wait for it to expire."""
        if not self.leads:
            return
        self.leads = False
        with contextlib.suppress(OperationError, TimeoutError):
            async with asyncio.timeout(self._timing.retry_s):
                found = await self._api.get_lease(self._lease.namespace, self._lease.name)
                if found is not None and _holder(found) == self._lease.identity:
                    await self._api.replace_lease(self._document(found, holder=""))
                    log.info("%s gave the Lease back", self._lease.identity)

    def _lost(self, reason: str) -> LostLeadershipError:
        self.leads = False
        return LostLeadershipError(f"{self._lease.identity} no longer leads: {reason}")

    async def _tried(self, limit_s: float | None = None) -> bool:
        """Whether the Lease is ours now. An API that does not answer is no reason to end yet."""
        try:
            async with asyncio.timeout(self._timing.renew_s if limit_s is None else limit_s):
                return await self._take_or_renew()
        except ConflictError:
            return False
        except (OperationError, TimeoutError) as error:
            log.warning("the Lease cannot be read or written: %s", error or "it took too long")
            return False

    async def _take_or_renew(self) -> bool:
        found = await self._api.get_lease(self._lease.namespace, self._lease.name)
        if found is None:
            await self._api.create_lease(self._document(None, self._lease.identity))
            self._note(self._lease.identity, "")
            return True
        self._note(_holder(found), str(found["metadata"].get("resourceVersion", "")))
        if _holder(found) not in {"", self._lease.identity} and not self._expired(found):
            return False
        await self._api.replace_lease(self._document(found, self._lease.identity))
        self._note(self._lease.identity, "")
        return True

    def _note(self, holder: str, version: str) -> None:
        if (holder, version) != self._seen:
            self._seen, self._seen_at = (holder, version), self._clock()

    def _expired(self, found: Mapping[str, Any]) -> bool:
        lease_s = float(found.get("spec", {}).get("leaseDurationSeconds") or self._timing.lease_s)
        return self._clock() - self._seen_at >= lease_s

    def _document(self, found: Mapping[str, Any] | None, holder: str) -> dict[str, Any]:
        spec = dict(found.get("spec", {})) if found else {}
        changed = spec.get("holderIdentity") != holder
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        transitions = int(spec.get("leaseTransitions") or 0) + (1 if found and changed and holder else 0)
        metadata = {"name": self._lease.name, "namespace": self._lease.namespace}
        if found:
            metadata["resourceVersion"] = found["metadata"]["resourceVersion"]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": int(self._timing.lease_s) if holder else 1,
                "acquireTime": now if changed else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }


async def kept(elector: Elector, end: Callable[[], None] = lambda: os._exit(1)) -> None:
    """Keep the Lease; where it is lost and the process does not end by itself, end it before another replica leads.

    Args:
        elector: leads.
        end: ends the process.

    Raises:
        LostLeadershipError: as `keep` does.
    """
    try:
        await elector.keep()
    except LostLeadershipError:
        asyncio.get_running_loop().call_later(elector.grace_s, end)
        raise


def _holder(lease: Mapping[str, Any]) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")

"""Events (events.k8s.io/v1) for people: each fact once, repetitions counted, bounded."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION
from tiersplit_core.errors import ConflictError, OperationError
from tiersplit_operator.clients.kubernetes import KubernetesClient
from tiersplit_operator.facts import Owner

log = logging.getLogger("tiersplit.operator.events")
CONTROLLER = f"{GROUP}/operator"
QUIET_S = 300.0
MAX_REMEMBERED = 4096
MAX_NOTE = 1000
MAX_PER_RESOURCE = 60
"""Within `QUIET_S`: heads that move to and fro fill no etcd; the status has the newest moves anyway."""
MAX_REASON = 128


@dataclass(slots=True)
class _Said:
    name: str
    count: int
    last_s: float


class EventRecorder:
    """Tells people what happened to a resource.

    Args:
        api: writes the events.
        instance: this replica's name.
        clock: seconds, monotonic.
        wall: the time that is written.
    """

    def __init__(
        self,
        api: KubernetesClient,
        instance: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api, self._instance, self._clock, self._wall = api, instance, clock, wall
        self._said: OrderedDict[tuple[str, str, str], _Said] = OrderedDict()
        self._spoken: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def tell(self, owner: Owner, reason: str, message: str, *, warning: bool = False) -> None:
        """Say it once; the same again within five minutes is dropped, later it is counted. Never raises API errors."""
        note = message[:MAX_NOTE]
        said = self._remembered((owner.uid, reason, note))
        if said.count and self._clock() - said.last_s < QUIET_S:
            return
        if not self._may_speak(owner.uid):
            return
        said.count, said.last_s = said.count + 1, self._clock()
        try:
            await self._write(owner, reason[:MAX_REASON], note, "Warning" if warning else "Normal", said)
        except OperationError as error:
            log.warning("an event for %s is lost: %s", owner.key.name, error)

    def _may_speak(self, uid: str) -> bool:
        began_s, count = self._spoken.get(uid, (self._clock(), 0))
        if self._clock() - began_s >= QUIET_S:
            began_s, count = self._clock(), 0
        self._spoken[uid] = (began_s, count + 1)
        self._spoken.move_to_end(uid)
        while len(self._spoken) > MAX_REMEMBERED:
            self._spoken.popitem(last=False)
        return count < MAX_PER_RESOURCE

    def _remembered(self, key: tuple[str, str, str]) -> _Said:
        if key not in self._said:
            digest = hashlib.sha256("\n".join(key).encode()).hexdigest()
            self._said[key] = _Said(digest[:16], 0, 0.0)
        self._said.move_to_end(key)
        while len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)
        return self._said[key]

    async def _write(self, owner: Owner, reason: str, note: str, kind: str, said: _Said) -> None:
        now = self._wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        namespace, name = owner.key.namespace, f"{owner.key.name}.{said.name}"
        regarding = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "namespace": namespace}
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": now,
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "action": "Reconcile",
            "reason": reason,
            "note": note,
            "type": kind,
            "regarding": regarding | {"name": owner.key.name, "uid": owner.uid},
        }
        try:
            if said.count == 1:
                await self._api.create(event)
                return
        except ConflictError:
            said.count = 2
        await self._count(namespace, name, now, event, said)

    async def _count(self, namespace: str, name: str, now: str, event: Mapping[str, object], said: _Said) -> None:
        series = {"series": {"count": max(said.count, 2), "lastObservedTime": now}}
        if await self._api.get("Event", namespace, name) is None:
            await self._api.create(event)
        else:
            await self._api.merge("Event", namespace, name, series)

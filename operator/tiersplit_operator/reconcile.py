"""One look at a resource: gather, decide, apply. What is decided depends on what is, never on what happened."""

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

from tiersplit_api.v1alpha1.types import GROUP, KIND, VERSION, SplitDeployment
from tiersplit_core.errors import ConflictError, TiersplitError
from tiersplit_operator import metrics
from tiersplit_operator.announcements import occurrences
from tiersplit_operator.clients.events import EventRecorder
from tiersplit_operator.clients.kubernetes import KubernetesClient
from tiersplit_operator.clients.session import EndingError, RejectedError
from tiersplit_operator.comparison import contains, stamped
from tiersplit_operator.conditions import READY, TRUE, Mark, not_ready, reconciled, rejected
from tiersplit_operator.decide.progress import PlanOrder, Progress, Tree
from tiersplit_operator.facts import AdaptationView, Child, Document, Facts, Key, Owner, RouteRecord, Target
from tiersplit_operator.gather import Gatherer
from tiersplit_operator.pauses import Pauses
from tiersplit_operator.resources.context import OPERATOR_ANNOTATION
from tiersplit_operator.resources.names import account_name
from tiersplit_operator.status import next_status, pause_s
from tiersplit_operator.store import Store

log = logging.getLogger("tiersplit.operator.reconcile")
LOOK_AGAIN_S = 5.0
REJECTED_S = 30.0
LONGEST_PAUSE_S = 120.0
"""Between two looks for something that no watch tells, such as a registry that answers again."""


class Adaptation(Protocol):
    """Moves the split; the only writer of routes."""

    async def adopt(self, target: Target, route: RouteRecord | None) -> None:
        """Serve from this target, without a gap."""
        ...

    async def resume(self, owner: Owner, resource: SplitDeployment, route: RouteRecord) -> None:
        """Go on with the route as it stands."""
        ...

    def view(self, key: Key) -> AdaptationView | None:
        """What there is to say."""
        ...

    def drop(self, key: Key) -> None:
        """The resource is gone."""
        ...


class Orders(Protocol):
    """Makes plans."""

    def order(self, key: Key, order: PlanOrder) -> None:
        """Have a plan made."""
        ...


class Reconciler:
    """Looks at resources.

    Args:
        store: what the watches show.
        gatherer: knows the facts.
        api: writes.
        planner: makes plans.
        adaptation: moves the split.
        events: tells people.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        store: Store,
        gatherer: Gatherer,
        api: KubernetesClient,
        planner: Orders,
        adaptation: Adaptation,
        events: EventRecorder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._gatherer, self._api, self._planner = store, gatherer, api, planner
        self._adaptation, self._events, self._clock = adaptation, events, clock
        self._written: dict[Key, float] = {}
        self._pauses: dict[Key, Pauses] = {}
        self._ending: dict[Key, str] = {}
        self._counts = metrics.ResourceCounts()
        self.used: dict[Key, frozenset[str]] = {}

    async def __call__(self, key: Key) -> float | None:
        """Look at one resource.

        Returns:
            Seconds until it should be looked at again; None for the resync, infinity where it is gone.
        """
        body = self._live(key)
        if body is None:
            self.forget(key)
            return math.inf
        try:
            with metrics.RECONCILE_SECONDS.time():
                return await self._look(key, body)
        except EndingError as error:
            # Whatever would be put back is refused from now on, and Kubernetes removes the rest.
            log.info("nothing is done any more: %s", error, extra={"resource": "/".join(key)})
            self._ending[key] = body["metadata"]["uid"]
            return math.inf
        finally:
            if self._live(key) is None:  # it went meanwhile: what this look noted was noted after it was forgotten
                self.forget(key)

    def _live(self, key: Key) -> Document | None:
        """The resource as it stands; None where it is gone, or goes."""
        body = self._store.resource(key)
        if body is None:
            self._ending.pop(key, None)
            return None
        metadata = body["metadata"]
        return None if metadata.get("deletionTimestamp") or self._ending.get(key) == metadata["uid"] else body

    async def _look(self, key: Key, body: Document) -> float | None:
        progress = await self._gatherer.decided(key, body)
        self._note_used(key, progress)
        other = _other_operator(progress)
        if other:
            await self._left_to(other, progress)
            return None
        progress = await self._applied(progress)
        return await self._told(progress)

    async def _left_to(self, other: str, progress: Progress) -> None:
        """Touch nothing: two operators that each put back what the other one wrote would never come to rest."""
        facts = progress.facts
        self._adaptation.drop(facts.key)
        message = (
            f"operator {other} manages this resource, so {progress.settings.lease.place} leaves it alone; give both "
            "watch.namespaces that do not overlap. If the other one is gone: kubectl annotate serviceaccount "
            f"{account_name(facts.key.name)} {OPERATOR_ANNOTATION}-"
        )
        log.warning("%s", message, extra={"resource": "/".join(facts.key)})
        await self._events.tell(facts.owner, "ManagedElsewhere", message, warning=True)

    def forget(self, key: Key) -> None:
        """The resource is gone; Kubernetes removes what it owned."""
        self._adaptation.drop(key)
        self._counts.forget(key)
        for known in (self._written, self.used, self._pauses):
            known.pop(key, None)

    def _note_used(self, key: Key, progress: Progress) -> None:
        """Remember what the registry must keep for this resource."""
        facts = progress.facts
        if facts.registry_problem:
            return
        found = [record.digest for record in facts.artifacts.values() if record is not None]
        self.used[key] = frozenset([*found, *([facts.route.bundle] if facts.route else [])])

    async def _applied(self, progress: Progress) -> Progress:
        facts = progress.facts
        for order in progress.orders:
            self._planner.order(facts.key, order)
        # Pods mount the route: it is there before they are.
        progress = await self._routed(progress)
        for wanted in progress.children:
            progress = await self._put(progress, wanted)
        await self._remove(progress)
        return progress

    async def _routed(self, progress: Progress) -> Progress:
        """A route that cannot be made or kept now is said, and tried again; it stops nothing else."""
        route, context = progress.facts.route, progress.context
        try:
            if progress.target is not None:
                await self._adaptation.adopt(progress.target, route)
            elif route is not None and context is not None:
                await self._adaptation.resume(context.owner, context.resource, route)
        except TiersplitError as error:
            log.warning("no route: %s", error, extra={"resource": "/".join(progress.facts.key)})
            return _unrouted(progress, str(error)).recheck(LOOK_AGAIN_S)
        return progress

    async def _put(self, progress: Progress, wanted: Tree) -> Progress:
        facts = progress.facts
        live = facts.child(wanted["kind"], wanted["metadata"]["name"])
        if live is not None and (live.deleting or live.owner_uid not in {"", facts.owner.uid}):
            # It belongs to a resource of the same name that is gone: Kubernetes is removing it.
            return progress.recheck(LOOK_AGAIN_S)
        document = stamped(wanted)
        if live is not None and (live.kind == "Job" or contains(json.loads(live.document), document)):
            return progress
        try:
            if live is None:
                await self._check_free(facts, wanted)
            await self._api.apply(document)
        except RejectedError as error:
            return _rejected(progress, wanted, str(error)).recheck(REJECTED_S)
        log.info("applied %s %s", wanted["kind"], wanted["metadata"]["name"], extra={"resource": "/".join(facts.key)})
        return progress

    async def _check_free(self, facts: Facts, wanted: Tree) -> None:
        """An object that we do not know, but that has the name, belongs to somebody: it is not taken over."""
        name = wanted["metadata"]["name"]
        found = await self._api.get(wanted["kind"], facts.key.namespace, name)
        owners = (found or {}).get("metadata", {}).get("ownerReferences") or ()
        if found is not None and facts.owner.uid not in {owner.get("uid") for owner in owners}:
            raise RejectedError(f"{wanted['kind']} {name} exists and is not ours; delete it or rename the resource")

    async def _remove(self, progress: Progress) -> None:
        facts = progress.facts
        wanted = {(child["kind"], child["metadata"]["name"]) for child in progress.children} | progress.kept
        for child in facts.children:
            if (child.kind, child.name) not in wanted and _may_go(progress, child):
                await self._api.delete(child.kind, facts.key.namespace, child.name, child.uid)
                log.info("removed %s %s", child.kind, child.name, extra={"resource": "/".join(facts.key)})

    async def _told(self, progress: Progress) -> float | None:
        """Write the status where there is something to say, and tell people."""
        facts = progress.facts
        status = next_status(progress)
        self._counts.note(facts.key, {item["type"]: item["status"] for item in status["conditions"]})
        for occurrence in occurrences(facts, status):
            await self._events.tell(facts.owner, occurrence.reason, occurrence.message, warning=occurrence.warning)
        due_s = self._due_s(facts, status)
        if due_s is not None and due_s <= 0:
            await self._write(facts, status)
        elif due_s is not None:
            progress = progress.again(due_s)
        return self._after_s(progress)

    def _after_s(self, progress: Progress) -> float | None:
        """Seconds until the next look; watches tell most of what changes, and wake it before."""
        key, found = progress.facts.key, _found(progress)
        if progress.recheck_s is None:
            self._pauses.pop(key, None)
            return progress.check_after_s
        recheck_s = self._pauses.setdefault(key, Pauses(LONGEST_PAUSE_S)).after(found, progress.recheck_s)
        return progress.again(recheck_s).check_after_s

    def _due_s(self, facts: Facts, status: Tree) -> float | None:
        """Seconds until the status is worth a write; None: it says what stands there already."""
        wait_s = pause_s(facts.status, status)
        if wait_s is None:
            return None
        return self._written.get(facts.key, -math.inf) + wait_s - self._clock()

    async def _write(self, facts: Facts, status: Tree) -> None:
        # The uid is a fence: a resource of the same name that was made meanwhile is not written to.
        metadata = {"name": facts.key.name, "namespace": facts.key.namespace, "uid": facts.owner.uid}
        document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "status": status}
        try:
            await self._api.apply_status(document)
        except ConflictError:
            log.info("%s was made anew meanwhile", facts.key.name)
            return
        self._written[facts.key] = self._clock()
        metrics.STATUS_WRITES.inc()


def _other_operator(progress: Progress) -> str:
    """The operator that made the resource's children, where that is another one; empty: it is this one, or nobody."""
    facts = progress.facts
    account = facts.child("ServiceAccount", account_name(facts.key.name))
    if account is None or account.owner_uid != facts.owner.uid:
        return ""
    made_by = account.annotations.get(OPERATOR_ANNOTATION, "")
    return "" if made_by == progress.settings.lease.place else made_by


def _may_go(progress: Progress, child: Child) -> bool:
    """Jobs of other keys go at once, everything else once it is no longer used; only what is ours goes."""
    ours = child.owner_uid == progress.facts.owner.uid and not child.deleting
    decided = progress.context is not None and not progress.facts.registry_problem
    return ours and decided and (progress.swept or child.job is not None)


def _found(progress: Progress) -> tuple[object, ...]:
    """What a look found, words apart: those of a server that is away may differ each time."""
    marks = progress.marks.values()
    return progress.facts.generation, frozenset((mark.type, mark.status, mark.reason) for mark in marks)


def _unrouted(progress: Progress, message: str) -> Progress:
    ready = progress.marks.get(READY)
    serves = ready is not None and ready.status == TRUE
    return progress if serves else progress.mark(not_ready("RouteNotWritten", message))


def _rejected(progress: Progress, wanted: Tree, message: str) -> Progress:
    words = f"{wanted['kind']} {wanted['metadata']['name']} is refused: {message}"
    marks: list[Mark] = [rejected(words), reconciled()]
    ready = progress.marks.get(READY)
    if ready is not None and ready.status != TRUE:
        marks.append(not_ready("Rejected", words))
    return progress.mark(*marks)

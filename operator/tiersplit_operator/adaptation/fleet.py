"""All resources under adaptation: takes reports and numbers in, lets each decide, writes the routes that follow."""

import asyncio
import heapq
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_bundle.bundle import Bundle
from tiersplit_control.catalogue import Catalogue
from tiersplit_core.errors import OperationError, TiersplitError
from tiersplit_operator.adaptation.member import Look, Member
from tiersplit_operator.adaptation.news import News
from tiersplit_operator.adaptation.polling import Answer, Poller
from tiersplit_operator.adaptation.rounds import Rounds, Watched
from tiersplit_operator.adaptation.serving import BundleSource, Served, Wanted, catalogue_of, plain_route, wanted_by
from tiersplit_operator.adaptation.succession import plan_digest, succeeding
from tiersplit_operator.adaptation.views import view_of
from tiersplit_operator.adaptation.writer import ConfigMaps, RouteWriter
from tiersplit_operator.facts import AdaptationView, Key, Move, Owner, RouteRecord, Target
from tiersplit_operator.pauses import Pauses
from tiersplit_operator.settings import OperatorSettings
from tiersplit_wire.v1 import route_pb2 as pb

TICK_S = 0.1
LOOKS_PER_TICK = 50
"""Looks take a millisecond each: in between the Lease is kept, and Prometheus' answers are read within their time."""
KEPT_CATALOGUES = 64
SOON_S = 0.05
LONGEST_PAUSE_S = 600.0
"""Between two looks at a resource that rests; a report or an answer of Prometheus ends the pause."""
MAX_WRITES_AT_ONCE = 16
log = logging.getLogger("tiersplit.adaptation")


@dataclass(slots=True)
class _Entry:
    """A resource that is adapted.

    Attributes:
        writer: of its route.
        member: its state; None until its bundle was read.
        basis: what the member was made from; it is made again when that changes.
        due: monotonic second of its next look.
        pauses: between looks while it rests.
        news: what was last worth telling.
        lock: one look or adoption at a time.
    """

    writer: RouteWriter
    member: Member | None = None
    basis: object = None
    due: float = math.inf
    pauses: Pauses = field(default_factory=lambda: Pauses(LONGEST_PAUSE_S))
    news: News = field(default_factory=News)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Fleet:
    """Adapts every resource that has something to serve; one per process, on the leader alone.

    Args:
        settings: the operator's own.
        api: where routes are written.
        source: where bundles are read.
        changed: told a key whenever its view says something worth a status.
        moved: told every move of the operator.
        poller: asks Prometheus; None where no server is known.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        api: ConfigMaps,
        source: BundleSource,
        changed: Callable[[Key], None],
        *,
        moved: Callable[[Key, Move], None] = lambda _key, _move: None,
        poller: Poller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._api, self._source = settings, api, source
        self._changed, self._moved, self._poller, self._clock = changed, moved, poller, clock
        self._entries: dict[Key, _Entry] = {}
        self._writing = asyncio.Semaphore(MAX_WRITES_AT_ONCE)
        self._reading: dict[str, asyncio.Lock] = {}
        self._catalogues: OrderedDict[str, tuple[Bundle, Catalogue]] = OrderedDict()

    async def adopt(self, target: Target, route: RouteRecord | None) -> None:
        """Serve `target`: make or keep its route, and put it back where somebody changed it. Safe to repeat.

        Where another bundle serves, its plans stay in the route until heads have verified the next ones.

        Raises:
            TiersplitError: the bundle cannot be read, or the route cannot be written.
        """
        wanted, addresses = wanted_by(target.resource), tuple(sorted(target.addresses.items()))
        entry = self._entry(target.owner, route)
        async with entry.lock:
            present, intact = await _present(entry, route)
            basis = (target.owner, target.artifact.reference, wanted, addresses)
            if not intact or entry.basis != basis:
                await self._serve(entry, basis, present, intact=intact)

    async def resume(self, owner: Owner, resource: SplitDeployment, route: RouteRecord) -> None:
        """Keep adapting what a route has, though nothing is ready to take its place. Safe to repeat.

        What the manifest asks for and the route's bundle cannot serve waits; heads go on with the route as it is.
        """
        entry = self._entry(owner, route)
        async with entry.lock:
            try:
                await self._resume(entry, owner, resource, route)
            except TiersplitError as error:
                log.warning("%s/%s goes on with the route as it is: %s", *owner.key, error)

    async def _resume(self, entry: _Entry, owner: Owner, resource: SplitDeployment, route: RouteRecord) -> None:
        present, intact = await _present(entry, route)
        if present is None or not present.bundle:
            return
        prefix = self._settings.registry.prefix
        if not present.bundle.startswith(f"oci://{prefix}/"):  # a person may have written any address into it
            raise OperationError(f"its bundle does not lie below {prefix}")
        addresses = tuple((tier.tier, tier.addresses[0]) for tier in present.tiers if tier.addresses)
        basis = (owner, present.bundle, wanted_by(resource), tuple(sorted(addresses)))
        if not intact or entry.basis != basis:
            await self._serve(entry, basis, present, intact=intact)

    async def _serve(
        self,
        entry: _Entry,
        basis: tuple[Owner, str, Wanted, tuple[tuple[str, str], ...]],
        present: pb.Route | None,
        *,
        intact: bool,
    ) -> None:
        """Adapt what `basis` says from now on, starting with the route that follows `present`."""
        owner, reference, wanted, addresses = basis
        bundle, catalogue = await self._read(reference)
        served = Served(wanted, catalogue)
        made = await asyncio.to_thread(plain_route, served, bundle, reference, dict(addresses))
        now, before = self._clock(), entry.member
        kept = present is not None and present.bundle == reference
        since = present.epoch if present is not None and kept else entry.writer.epoch + 1
        member = Member(owner, served, _start(made, present, wanted, before), now, since)
        if before is not None:
            member.follow(before)
            member.since = before.since if kept else since
        look = member.look(now)
        route = look.route or member.route
        if not intact or present is None or not _equal(route, present):
            await self._write(entry, route)
            member.since = member.since if kept else entry.writer.epoch
        entry.member, entry.basis, entry.due = member, basis, min(entry.due, now + SOON_S)
        self._settle(entry, look)

    def view(self, key: Key) -> AdaptationView | None:
        """What there is to say about a resource; None where nothing is served for it."""
        entry = self._entries.get(key)
        if entry is None or entry.member is None:
            return None
        return view_of(entry.member, self._clock())

    def drop(self, key: Key) -> None:
        """The resource is gone."""
        self._entries.pop(key, None)

    def report(self, key: Key, report: pb.StageReport) -> None:
        """A stage reported; the next look comes at once where it says something else than before."""
        entry = self._entries.get(key)
        if entry is None or entry.member is None:
            return
        now = self._clock()
        if not entry.member.reports.heard:
            entry.member.notice(now)  # its patience begins with the first report, not with the look before
        news = entry.member.reports.take(report, now, datetime.now(UTC))
        entry.due = min(entry.due, now + (SOON_S if news else entry.member.served.intent.polling_s))

    async def run(self) -> None:
        """Look at every resource and ask Prometheus about it, in its period, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._poller is not None:
                tasks.create_task(Rounds(self._poller, self._watched, self._polled, self._clock).run())
            while True:
                for key in self._due():
                    tasks.create_task(self._look(key))
                await asyncio.sleep(TICK_S)

    def _due(self) -> list[Key]:
        now, entries = self._clock(), self._entries.items()
        due = ((entry.due, key) for key, entry in entries if entry.due <= now and not entry.lock.locked())
        return [key for _, key in heapq.nsmallest(LOOKS_PER_TICK, due)]

    async def _look(self, key: Key) -> None:
        entry = self._entries.get(key)
        if entry is None or entry.member is None or entry.lock.locked():
            return
        async with entry.lock:
            member, now = entry.member, self._clock()
            entry.due = math.inf  # what is learned while the route is written sets an earlier second than this look
            try:
                member.reports.forget_stale(now)
                look = member.look(now)
                if look.route is not None:
                    await self._write(entry, look.route)
                entry.due = min(entry.due, now + _pause_s(entry, look, now))
                self._settle(entry, look)
            except TiersplitError as error:
                entry.due = now + member.served.intent.polling_s
                log.warning("%s/%s: the route is not written: %s", *key, error)
                self._changed(key)
            except Exception:  # whatever its pods reported, the other resources are adapted
                entry.due = now + member.served.intent.polling_s
                log.exception("%s/%s: a look failed", *key)

    def _settle(self, entry: _Entry, look: Look) -> None:
        """Tell what is worth telling; too early a tale is told at the next look, which then comes soon."""
        assert entry.member is not None  # noqa: S101 - it was just looked at
        member, key, now = entry.member, entry.writer.owner.key, self._clock()
        move = member.settle(look, now, datetime.now(UTC))
        if move is not None:
            log.info("%s/%s: %s", *key, move.reason)
            self._moved(key, move)
        wait_s = entry.news.wait_s(view_of(member, now), now)
        if wait_s == 0:
            self._changed(key)
        elif wait_s is not None:
            entry.due = min(entry.due, now + wait_s)

    async def _write(self, entry: _Entry, route: pb.Route) -> None:
        async with self._writing:
            await entry.writer.write(route, plan_digest(route.selected))

    def _watched(self) -> dict[Key, Watched]:
        found = {}
        for key, entry in self._entries.items():
            if entry.member is not None:
                served, asked = entry.member.served, entry.member.telemetry.asked
                found[key] = Watched(served.intent.polling_s, served.wanted.queries, asked)
        return found

    def _polled(self, key: Key, answer: Answer) -> None:
        now, entry = self._clock(), self._entries.get(key)
        if entry is None or entry.member is None or entry.member.telemetry.repeats(*answer):
            return
        entry.member.notice(now)  # what this answer ends was observed until now
        entry.member.telemetry.take(*answer, now)
        if entry.member.telemetry.changed_at == now:
            entry.due = min(entry.due, now + entry.member.served.intent.polling_s)

    async def _read(self, reference: str) -> tuple[Bundle, Catalogue]:
        """A bundle and its plans; resources that share a bundle share both, and read it once."""
        async with self._reading.setdefault(reference, asyncio.Lock()):
            found = self._catalogues.get(reference)
            if found is None:
                bundle = await self._source.bundle(reference)
                found = (bundle, await asyncio.to_thread(catalogue_of, bundle))
            self._catalogues[reference] = found
            self._catalogues.move_to_end(reference)
        while len(self._catalogues) > KEPT_CATALOGUES:
            self._reading.pop(self._catalogues.popitem(last=False)[0], None)
        return found

    def _entry(self, owner: Owner, record: RouteRecord | None) -> _Entry:
        """The entry of this very resource, not of one of the same name that is gone."""
        entry = self._entries.get(owner.key)
        if entry is None or entry.writer.owner != owner:
            entry = self._entries[owner.key] = _Entry(RouteWriter(self._api, self._settings, owner, record))
        return entry


def _pause_s(entry: _Entry, look: Look, now: float) -> float:
    """Seconds until the next look: a polling period, and ever more while nothing is said of the resource."""
    assert entry.member is not None  # noqa: S101 - it was just looked at
    polling_s = entry.member.served.intent.polling_s
    if look.route is None and entry.member.rests(now):
        return entry.pauses.after(look, polling_s)
    entry.pauses.forget()
    return polling_s


async def _present(entry: _Entry, record: RouteRecord | None) -> tuple[pb.Route | None, bool]:
    """The route as it stands, and whether it stands as it was written.

    The watch may be behind what was just written; what is of an older epoch is not believed.
    """
    written = entry.member.route if entry.member is not None else None
    if record is None:
        return written, written is not None and not await entry.writer.gone()
    if written is not None and record.epoch < entry.writer.epoch:
        return written, True
    ours = written is not None and record.epoch == entry.writer.epoch
    found, owned = _route_in(record), record.owner_uid == entry.writer.owner.uid
    entry.writer.known(record)
    if ours:
        return written, owned and found == written
    return found, owned and found is not None and written is None


def _start(made: pb.Route, present: pb.Route | None, wanted: Wanted, before: Member | None) -> pb.Route:
    """The route to begin with: what is to be served, what serves now, and what heads were told already."""
    if present is None:
        return made
    used = before.reports.remembered(before.first_tier) if before is not None else ()
    route = succeeding(made, present, wanted.crowded, used)
    route.guidance.CopyFrom(present.guidance)
    route.probe_budget_bps = present.probe_budget_bps
    return route


def _equal(one: pb.Route, other: pb.Route) -> bool:
    made = pb.Route()
    made.CopyFrom(one)
    made.epoch = other.epoch
    return made == other


def _route_in(record: RouteRecord) -> pb.Route | None:
    """The route in a record; None where it is damaged: then it is made again."""
    try:
        return pb.Route.FromString(record.payload)
    except DecodeError:
        log.warning("a route's ConfigMap is damaged and is written again")
        return None

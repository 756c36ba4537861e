"""All resources under adaptation: takes reports and numbers in, lets each decide, writes the routes that follow."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_bundle.bundle import Bundle
from tiersplit_control.catalogue import Catalogue
from tiersplit_core.errors import TiersplitError
from tiersplit_operator.adaptation.member import Member
from tiersplit_operator.adaptation.polling import Poller
from tiersplit_operator.adaptation.serving import BundleSource, Served, catalogue_of, served
from tiersplit_operator.adaptation.succession import succeeding
from tiersplit_operator.adaptation.writer import ConfigMaps, RouteWriter
from tiersplit_operator.facts import AdaptationView, Key, Move, Owner, RouteRecord, Target
from tiersplit_operator.settings import OperatorSettings
from tiersplit_wire.v1 import route_pb2 as pb

TICK_S = 0.1
SHORTEST_POLL_S, LONGEST_POLL_S = 1.0, 60.0
KEPT_CATALOGUES = 64
SOON_S = 0.05
MAX_WRITES_AT_ONCE = 16
log = logging.getLogger("tiersplit.adaptation")
Moved = Callable[[Key, Move], None]


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
        moved: Moved = lambda _key, _move: None,
        poller: Poller | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._api, self._source = settings, api, source
        self._changed, self._moved, self._poller, self._clock = changed, moved, poller, clock
        self._members: dict[Key, Member] = {}
        self._writers: dict[Key, RouteWriter] = {}
        self._adopted: dict[Key, object] = {}
        self._due: dict[Key, float] = {}
        self._locks: dict[Key, asyncio.Lock] = {}
        self._catalogues: OrderedDict[str, tuple[Bundle, Catalogue]] = OrderedDict()

    async def adopt(self, target: Target, route: RouteRecord | None) -> None:
        """Serve `target`: make or keep its route. Safe to repeat.

        Where another bundle serves, its plans stay in the route until heads have verified the new ones.

        Raises:
            TiersplitError: the bundle cannot be read, or the route cannot be written.
        """
        key = target.owner.key
        async with self._lock(key):
            self._writer(target.owner, route).known(route)
            wanted = (target.artifact.digest, target.generation, tuple(sorted(target.addresses.items())))
            if self._adopted.get(key) == wanted and route is not None:
                return
            found = await self._served(target.resource, target.artifact.reference, target.addresses)
            await self._take(target.owner, found, _route_in(route))
            self._adopted[key] = wanted

    async def resume(self, owner: Owner, resource: SplitDeployment, route: RouteRecord) -> None:
        """Keep adapting what a route has, though nothing is ready to take its place. Safe to repeat.

        Raises:
            TiersplitError: the route's bundle cannot be read, or is not for the manifest's tiers.
        """
        key = owner.key
        async with self._lock(key):
            self._writer(owner, route).known(route)
            if key in self._members:
                return
            present = _route_in(route)
            if present is None or not present.bundle:
                return
            addresses = {tier.tier: tier.addresses[0] for tier in present.tiers if tier.addresses}
            found = await self._served(resource, present.bundle, addresses)
            await self._take(owner, found, present)

    async def _take(self, owner: Owner, found: Served, present: pb.Route | None) -> None:
        """Adapt what is served from now on, starting with the route that follows `present`."""
        key = owner.key
        before = self._members.get(key)
        member = Member(owner, found, _start(found, present))
        if before is not None:
            member.reports, member.telemetry, member.moves = before.reports, before.telemetry, before.moves
            member.moved_at, member.fell_back = before.moved_at, before.fell_back
        self._members[key] = member
        route = member.look(self._clock(), datetime.now(UTC)) or member.route
        if present is None or not _equal(route, present):
            await self._write(key, member, route)
        self._due[key] = self._clock() + SOON_S

    def view(self, key: Key) -> AdaptationView | None:
        """What there is to say about a resource; None where nothing is served for it."""
        member = self._members.get(key)
        return None if member is None else member.view(self._clock())

    def drop(self, key: Key) -> None:
        """The resource is gone."""
        for kept in (self._members, self._writers, self._adopted, self._due, self._locks):
            kept.pop(key, None)

    def report(self, key: Key, report: pb.StageReport) -> None:
        """A stage reported; the next look comes at once where it says something new."""
        member = self._members.get(key)
        if member is None:
            return
        now = self._clock()
        before = _facts(member, now)
        member.reports.take(report, now, datetime.now(UTC))
        if _facts(member, now) != before:
            self._due[key] = min(self._due.get(key, now), now + SOON_S)
            self._changed(key)

    async def run(self) -> None:
        """Look at every resource in its period, and poll Prometheus, until cancelled."""
        polling = asyncio.create_task(self._poll())
        try:
            while True:
                await self._look_at_due()
                if polling.done():
                    polling.result()
                await asyncio.sleep(TICK_S)
        finally:
            polling.cancel()
            with suppress(asyncio.CancelledError):
                await polling

    async def _look_at_due(self) -> None:
        now = self._clock()
        due = [key for key, at in self._due.items() if at <= now and not self._lock(key).locked()]
        for first in range(0, len(due), MAX_WRITES_AT_ONCE):
            await asyncio.gather(*(self._look(key) for key in due[first : first + MAX_WRITES_AT_ONCE]))

    async def _look(self, key: Key) -> None:
        async with self._lock(key):
            member = self._members.get(key)
            if member is None:
                return
            now = self._clock()
            self._due[key] = now + member.served.intent.polling_s
            member.reports.forget_stale(now)
            newest, blind = member.moves[0] if member.moves else None, member.blind
            route = member.look(now, datetime.now(UTC))
            try:
                if route is not None:
                    await self._write(key, member, route)
            except TiersplitError as error:
                log.warning("%s/%s: the route is not written: %s", *key, error)
            if member.moves and member.moves[0] is not newest:
                log.info("%s/%s: %s", *key, member.moves[0].reason)
                self._moved(key, member.moves[0])
                self._changed(key)
            elif member.blind != blind:
                self._changed(key)

    async def _write(self, key: Key, member: Member, route: pb.Route) -> None:
        await self._writers[key].write(route, route.bundle.rpartition("@")[2], route.selected)
        member.route = route

    async def _poll(self) -> None:
        while self._poller is not None:
            period_s = self._period_s()
            began = self._clock()
            asked = {key: member.served.queries for key, member in self._members.items()}
            answers = await self._poller.poll(asked, period_s)
            for key, (seen, problem) in answers.items():
                if key in self._members:
                    self._members[key].telemetry.take(seen, problem)
            await asyncio.sleep(max(period_s - (self._clock() - began), TICK_S))

    def _period_s(self) -> float:
        periods = [member.served.intent.polling_s for member in self._members.values()]
        return min(max(min(periods, default=SHORTEST_POLL_S), SHORTEST_POLL_S), LONGEST_POLL_S)

    async def _served(self, resource: SplitDeployment, reference: str, addresses: Mapping[str, str]) -> Served:
        bundle, catalogue = await self._read(reference)
        return await asyncio.to_thread(served, resource, bundle, catalogue, reference, addresses)

    async def _read(self, reference: str) -> tuple[Bundle, Catalogue]:
        """A bundle and its plans; resources that share a bundle share both."""
        found = self._catalogues.get(reference)
        if found is None:
            bundle = await self._source.bundle(reference)
            found = (bundle, await asyncio.to_thread(catalogue_of, bundle))
            self._catalogues[reference] = found
            while len(self._catalogues) > KEPT_CATALOGUES:
                self._catalogues.popitem(last=False)
        self._catalogues.move_to_end(reference)
        return found

    def _writer(self, owner: Owner, record: RouteRecord | None) -> RouteWriter:
        writer = self._writers.get(owner.key)
        if writer is None:
            writer = self._writers[owner.key] = RouteWriter(self._api, self._settings, owner, record)
        return writer

    def _lock(self, key: Key) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


def _facts(member: Member, now: float) -> tuple[object, ...]:
    """What is worth a look at once when it changes."""
    reports = member.reports
    down = frozenset(place for place, view in reports.links(now).items() if view.down)
    first = member.first_tier
    return reports.selectable(now, first), tuple(reports.active(now, first).items()), down, tuple(reports.problems(now))


def _start(found: Served, present: pb.Route | None) -> pb.Route:
    """The route to begin with: what is served, and what served before where that is another bundle's."""
    if present is None:
        return found.route
    if present.bundle != found.route.bundle:
        return succeeding(found.route, present)
    made = pb.Route()
    made.CopyFrom(found.route)
    made.selected = present.selected
    return made


def _equal(one: pb.Route, other: pb.Route) -> bool:
    made = pb.Route()
    made.CopyFrom(one)
    made.epoch = other.epoch
    return made == other


def _route_in(record: RouteRecord | None) -> pb.Route | None:
    """The route in a record; None where there is none, or it is damaged: then it is made again."""
    if record is None:
        return None
    try:
        return pb.Route.FromString(record.payload)
    except DecodeError:
        log.warning("the route's ConfigMap is damaged and is written again")
        return None

"""Asking Prometheus for all resources at once, and for those with queries of their own one by one."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.queries import Metric, default_query, own_queries
from tiersplit_operator.adaptation.samples import Sample, Seen, by_resource, joined, of_resource
from tiersplit_operator.adaptation.slowness import MAX_REMEMBERED, Slowness
from tiersplit_operator.facts import Key

SHARE_OF_PERIOD = 0.8
MAX_TIMEOUT_S = 10.0
AT_ONCE, SLOW_AT_ONCE, HUNG_AT_ONCE = 8, 8, 4
"""Resources whose own queries are under way: those that answer swiftly, that take their time, and that did not answer.

Each kind has its own places: queries that hang keep theirs to the end of the round.
"""
SWIFT_SHARE = 0.25
"""Of the time that own queries have together: one that takes longer is asked apart from the others."""
NEARLY = 0.9
"""Of its own time: a resource that is cut off earlier got its place too late, which says nothing of its queries."""
MAX_REASON = 200
HANGS = "Prometheus does not answer in time"


class Source(Protocol):
    """Who answers queries."""

    async def query(self, server: str, promql: str, timeout_s: float) -> list[Sample]:
        """The instant vector that a query evaluates to; raises OperationError."""
        ...


class Poller:
    """Polls one server.

    Args:
        source: answers queries.
        server: base address of the server.
        clock: monotonic seconds.
    """

    def __init__(self, source: Source, server: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._server, self._clock = source, server, clock
        self._swift, self._slow = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(SLOW_AT_ONCE)
        self._hung = asyncio.Semaphore(HUNG_AT_ONCE)
        self._slowness = Slowness()
        self._turns: OrderedDict[Key, None] = OrderedDict()

    async def poll(self, resources: Mapping[Key, Prometheus], period_s: float) -> dict[Key, tuple[Seen, str]]:
        """One round: per resource what is seen, and why nothing is where that is so.

        Args:
            resources: with their own queries.
            period_s: time until the next round; everything is over before it.
        """
        timeout_s, keys = min(SHARE_OF_PERIOD * period_s, MAX_TIMEOUT_S), self._in_turn(resources)
        defaults, own = await asyncio.gather(
            asyncio.gather(*(self._default(metric, timeout_s) for metric in Metric)),
            asyncio.gather(*(self._own(key, resources[key], timeout_s) for key in keys)),
        )
        return {key: _chosen(key, defaults, found) for key, found in zip(keys, own, strict=True)}

    def _in_turn(self, keys: Iterable[Key]) -> list[Key]:
        """Those first whose turn was longest ago: where places are too few, nobody goes without for good."""
        turns = {key: turn for turn, key in enumerate(self._turns)}
        return sorted(keys, key=lambda key: turns.get(key, -1))

    def _had_its_turn(self, key: Key) -> None:
        self._turns[key] = None
        self._turns.move_to_end(key)
        while len(self._turns) > MAX_REMEMBERED:
            self._turns.popitem(last=False)

    def _places(self, key: Key) -> asyncio.Semaphore:
        if self._slowness.hangs(key):
            return self._hung
        return self._slow if key in self._slowness else self._swift

    async def _default(self, metric: Metric, timeout_s: float) -> tuple[Metric, dict[Key, Seen], str]:
        try:
            async with asyncio.timeout(timeout_s):
                samples = await self._source.query(self._server, default_query(metric), timeout_s)
        except (OperationError, TimeoutError) as error:
            return metric, {}, _why(error)
        return metric, by_resource(metric, samples), ""

    async def _own(self, key: Key, overriding: Prometheus, timeout_s: float) -> dict[Metric, tuple[Seen, str]]:
        """One resource's own queries, all at once: it takes one place of those for all, however many it has."""
        asked = own_queries(overriding)
        found: dict[Metric, tuple[Seen, str]] = {}
        if self._slowness.wait_s(key, self._clock()) > 0:
            # The same words in each round: seconds to wait would be news, and end the resource's rest.
            return {metric: (Seen(), _said(metric, HANGS)) for metric in asked}
        try:
            # Waiting for others counts: all is over in time, however many resources have queries of their own.
            async with asyncio.timeout(timeout_s), self._places(key):
                await self._ask(key, asked, found, timeout_s)
        except TimeoutError:
            pass  # what is not found did not answer
        return {metric: found.get(metric, (Seen(), _said(metric, HANGS))) for metric in asked}

    async def _ask(
        self, key: Key, asked: Mapping[Metric, str], found: dict[Metric, tuple[Seen, str]], timeout_s: float
    ) -> None:
        """Fill `found`; a resource whose queries hang here is remembered for that, one that only waited is not."""
        began, swift_s = self._clock(), SWIFT_SHARE * timeout_s
        limit_s = timeout_s if key in self._slowness else swift_s
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.gather(
                    *(self._one(key, metric, query, found, limit_s) for metric, query in asked.items())
                )
        except (TimeoutError, asyncio.CancelledError):
            if self._clock() - began >= NEARLY * limit_s:
                self._hangs(key)
            raise
        swiftly = self._clock() - began <= swift_s
        if not swiftly and all(why for _, why in found.values()):  # the server gave up before we did
            self._hangs(key)
        else:
            self._slowness.answered(key, swiftly=swiftly)
            self._had_its_turn(key)

    def _hangs(self, key: Key) -> None:
        self._slowness.hung(key, self._clock())
        self._had_its_turn(key)

    async def _one(
        self, key: Key, metric: Metric, query: str, found: dict[Metric, tuple[Seen, str]], timeout_s: float
    ) -> None:
        try:
            samples = await self._source.query(self._server, query, timeout_s)
        except OperationError as error:
            found[metric] = Seen(), _said(metric, _why(error))
        else:
            found[metric] = of_resource(metric, key, samples), ""


def _said(metric: Metric, why: str) -> str:
    return f"{metric.value}Query: {why}"


def _chosen(
    key: Key, defaults: list[tuple[Metric, dict[Key, Seen], str]], own: Mapping[Metric, tuple[Seen, str]]
) -> tuple[Seen, str]:
    """A resource's own query stands in place of the default one."""
    parts, problems = [], []
    for metric, answers, problem in defaults:
        seen, why = own.get(metric, (answers.get(key, Seen()), problem))
        parts.append(seen)
        problems += [why] if why else []
    return joined(parts), "; ".join(dict.fromkeys(problems))


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return HANGS
    return str(error)[:MAX_REASON]

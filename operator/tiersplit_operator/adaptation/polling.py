"""Asking Prometheus for all resources at once, and for those with queries of their own one by one."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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

Each kind has its own places: queries that hang keep theirs to the end of the round. So has each class of time limits.
"""
SHORTEST_LIMIT_S = SHARE_OF_PERIOD * 1.0
SWIFT_SHARE = 0.25
"""Of the time that own queries have together: one that takes longer is asked apart from the others."""
NEARLY = 0.9
"""Of its own time: a resource that is cut off earlier got its place too late, which says nothing of its queries."""
MAX_REASON = 200
HANGS = "Prometheus does not answer in time"
Answer = tuple[Seen, str]
"""What is seen of one resource, and why nothing is, where that is so."""
_Defaults = Mapping[Metric, asyncio.Task[tuple[dict[Key, Seen], str]]]


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
        self._places = tuple(_Places() for _ in range(_class_of(MAX_TIMEOUT_S) + 1))
        self._slowness = Slowness()
        self._turns: OrderedDict[Key, None] = OrderedDict()

    async def poll(self, resources: Mapping[Key, Prometheus], period_s: float) -> dict[Key, Answer]:
        """One round of one group.

        Args:
            resources: with their own queries.
            period_s: time until the next round; everything is over before it.
        """
        found: dict[Key, Answer] = {}
        await self.poll_groups({period_s: resources}, found.update)
        return found

    async def poll_groups(
        self, groups: Mapping[float, Mapping[Key, Prometheus]], told: Callable[[Mapping[Key, Answer]], None]
    ) -> None:
        """One round of the groups that are due together: the default queries are asked once for all of them.

        Args:
            groups: by period in seconds, resources with their own queries; a group's round is over within its period.
            told: told the answers of each group as soon as they are there, however long another group's take.
        """
        longest_s = max(map(_limit_s, groups))
        async with asyncio.TaskGroup() as tasks:
            defaults = {metric: tasks.create_task(self._default(metric, longest_s)) for metric in Metric}
            for period_s, resources in groups.items():
                tasks.create_task(self._group(resources, _limit_s(period_s), defaults, told))

    async def _group(
        self,
        resources: Mapping[Key, Prometheus],
        timeout_s: float,
        defaults: _Defaults,
        told: Callable[[Mapping[Key, Answer]], None],
    ) -> None:
        asked = {key: queries for key, given in resources.items() if (queries := own_queries(given))}
        keys = self._in_turn(asked)
        own, _ = await asyncio.gather(
            asyncio.gather(*(self._own(key, asked[key], timeout_s) for key in keys)),
            asyncio.wait(defaults.values(), timeout=timeout_s),
        )
        known = {metric: task.result() if task.done() else ({}, HANGS) for metric, task in defaults.items()}
        answered = dict(zip(keys, own, strict=True))
        told({key: _chosen(key, known, answered.get(key, {})) for key in resources})

    def _in_turn(self, keys: Iterable[Key]) -> list[Key]:
        """Those first whose turn was longest ago: where places are too few, nobody goes without for good."""
        turns = {key: turn for turn, key in enumerate(self._turns)}
        return sorted(keys, key=lambda key: turns.get(key, -1))

    def _had_its_turn(self, key: Key) -> None:
        self._turns[key] = None
        self._turns.move_to_end(key)
        while len(self._turns) > MAX_REMEMBERED:
            self._turns.popitem(last=False)

    def _place(self, key: Key, timeout_s: float) -> asyncio.Semaphore:
        places = self._places[_class_of(timeout_s)]
        if self._slowness.hangs(key):
            return places.hung
        return places.slow if key in self._slowness else places.swift

    async def _default(self, metric: Metric, timeout_s: float) -> tuple[dict[Key, Seen], str]:
        try:
            async with asyncio.timeout(timeout_s):
                samples = await self._source.query(self._server, default_query(metric), timeout_s)
        except (OperationError, TimeoutError) as error:
            return {}, _why(error)
        return by_resource(metric, samples), ""

    async def _own(self, key: Key, asked: Mapping[Metric, str], timeout_s: float) -> dict[Metric, Answer]:
        """One resource's own queries, all at once: it takes one place of those for all, however many it has."""
        found: dict[Metric, Answer] = {}
        if self._slowness.wait_s(key, self._clock()) > 0:
            # The same words in each round: seconds to wait would be news, and end the resource's rest.
            return {metric: (Seen(), _said(metric, HANGS)) for metric in asked}
        try:
            # Waiting for others counts: all is over in time, however many resources have queries of their own.
            async with asyncio.timeout(timeout_s), self._place(key, timeout_s):
                await self._ask(key, asked, found, timeout_s)
        except TimeoutError:
            pass  # what is not found did not answer
        return {metric: found.get(metric, (Seen(), _said(metric, HANGS))) for metric in asked}

    async def _ask(self, key: Key, asked: Mapping[Metric, str], found: dict[Metric, Answer], timeout_s: float) -> None:
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

    async def _one(self, key: Key, metric: Metric, query: str, found: dict[Metric, Answer], timeout_s: float) -> None:
        try:
            samples = await self._source.query(self._server, query, timeout_s)
        except OperationError as error:
            found[metric] = Seen(), _said(metric, _why(error))
        else:
            found[metric] = of_resource(metric, key, samples), ""


@dataclass(frozen=True, slots=True)
class _Places:
    """Those of the resources whose own queries have nearly the same time limit.

    Nobody waits for places that are held for much longer than it has time.
    """

    swift: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    slow: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SLOW_AT_ONCE))
    hung: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(HUNG_AT_ONCE))


def _limit_s(period_s: float) -> float:
    """The time that a round has where the next one comes after a period."""
    return min(SHARE_OF_PERIOD * period_s, MAX_TIMEOUT_S)


def _class_of(timeout_s: float) -> int:
    """Limits of one class differ by less than a factor of two; the shortest period's is in the first."""
    return max(math.floor(math.log2(timeout_s / SHORTEST_LIMIT_S)), 0)


def _said(metric: Metric, why: str) -> str:
    return f"{metric.value}Query: {why}"


def _chosen(
    key: Key, defaults: Mapping[Metric, tuple[Mapping[Key, Seen], str]], own: Mapping[Metric, Answer]
) -> Answer:
    """A resource's own query stands in place of the default one."""
    parts, problems = [], []
    for metric, (answers, problem) in defaults.items():
        seen, why = own.get(metric, (answers.get(key, Seen()), problem))
        parts.append(seen)
        problems += [why] if why else []
    return joined(parts), "; ".join(dict.fromkeys(problems))


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return HANGS
    return str(error)[:MAX_REASON]

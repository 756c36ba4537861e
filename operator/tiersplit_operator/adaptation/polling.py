"""Asking Prometheus for all resources at once, and for those with queries of their own one by one."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.queries import Metric, default_query, own_queries
from tiersplit_operator.adaptation.samples import Sample, Seen, by_resource, joined, of_resource
from tiersplit_operator.facts import Key

SHARE_OF_PERIOD = 0.8
MAX_TIMEOUT_S = 10.0
AT_ONCE = 8
MAX_REASON = 200


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
    """

    def __init__(self, source: Source, server: str) -> None:
        self._source, self._server = source, server
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def poll(self, resources: Mapping[Key, Prometheus], period_s: float) -> dict[Key, tuple[Seen, str]]:
        """One round: per resource what is seen, and why nothing is where that is so.

        Args:
            resources: with their own queries.
            period_s: time until the next round; everything is over before it.
        """
        timeout_s = min(SHARE_OF_PERIOD * period_s, MAX_TIMEOUT_S)
        defaults, own = await asyncio.gather(
            asyncio.gather(*(self._default(metric, timeout_s) for metric in Metric)),
            asyncio.gather(*(self._own(key, queries, timeout_s) for key, queries in resources.items())),
        )
        return {key: _chosen(key, defaults, found) for key, found in zip(resources, own, strict=True)}

    async def _default(self, metric: Metric, timeout_s: float) -> tuple[Metric, dict[Key, Seen], str]:
        try:
            async with asyncio.timeout(timeout_s):
                samples = await self._source.query(self._server, default_query(metric), timeout_s)
        except (OperationError, TimeoutError) as error:
            return metric, {}, _why(error)
        return metric, by_resource(metric, samples), ""

    async def _own(self, key: Key, overriding: Prometheus, timeout_s: float) -> dict[Metric, tuple[Seen, str]]:
        asked = own_queries(overriding)
        answers = await asyncio.gather(*(self._one(key, metric, query, timeout_s) for metric, query in asked.items()))
        return dict(zip(asked, answers, strict=True))

    async def _one(self, key: Key, metric: Metric, query: str, timeout_s: float) -> tuple[Seen, str]:
        try:
            # Waiting for others counts: all is over in time, however many resources have queries of their own.
            async with asyncio.timeout(timeout_s), self._gate:
                samples = await self._source.query(self._server, query, timeout_s)
        except (OperationError, TimeoutError) as error:
            return Seen(), f"{metric.value}Query: {_why(error)}"
        return of_resource(metric, key, samples), ""


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
        return "Prometheus does not answer in time"
    return str(error)[:MAX_REASON]

"""Gathering: all that one look needs, from the watches, the planner and adaptation; the registry is asked on demand."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from tiersplit_core.errors import InputError, OperationError
from tiersplit_operator.clients.kubernetes import KubernetesClient
from tiersplit_operator.clients.registry import RegistryClient
from tiersplit_operator.decide.planning import MAX_STEPS
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.decide.steps import decide
from tiersplit_operator.facts import AdaptationView, ArtifactRecord, Child, Document, Facts, JobState, Key, PlanFailure
from tiersplit_operator.resources.context import TIER_LABEL
from tiersplit_operator.settings import OperatorSettings
from tiersplit_operator.store import Store

PATIENCE = timedelta(seconds=15)
"""How long a child may lack pods before its events are read."""
REGISTRY_S = 20.0
MAX_LOOKUPS = 4 * MAX_STEPS
"""Each step of planning asks for its plan, for what was cut, and for what was measured."""


class Failures(Protocol):
    """Why plans failed."""

    def failures(self) -> Mapping[str, PlanFailure]:
        """By the plan's key."""
        ...


class Views(Protocol):
    """What adaptation has to say."""

    def view(self, key: Key) -> AdaptationView | None:
        """About one resource."""
        ...


class Gatherer:
    """Knows where facts are.

    Args:
        settings: the operator's own.
        store: what the watches show.
        api: for the events of children that lack pods.
        registry: what was made so far.
        planner: why plans failed.
        views: what adaptation says.
        wall: the time.
    """

    def __init__(
        self,
        settings: OperatorSettings,
        store: Store,
        api: KubernetesClient,
        registry: RegistryClient,
        planner: Failures,
        views: Views,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings, self._store, self._api, self._registry = settings, store, api, registry
        self._planner, self._views, self._wall = planner, views, wall

    async def decided(self, key: Key, body: Document) -> Progress:
        """Decide, ask the registry for what that needs, and decide again until nothing is missing."""
        facts = await self._facts(key, body)
        progress = decide(facts, self._settings)
        for _ in range(MAX_LOOKUPS):
            if not progress.needs or facts.registry_problem:
                return progress
            facts = await self._asked(facts, progress.needs)
            progress = decide(facts, self._settings)
        raise OperationError(f"the registry was asked {MAX_LOOKUPS} times, and more is needed")

    async def _facts(self, key: Key, body: Document) -> Facts:
        children, pods = self._store.children(key), self._store.pods(key)
        facts = Facts(
            key=key,
            now=self._wall(),
            body=body,
            children=children,
            pods=pods,
            route=self._store.route(key),
            failures=self._planner.failures(),
            adaptation=self._views.view(key),
        )
        return replace(facts, warnings=await self._warnings(key, _without_pods(facts)))

    async def _warnings(self, key: Key, children: Iterable[Child]) -> dict[str, str]:
        """Why pods of these children cannot be made: Jobs and DaemonSets say it in events alone."""
        found = {}
        for child in children:
            selector = f"regarding.uid={child.uid},type=Warning"
            events = await self._api.find("Event", key.namespace, fields=selector)
            newest = max(
                events, key=lambda event: str(event.get("metadata", {}).get("resourceVersion", "")), default={}
            )
            if newest:
                found[f"{child.kind}/{child.name}"] = str(newest.get("note", ""))
        return found

    async def _asked(self, facts: Facts, references: frozenset[str]) -> Facts:
        ordered = sorted(references)
        try:
            async with asyncio.timeout(REGISTRY_S):
                found = await asyncio.gather(*map(self._registry.artifact, ordered))
        except (OperationError, InputError, TimeoutError) as error:
            return replace(facts, registry_problem=str(error) or f"no answer within {REGISTRY_S:.0f} s")
        known: dict[str, ArtifactRecord | None] = dict(zip(ordered, found, strict=True))
        return replace(facts, artifacts={**facts.artifacts, **known})


def _without_pods(facts: Facts) -> list[Child]:
    jobs = {pod.job for pod in facts.pods}
    tiers = {pod.tier for pod in facts.pods if not pod.job}
    found = []
    for child in facts.children:
        waits = child.job is not None and child.job.state is JobState.WAITING and child.name not in jobs
        empty = child.kind == "DaemonSet" and child.labels.get(TIER_LABEL) not in tiers
        lacks = waits or (empty and child.workload is not None and child.workload.desired > 0)
        if lacks and child.created is not None and facts.now - child.created > PATIENCE:
            found.append(child)
    return found

"""Takes routes: compiles their plans, says what must be resident, drops what nothing needs any more."""

import asyncio
import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
from google.protobuf.message import DecodeError

from tiersplit_core.errors import InputError, TiersplitError
from tiersplit_stage.link import Link
from tiersplit_stage.loading import Loading, Wanted
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.plans import SegmentInfo, StagePlan, compile_plans
from tiersplit_stage.resolving import Endpoint
from tiersplit_stage.servicer import ActivationsServicer
from tiersplit_stage.steering import steers
from tiersplit_wire.v1 import route_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.head import Head
    from tiersplit_stage.inference import InferenceServicer

_log = logging.getLogger(__name__)
_GRACE_S = 2.0
_SWEEP_S = 0.25


class Router:
    """Turns the newest route into plans, sessions and connections.

    Args:
        deployment: whose routes are taken.
        tier: this stage's tier.
        loading: makes segments resident.
        pipeline: gets the link to the next tier.
        servicer: gets the plans.
        state: file that keeps the last route for a start without controller; None: none is kept.
        changed: called when there is something to report.
        dial: opens a channel to a stage of the next tier; None: without TLS.

    Attributes:
        followers: told every route that is taken, before anything is done about it.
    """

    def __init__(
        self,
        deployment: str,
        tier: str,
        loading: Loading,
        pipeline: Pipeline,
        servicer: ActivationsServicer,
        changed: Callable[[], None],
        state: Path | None,
        dial: Callable[[Endpoint], grpc.aio.Channel] | None = None,
    ) -> None:
        self.route: pb.Route | None = None
        self.refusal = ""
        self.head: Head | None = None
        self.inference: InferenceServicer | None = None
        self.followers: list[Callable[[pb.Route], None]] = []
        self._deployment, self._tier, self._loading = deployment, tier, loading
        self._pipeline, self._servicer, self._changed, self._state = pipeline, servicer, changed, state
        self._dial = dial
        self._offered: pb.Route | None = None
        self._news = asyncio.Event()
        self._retired: dict[str, float] = {}
        self._instances: frozenset[str] = frozenset()
        loading.changed = self._progressed

    @property
    def epoch(self) -> int:
        """Of the newest route that was taken; 0 before the first."""
        return self.route.epoch if self.route else 0

    @property
    def problem(self) -> str:
        """Why the newest route cannot be taken, or not wholly; empty: all is well."""
        return self.refusal or self._loading.problem

    @property
    def progress(self) -> str:
        """What is being made resident; empty: nothing."""
        return self._loading.progress

    @property
    def resident(self) -> list[str]:
        """Ids of the route's segments that are loaded here."""
        loaded = self._pipeline.pool.loaded
        return [seg.id for seg in self.route.segments if seg.blob in loaded] if self.route else []

    @property
    def ready(self) -> bool:
        """Whether a route was taken and this tier holds its part of at least one plan that needs it."""
        loaded = self._pipeline.pool.loaded
        parts = [{segment.blob for segment in plan.own_segments} for plan in self._servicer.plans.values()]
        needing = [part for part in parts if part] or parts
        return self.route is not None and any(part <= loaded for part in needing)

    @property
    def guided_segments(self) -> list[SegmentInfo]:
        """This tier's segments, where somebody wants to know the load that they tell."""
        if self.route is None or not self.route.HasField("guidance"):
            return []
        return [segment for plan in self._servicer.plans.values() for segment in plan.own_segments]

    def offer(self, route: pb.Route) -> None:
        """A route came; an older one than was taken or offered is refused."""
        newest = max(self.epoch, self._offered.epoch if self._offered else 0)
        if route.deployment != self._deployment:
            self.refusal = f"the route is for {route.deployment!r}, this stage belongs to {self._deployment!r}"
            self._changed()
        elif route.epoch > newest:
            self._offered = route
            self._news.set()
        elif route.epoch < newest:
            _log.info("the route of epoch %d is refused: %d was taken or offered", route.epoch, newest)

    async def run(self) -> None:
        """Apply offered routes for ever."""
        self._recall()
        while True:
            await self._news.wait()
            self._news.clear()
            if self._offered is not None:
                await self._apply(self._offered)

    async def tend(self) -> None:
        """Drop what nothing needs, and look who is behind, for ever; apart from `run`: a route must not wait for it."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            await self._sweep()
            self._watch_peers()

    async def _apply(self, route: pb.Route) -> None:
        try:
            plans = compile_plans(route, self._tier)
        except TiersplitError as error:
            self._offered = None
            self.refusal = str(error)
            self._changed()
            return
        now = time.monotonic()
        current = {plan.key: plan for plan in plans.values()}
        retired = {key: self._retired.get(key, now) for key in self._servicer.plans if key not in current}
        self._retired, self._servicer.plans = retired, {**self._servicer.plans, **current}
        self.route, self.refusal, self._offered = route, "", None
        for follow in self.followers:
            follow(route)
        self._remember(route)
        self._loading.want(self._wanted(route, plans))
        await self._connect(route)
        self._lead(route, plans)
        self._changed()

    def _wanted(self, route: pb.Route, plans: Mapping[str, StagePlan]) -> Wanted:
        """What the plan in use needs first, then its fallback, then what requests might be moved to."""
        urgent = [plans[digest] for digest in (route.selected, route.fallback) if digest in plans]
        ordered = (*urgent, *plans.values())
        segments = {segment.blob: segment for plan in ordered for segment in plan.own_segments}
        origins = tuple(dict.fromkeys(plan.origin for plan in ordered)) if self.head is not None else ()
        return Wanted(route.bundle, tuple(segments.values()), origins, self._elsewhere(route, ordered))

    def _elsewhere(self, route: pb.Route, plans: Sequence[StagePlan]) -> dict[str, str]:
        """Blobs that only plans of other bundles need, and where they come from."""
        sources: dict[str, str] = {}
        for plan in plans:
            for digest in self._blobs(plan):
                if sources.get(digest) != route.bundle:
                    sources[digest] = plan.origin.bundle
        return {digest: bundle for digest, bundle in sources.items() if bundle != route.bundle}

    def _blobs(self, plan: StagePlan) -> set[str]:
        own = {digest for segment in plan.own_segments for digest in (segment.blob, *segment.weights)}
        return own | set(plan.origin.golden) if self.head is not None else own

    async def _connect(self, route: pb.Route) -> None:
        names = [found.tier for found in route.tiers]
        at = names.index(self._tier) + 1
        link = self._pipeline.link
        if link is not None and (at == len(names) or link.target != names[at]):
            self._pipeline.link = None
            await link.close()
        if at == len(names):
            return
        if self._pipeline.link is None:
            self._pipeline.link = Link(self._tier, names[at], self._changed, self._dial)
        self._pipeline.link.budget_bps = route.probe_budget_bps
        await self._pipeline.link.update(route.tiers[at].addresses)

    def _progressed(self) -> None:
        if self.head is not None:
            self.head.golden = self._loading.golden
        self._changed()

    def _lead(self, route: pb.Route, plans: Mapping[str, StagePlan]) -> None:
        if self.head is None or self.inference is None:
            return
        old = {digest: plan for digest, plan in self.head.plans.items() if digest == self.head.active}
        self.inference.model = route.model
        self.head.golden = self._loading.golden
        self.head.update({**old, **plans}, route.selected, route.fallback, steered=steers(route))

    async def _sweep(self) -> None:
        """Drop plans that no route names, nothing runs and nobody will ask for, and the segments only they needed."""
        now = time.monotonic()
        using = {*self._pipeline.in_flight, *self._active_key()}
        gone = [key for key, since in self._retired.items() if key not in using and now - since > _GRACE_S]
        for key in gone:
            del self._retired[key]
        if gone:
            self._forget(gone)
        if self._pipeline.rested():
            await self._loading.trim()
        needed = {segment.blob for plan in self._servicer.plans.values() for segment in plan.own_segments}
        surplus = self._pipeline.pool.loaded - needed - set(self._pipeline.blobs_in_use)
        if surplus:
            await self._loading.drop(surplus)
            self._changed()

    def _forget(self, gone: Collection[str]) -> None:
        kept = {key: plan for key, plan in self._servicer.plans.items() if key not in gone}
        self._servicer.keep(kept)
        if self.head is not None:
            known = {digest: plan for digest, plan in self.head.plans.items() if plan.key in kept}
            self.head.update(known, self.head.selected, self.head.fallback, steered=self.head.steered)
            self.head.keep({plan.digest for plan in kept.values()})

    def _active_key(self) -> list[str]:
        plan = self.head.plans.get(self.head.active or "") if self.head is not None else None
        return [plan.key] if plan is not None else []

    def _watch_peers(self) -> None:
        link = self._pipeline.link
        found = link.instances if link is not None else frozenset()
        if not found:
            return
        # One more stage, or one less, leaves those that have proven themselves.
        if self._instances and not found & self._instances and self.head is not None:
            self.head.distrust_remote()
        self._instances = found

    def _remember(self, route: pb.Route) -> None:
        if self._state is None:
            return
        try:
            _replace(self._state, route.SerializeToString())
        except OSError as error:  # a stage that cannot keep a route can still serve it
            _log.warning("the route cannot be kept in %s: %s", self._state, error.strerror)

    def _recall(self) -> None:
        if self._state is None or not self._state.exists():
            return
        try:
            self.offer(pb.Route.FromString(self._state.read_bytes()))
        except (OSError, DecodeError, InputError) as error:
            self.refusal = f"the kept route cannot be read: {error}"

    async def close(self) -> None:
        """Close the link, and stop what is on its way."""
        if self._pipeline.link is not None:
            await self._pipeline.link.close()
        self._loading.close()


def _replace(path: Path, data: bytes) -> None:
    """Make `data` the file's content, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise

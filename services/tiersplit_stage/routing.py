"""Takes routes: compiles their plans, loads what is missing, drops what nothing needs any more."""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from tiersplit_core.errors import InputError, TiersplitError
from tiersplit_stage.golden import Golden
from tiersplit_stage.link import Link
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.plans import StagePlan, compile_plans
from tiersplit_stage.pool import BlobStore, SegmentPool
from tiersplit_stage.servicer import ActivationsServicer
from tiersplit_stage.sessions import trim_heap
from tiersplit_wire.v1 import route_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.head import Head
    from tiersplit_stage.inference import InferenceServicer

_GRACE_S = 2.0
_SWEEP_S = 0.25


class Router:
    """Turns the newest route into plans, sessions and connections.

    Args:
        deployment: whose routes are taken.
        tier: this stage's tier.
        store: the bundle's blobs.
        pool: where segments are loaded.
        pipeline: gets the link to the next tier.
        servicer: gets the plans.
        state: file that keeps the last route for a start without controller; None: none is kept.
        changed: called when there is something to report.
    """

    def __init__(
        self,
        deployment: str,
        tier: str,
        store: BlobStore,
        pool: SegmentPool,
        pipeline: Pipeline,
        servicer: ActivationsServicer,
        changed: Callable[[], None],
        state: Path | None,
    ) -> None:
        self.route: pb.Route | None = None
        self.problem = ""
        self.head: Head | None = None
        self.inference: InferenceServicer | None = None
        self._deployment, self._tier, self._store, self._pool = deployment, tier, store, pool
        self._pipeline, self._servicer, self._changed, self._state = pipeline, servicer, changed, state
        self._offered: pb.Route | None = None
        self._news = asyncio.Event()
        self._loader = ThreadPoolExecutor(1, "load")
        self._retired: dict[str, float] = {}
        self._verifying: asyncio.Task[None] | None = None
        self._instances: frozenset[str] = frozenset()

    @property
    def epoch(self) -> int:
        """Of the newest route that was taken; 0 before the first."""
        return self.route.epoch if self.route else 0

    @property
    def resident(self) -> list[str]:
        """Ids of the route's segments that are loaded here."""
        return [seg.id for seg in self.route.segments if seg.blob in self._pool.loaded] if self.route else []

    def offer(self, route: pb.Route) -> None:
        """A route came; an older one than was taken or offered is refused."""
        newest = max(self.epoch, self._offered.epoch if self._offered else 0)
        if route.deployment != self._deployment:
            self.problem = f"the route is for {route.deployment!r}, this stage belongs to {self._deployment!r}"
            self._changed()
        elif route.epoch > newest:
            self._offered = route
            self._news.set()

    async def run(self) -> None:
        """Apply offered routes, and drop what nothing needs, for ever."""
        self._recall()
        while True:
            try:
                await asyncio.wait_for(self._news.wait(), _SWEEP_S)
            except TimeoutError:
                await self._sweep()
                self._watch_peers()
                continue
            self._news.clear()
            if self._offered is not None:
                await self._apply(self._offered)

    async def _apply(self, route: pb.Route) -> None:
        try:
            plans = compile_plans(route, self._tier)
            golden = self._golden(route)
        except TiersplitError as error:
            self._offered = None
            self.problem = str(error)
            self._changed()
            return
        now = time.monotonic()
        current = {plan.key: plan for plan in plans.values()}
        retired = {key: self._retired.get(key, now) for key in self._servicer.plans if key not in current}
        self._retired, self._servicer.plans = retired, {**self._servicer.plans, **current}
        self.route, self.problem, self._offered = route, "", None
        self._remember(route)
        await self._connect(route)
        self._lead(route, plans, golden)
        self._changed()
        await self._load(plans)
        self._changed()

    async def _load(self, plans: dict[str, StagePlan]) -> None:
        wanted = {segment.blob: segment for plan in plans.values() for segment in plan.own_segments}
        for blob, segment in wanted.items():
            if self._news.is_set():
                return  # a newer route is here; what it needs matters more
            if blob in self._pool.loaded:
                continue
            try:
                await asyncio.get_running_loop().run_in_executor(self._loader, self._pool.load, segment)
            except TiersplitError as error:
                self.problem = str(error)
            self._changed()

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
            self._pipeline.link = Link(self._tier, names[at])
        self._pipeline.link.budget_bps = route.probe_budget_bps
        await self._pipeline.link.update(route.tiers[at].addresses)

    def _golden(self, route: pb.Route) -> Golden | None:
        return Golden(self._store, route.golden_blobs, route.model) if self.head is not None else None

    def _lead(self, route: pb.Route, plans: dict[str, StagePlan], golden: Golden | None) -> None:
        if self.head is None or self.inference is None or golden is None:
            return
        old = {digest: plan for digest, plan in self.head.plans.items() if digest == self.head.active}
        self.inference.model = route.model
        self.head.update({**old, **plans}, route.selected, route.fallback)
        self.head.golden = golden
        if self._verifying is None:
            self._verifying = asyncio.ensure_future(self.head.verify_all())

    async def _sweep(self) -> None:
        """Drop plans that no route names, nothing runs and nobody will ask for, and the segments only they needed."""
        now = time.monotonic()
        using = {*self._pipeline.in_flight, *self._active_key()}
        gone = [key for key, since in self._retired.items() if key not in using and now - since > _GRACE_S]
        for key in gone:
            del self._retired[key]
        if gone:
            self._servicer.plans = {key: plan for key, plan in self._servicer.plans.items() if key not in gone}
            if self.head is not None:
                known = {digest: plan for digest, plan in self.head.plans.items() if plan.key in self._servicer.plans}
                self.head.update(known, self.head.selected, self.head.fallback)
        if self._pipeline.rested():
            await asyncio.get_running_loop().run_in_executor(self._loader, trim_heap)
        needed = {segment.blob for plan in self._servicer.plans.values() for segment in plan.own_segments}
        surplus = self._pool.loaded - needed - set(self._pipeline.blobs_in_use)
        if surplus:
            await asyncio.get_running_loop().run_in_executor(self._loader, self._pool.drop, surplus)
            self._changed()

    def _active_key(self) -> list[str]:
        plan = self.head.plans.get(self.head.active or "") if self.head is not None else None
        return [plan.key] if plan is not None else []

    def _watch_peers(self) -> None:
        link = self._pipeline.link
        found = link.instances if link is not None else frozenset()
        if found and found - self._instances:
            if self._instances and self.head is not None:
                self.head.distrust_remote()
            self._instances = found

    def _remember(self, route: pb.Route) -> None:
        if self._state is None:
            return
        self._state.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._state.parent, prefix=f".{self._state.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(route.SerializeToString())
        Path(name).replace(self._state)

    def _recall(self) -> None:
        if self._state is None or not self._state.exists():
            return
        try:
            self.offer(pb.Route.FromString(self._state.read_bytes()))
        except (OSError, DecodeError, InputError) as error:
            self.problem = f"the kept route cannot be read: {error}"

    async def close(self) -> None:
        """Stop verifying and close the link."""
        if self._verifying is not None:
            self._verifying.cancel()
        if self._pipeline.link is not None:
            await self._pipeline.link.close()
        self._loader.shutdown(wait=False, cancel_futures=True)

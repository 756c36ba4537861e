"""What a stage keeps of plans that came and went: months of changes must not add up."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.support.stages import MODEL, TinyModel
from tiersplit_stage import routing
from tiersplit_stage.emulation import Emulation
from tiersplit_stage.head import Head
from tiersplit_stage.loading import Loading
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.pool import BlobStore, SegmentPool
from tiersplit_stage.routing import Router
from tiersplit_stage.servicer import ActivationsServicer
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker


class Stage:
    """A head without its processes, whose routes each have one plan and segments of their own."""

    def __init__(self, tiny):
        store, self.metrics = BlobStore(tiny.bundle), StageMetrics()
        pool = SegmentPool(store, 1)
        self.tiny, self.epoch = tiny, 0
        self.pipeline = Pipeline("edge", pool, Worker(4), Stopwatch(Emulation(1.0)), self.metrics)
        servicer = ActivationsServicer(self.pipeline, self.metrics, "edge-1", 8)
        self.router = Router(MODEL, "edge", Loading(store, pool), self.pipeline, servicer, lambda: None, None)
        self.head = Head(self.pipeline, self.metrics, 8, lambda: None)
        self.router.head, self.router.inference = self.head, SimpleNamespace(model=None)

    async def serve(self):
        """Take another route, use its plan and answer with it; what goes is swept."""
        self.epoch += 1
        route = self.tiny.route(self.epoch, ["000"], "", {}, tiers=("edge",))
        route.plans[0].digest = f"plan-{self.epoch}"
        for segment, placed in zip(route.segments, route.plans[0].segments, strict=True):
            placed.segment = segment.id = f"{segment.id}-{self.epoch}"
        await self.router._apply(route)
        plan = self.head.plans[f"plan-{self.epoch}"]
        self.head.use(plan.digest)
        self.answer(plan)
        await self.router._sweep()
        return plan

    def answer(self, plan):
        self.head._answered(plan, SimpleNamespace(outputs=dict.fromkeys(plan.outputs), remote=[]), 0.0)
        for segment in plan.own_segments:
            self.metrics.segment(segment.id, 0.1)

    @property
    def told(self):
        """Plans and segments that a scrape has series of."""
        samples = [sample for family in self.metrics.registry.collect() for sample in family.samples]
        return {found for sample in samples for name, found in sample.labels.items() if name in ("plan", "segment")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return TinyModel(tmp_path_factory.mktemp("forgetting") / "bundle")


@pytest.fixture
def run(tiny, monkeypatch):
    monkeypatch.setattr(routing, "_GRACE_S", -1.0)

    async def alone(scenario):
        stage = Stage(tiny)
        try:
            return await scenario(stage)
        finally:
            await stage.router.close()

    return lambda scenario: asyncio.run(alone(scenario))


def test_plans_and_segments_that_went_are_neither_counted_nor_told_any_more(run):
    async def scenario(stage):
        for _ in range(10):
            await stage.serve()
        return stage

    stage = run(scenario)
    assert set(stage.head.served) == {"plan-10"}
    assert stage.told == {"plan-10", "a-10", "b-10", "c-10"}


def test_a_plan_is_counted_until_the_last_of_its_requests_is_answered(run):
    async def scenario(stage):
        first = await stage.serve()
        stage.pipeline.in_flight[first.key] += 1
        await stage.serve()
        stage.answer(first)
        during = dict(stage.head.served)
        del stage.pipeline.in_flight[first.key]
        await stage.serve()
        return during, stage

    during, stage = run(scenario)
    assert during["plan-1"].answered == 2
    assert set(stage.head.served) == {"plan-3"}


def test_refusals_stay_when_plans_go(run):
    async def scenario(stage):
        stage.metrics.request("", "RESOURCE_EXHAUSTED", 0.0)
        stage.metrics.request("unknown", "FAILED_PRECONDITION", 0.0)
        await stage.serve()
        await stage.serve()
        return stage.told

    assert {"", "unknown", "plan-2"} <= run(scenario)

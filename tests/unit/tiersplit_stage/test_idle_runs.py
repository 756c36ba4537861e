"""A stage that gets no requests still knows how loaded it is."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.stages import TinyModel
from tiersplit_core.errors import ExhaustedError
from tiersplit_stage import idle
from tiersplit_stage.emulation import Emulation
from tiersplit_stage.estimates import Estimates
from tiersplit_stage.idle import IdleRuns
from tiersplit_stage.plans import compile_plans
from tiersplit_stage.pool import BlobStore, SegmentPool
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker
from tiersplit_wire.v1 import route_pb2 as pb


class SlowEmulation(Emulation):
    """Every run takes as long as the test says."""

    def __init__(self, seconds):
        super().__init__(1.0)
        self.seconds, self.runs = seconds, []

    def stretch(self, segment, rows, seconds):
        self.runs.append((segment, rows))
        return self.seconds


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Segments a and b are loaded, c is not; a is the cheaper of all with a profile."""
    monkeypatch.setattr(idle, "_PERIOD_S", 0.005)
    monkeypatch.setattr(idle, "_SHARE", 1.0)
    model = TinyModel(tmp_path / "bundle")
    segments = compile_plans(model.route(1, ["000"], "000", {}), "edge")["000"].segments
    pool = SegmentPool(BlobStore(model.bundle), 1)
    for segment in segments[:2]:
        pool.load(segment)
    pipeline = SimpleNamespace(tier="edge", pool=pool, link=None, segment_seconds={}, resting=9.0)
    pipeline.resting_s, pipeline.worker = lambda: pipeline.resting, Worker(4)
    route = pb.Route()
    for segment, seconds in (("a", 0.2), ("b", 0.3), ("c", 0.1)):
        route.profiles.add(segment=segment, tier="edge", batch=1, seconds=seconds)
    estimates = Estimates(pipeline)
    estimates.follow(route)
    emulation = SlowEmulation(0.6)
    yield IdleRuns(pipeline, estimates, Stopwatch(emulation), lambda: segments), pipeline, estimates, emulation
    pipeline.worker.close()


async def running(runs, condition):
    task = asyncio.ensure_future(runs.run())
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_an_idle_stage_measures_its_cheapest_loaded_segment_and_reports_no_run(made):
    runs, _, estimates, emulation = made
    # The tiny model's widths are not in its ONNX files: blank inputs are what this test gives.
    runs._pipeline.pool.blank = lambda segment: {}
    runs._pipeline.pool.run = lambda segment, values: {}
    asyncio.run(running(runs, lambda: estimates.load.runs >= 30))
    assert set(emulation.runs) == {("a", 1)}
    assert estimates.load.load == pytest.approx(3.0, rel=0.06)
    estimates.gather()
    assert not list(estimates.take_runs())


def test_a_busy_stage_measures_nothing(made):
    runs, pipeline, estimates, emulation = made
    pipeline.resting = 0.0
    looked = []
    pipeline.resting_s = lambda: looked.append(1) or 0.0
    asyncio.run(running(runs, lambda: len(looked) > 5))
    assert (emulation.runs, estimates.load.runs) == ([], 0)


def test_a_segment_whose_shapes_are_not_known_is_left_for_the_next_cheapest(made):
    runs, pipeline, estimates, _ = made
    tried = []
    blank = pipeline.pool.blank
    pipeline.pool.blank = lambda segment: tried.append(segment.id) or blank(segment)
    asyncio.run(running(runs, lambda: len(tried) >= 2))
    assert tried == ["a", "b"]
    assert runs.cheapest() is None
    assert estimates.load.runs == 0


def test_a_full_queue_takes_no_segment_out_of_the_measuring(made):
    runs, pipeline, estimates, _ = made
    pipeline.pool.blank, pipeline.pool.run = lambda segment: {}, lambda segment, values: {}
    free, refused = pipeline.worker.run, []

    async def full_at_first(work, deadline):
        if len(refused) < 2:
            refused.append(1)
            raise ExhaustedError("4 requests wait already")
        return await free(work, deadline)

    pipeline.worker = SimpleNamespace(run=full_at_first, close=pipeline.worker.close)
    asyncio.run(running(runs, lambda: estimates.load.runs >= 1))
    assert runs.cheapest().id == "a"

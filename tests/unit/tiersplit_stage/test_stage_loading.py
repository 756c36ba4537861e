"""Making segments resident: the urgent first, what fails again, and never in the way of a newer route."""

import asyncio
import contextlib
import threading

import pytest

from tests.support.patience import PATIENCE_S
from tests.support.stages import TinyModel
from tiersplit_core.errors import OperationError
from tiersplit_stage import loading
from tiersplit_stage.golden import Golden
from tiersplit_stage.loading import Loading, Wanted
from tiersplit_stage.plans import SegmentInfo, compile_plans
from tiersplit_stage.pool import BlobStore, SegmentPool


class SlowStore(BlobStore):
    """Blobs that come when they are let, or fail."""

    def __init__(self, bundle):
        super().__init__(bundle)
        self.asked, self.failing, self.progress = [], set(), ""
        self.gate, self.waits = threading.Event(), threading.Event()
        self.gate.set()

    def path(self, digest):
        self.asked.append(digest)
        self.waits.set()
        self.gate.wait(PATIENCE_S)
        if digest in self.failing:
            raise OperationError("the registry cannot be reached")
        return super().path(digest)


@pytest.fixture
def model(tmp_path):
    return TinyModel(tmp_path / "bundle")


def segments_of(model):
    return [SegmentInfo(s.id, s.blob, tuple(s.weights), tuple(s.inputs), tuple(s.outputs)) for s in model.segments]


@contextlib.asynccontextmanager
async def running(model):
    store = SlowStore(model.bundle)
    pool = SegmentPool(store, 1)
    made = Loading(store, pool)
    news = asyncio.Event()
    made.changed = news.set
    task = asyncio.ensure_future(made.run())
    try:
        yield made, store, pool, news
    finally:
        store.gate.set()
        task.cancel()
        made.close()


async def until(news, condition):
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await news.wait()
            news.clear()


def wanted(model, *ids, golden=()):
    """These segments, and the golden request in each of these blobs."""
    by_id = {segment.id: segment for segment in segments_of(model)}
    return Wanted("", tuple(by_id[name] for name in ids), [origin_of(model, digest) for digest in golden])


def origin_of(model, golden):
    route = model.route(1, ["000"], "000", {})
    del route.golden_blobs[:]
    route.golden_blobs.append(golden)
    return compile_plans(route, "edge")["000"].origin


def test_segments_become_resident_in_the_order_in_which_they_are_wanted(model):
    async def scenario():
        async with running(model) as (made, store, pool, news):
            order = wanted(model, "c", "a")
            made.want(order)
            await until(news, lambda: len(pool.loaded) == 2)
            blobs = [segment.blob for segment in order.segments]
            assert [digest for digest in dict.fromkeys(store.asked) if digest in blobs] == blobs
            assert (made.problem, made.progress) == ("", "")

    asyncio.run(scenario())


def test_what_fails_is_told_does_not_hold_up_the_rest_and_is_tried_again(model, monkeypatch):
    monkeypatch.setattr(loading, "_BACKOFF_S", (0.01, 0.02))

    async def scenario():
        async with running(model) as (made, store, pool, news):
            first, second = wanted(model, "a", "b").segments
            store.failing = {first.blob}
            made.want(wanted(model, "a", "b"))
            await until(news, lambda: second.blob in pool.loaded)
            assert made.problem == "the registry cannot be reached"
            store.failing = set()
            await until(news, lambda: first.blob in pool.loaded)
            assert made.problem == ""

    asyncio.run(scenario())


def test_a_newer_route_goes_before_what_an_older_one_still_waits_for(model):
    async def scenario():
        async with running(model) as (made, store, pool, news):
            older, newer = wanted(model, "a", "b"), wanted(model, "c")
            store.gate.clear()
            made.want(older)
            await asyncio.to_thread(store.waits.wait, PATIENCE_S)
            assert made.progress == "loading segment a"
            made.want(newer)
            store.gate.set()
            await until(news, lambda: newer.segments[0].blob in pool.loaded)
            assert older.segments[1].blob not in store.asked

    asyncio.run(scenario())


def test_what_is_dropped_while_it_is_wanted_again_comes_back(model):
    async def scenario():
        async with running(model) as (made, _, pool, news):
            made.want(wanted(model, "a"))
            await until(news, lambda: len(pool.loaded) == 1)
            await made.drop(pool.loaded)
            assert not pool.loaded
            await until(news, lambda: len(pool.loaded) == 1)

    asyncio.run(scenario())


def test_a_golden_request_stays_for_routes_with_the_same_and_goes_with_another(model):
    mine, other = origin_of(model, model.golden), model.blob(b"no safetensors file")

    async def scenario():
        async with running(model) as (made, _, _, news):
            made.want(wanted(model, golden=[model.golden]))
            await until(news, lambda: mine in made.golden)
            first = made.golden[mine]
            made.want(wanted(model, "a", golden=[model.golden]))
            assert made.golden[mine] is first
            made.want(wanted(model, golden=[other]))
            assert not made.golden
            await until(news, lambda: made.problem)
            assert other in made.problem

    asyncio.run(scenario())


def test_one_golden_request_that_is_damaged_leaves_those_of_other_bundles(model):
    mine, other = origin_of(model, model.golden), model.blob(b"no safetensors file")

    async def scenario():
        async with running(model) as (made, _, pool, news):
            made.want(wanted(model, "a", golden=[other, model.golden]))
            await until(news, lambda: pool.loaded)
            assert list(made.golden) == [mine]
            assert other in made.problem

    asyncio.run(scenario())


def test_a_golden_blob_that_goes_while_it_is_read_is_tried_again(model):
    class Forgetful(BlobStore):
        def path(self, digest):
            return super().path(digest).with_name("gone")

    origin = compile_plans(model.route(1, ["000"], "000", {}), "edge")["000"].origin
    with pytest.raises(OperationError, match="cannot be read"):
        Golden(Forgetful(model.bundle), origin)

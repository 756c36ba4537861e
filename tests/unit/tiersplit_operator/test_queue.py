"""The work queue on a real loop; every wait is for a condition."""

import asyncio
from collections import Counter

from tests.support.patience import PATIENCE_S
from tiersplit_operator.queue import QueueLimits, WorkQueue
from tiersplit_operator.schedule import Backoff

FAST = QueueLimits(concurrency=2, resync_s=3600.0, work_s=PATIENCE_S, backoff=Backoff(0.001, 0.01))


async def run_until(queue, check):
    """Run the queue until `check` holds."""
    running = asyncio.create_task(queue.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not check():
                await asyncio.sleep(0)
                if running.done():
                    running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_every_key_is_looked_at_and_no_more_than_the_limit_at_once():
    looks, at_once = Counter(), []

    async def main():
        flying = set()

        async def work(key):
            assert key not in flying
            flying.add(key)
            at_once.append(len(flying))
            await asyncio.sleep(0.001)
            flying.remove(key)
            looks[key] += 1

        queue = WorkQueue(work, FAST)
        for key in range(20):
            queue.add(key)
            queue.add(key)
        await run_until(queue, lambda: len(looks) == 20 and not flying)

    asyncio.run(main())
    assert set(looks.values()) == {1}
    assert max(at_once) == 2


def test_a_look_that_fails_is_repeated_and_the_error_is_told():
    told = []

    async def main():
        tries = Counter()

        async def work(key):
            tries[key] += 1
            if tries[key] < 4:
                raise RuntimeError(f"no luck {tries[key]}")

        queue = WorkQueue(work, FAST, failed=lambda key, error: told.append((key, str(error))))
        queue.add("a")
        await run_until(queue, lambda: tries["a"] == 4)

    asyncio.run(main())
    assert told == [("a", "no luck 1"), ("a", "no luck 2"), ("a", "no luck 3")]


def test_a_look_that_hangs_is_ended_and_repeated_while_others_go_on():
    async def main():
        seen = Counter()

        async def work(key):
            seen[key] += 1
            if key == "hangs" and seen[key] == 1:
                await asyncio.Event().wait()

        queue = WorkQueue(work, QueueLimits(1, 3600.0, 0.05, Backoff(0.001, 0.01)))
        queue.add("hangs")
        queue.add("other")
        await run_until(queue, lambda: seen["hangs"] == 2 and seen["other"] == 1)

    asyncio.run(main())


def test_a_key_added_during_its_look_is_looked_at_again():
    async def main():
        seen = []
        queue = None

        async def work(key):
            seen.append(key)
            if len(seen) == 1:
                queue.add(key)

        queue = WorkQueue(work, FAST)
        queue.add("a")
        await run_until(queue, lambda: seen == ["a", "a"])
        assert queue.depth == 1

    asyncio.run(main())


def test_everything_is_looked_at_again_after_the_resync_time_spread_by_chance():
    async def main():
        now = [0.0]
        seen = []

        async def work(key):
            seen.append(key)

        queue = WorkQueue(work, QueueLimits(resync_s=600.0), clock=lambda: now[0], chance=lambda: 0.5)
        queue.add("a")
        await run_until(queue, lambda: seen == ["a"] and not queue._schedule.running)
        assert queue._schedule.next_due() == 600.0 * 0.9
        now[0] = 541.0
        assert queue.lag_s == 1.0
        await run_until(queue, lambda: seen == ["a", "a"])

    asyncio.run(main())


def test_a_queue_that_ends_looks_is_not_still_however_many_keys_wait():
    now = [0.0]

    async def main():
        async def work(key):
            now[0] += 100.0

        queue = WorkQueue(work, QueueLimits(concurrency=1, resync_s=1e6), clock=lambda: now[0])
        for key in range(5):
            queue.add(key)
        await run_until(queue, lambda: now[0] >= 500.0)
        return queue.still_s

    assert asyncio.run(main()) == 0.0
    assert now[0] == 500.0

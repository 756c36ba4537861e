"""A second event loop goes on while the first one is busy."""

import asyncio
import threading

import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_operator.beside import Beside


def test_work_goes_on_while_the_loop_that_waits_for_it_is_busy():
    turns, enough = [], threading.Event()

    async def work():
        while len(turns) < 3:
            turns.append(len(turns))
            await asyncio.sleep(0.001)
        enough.set()
        return sum(turns)

    async def main():
        async with Beside() as beside:
            working = asyncio.create_task(beside.run(work()))
            await asyncio.sleep(0)
            assert enough.wait(PATIENCE_S)  # keeps this loop from everything else
            return await working

    assert asyncio.run(main()) == 3


def test_an_error_over_there_is_raised_here():
    async def fails():
        raise ValueError("no")

    async def main():
        async with Beside() as beside:
            await beside.run(fails())

    with pytest.raises(ValueError, match="no"):
        asyncio.run(main())


def test_who_stops_waiting_stops_the_work_too():
    ended = threading.Event()

    async def waits(began):
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def main():
        began = threading.Event()
        async with Beside() as beside:
            working = asyncio.create_task(beside.run(waits(began)))
            assert await asyncio.to_thread(began.wait, PATIENCE_S)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            assert await asyncio.to_thread(ended.wait, PATIENCE_S)

    asyncio.run(main())

"""Which of several stages gets a request: the least busy one, and of two that are equally busy the other one next."""

import asyncio
from collections import Counter

import pytest

from tiersplit_stage import link as links
from tiersplit_stage.link import Link

ADDRESSES = ("192.0.2.1:9000", "192.0.2.2:9000", "192.0.2.3:9000")


class Stage:
    """A stream to a stage that answers with its address when it is let."""

    def __init__(self, address, *_):
        self.address, self.usable, self.connected = address, True, True
        self.in_flight, self.turn, self.gate = 0, -1, asyncio.Event()
        self.gate.set()

    async def exchange(self, _request_id, _frame):
        self.in_flight += 1
        await self.gate.wait()
        self.in_flight -= 1
        return self.address

    async def close(self):
        self.usable = False


@pytest.fixture
def stages(monkeypatch):
    made = {}
    monkeypatch.setattr(links, "Stream", lambda address, *more: made.setdefault(address, Stage(address, *more)))
    return made


async def linked(count):
    link = Link("edge", "cloud", lambda: None)
    await link.update(ADDRESSES[:count])
    return link


def test_idle_stages_take_turns(stages):
    async def asked():
        link = await linked(3)
        answers = [await link.exchange(b"", b"") for _ in range(9)]
        await link.close()
        return answers

    assert asyncio.run(asked()) == [*ADDRESSES] * 3


def test_a_busy_stage_gets_nothing_while_another_is_idle(stages):
    async def asked():
        link = await linked(2)
        busy = stages[ADDRESSES[0]]
        busy.gate.clear()
        waiting = asyncio.ensure_future(link.exchange(b"", b""))
        await asyncio.sleep(0)
        answers = Counter([await link.exchange(b"", b"") for _ in range(4)])
        busy.gate.set()
        answers[await waiting] += 1
        await link.close()
        return answers

    assert asyncio.run(asked()) == {ADDRESSES[0]: 1, ADDRESSES[1]: 4}


def test_a_stage_that_comes_is_asked_next_and_one_that_goes_is_not_asked(stages):
    async def asked():
        link = await linked(2)
        for _ in range(4):
            await link.exchange(b"", b"")
        stages[ADDRESSES[0]].retire = lambda _: asyncio.sleep(0)
        await link.update(ADDRESSES[1:])
        answers = [await link.exchange(b"", b"") for _ in range(4)]
        await link.close()
        return answers

    assert asyncio.run(asked()) == [ADDRESSES[2], ADDRESSES[1]] * 2

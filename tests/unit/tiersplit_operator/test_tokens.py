"""Whom tokens belong to: good ones are answered whatever garbage others show."""

import asyncio
from types import SimpleNamespace

import grpc
import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_core.errors import OperationError
from tiersplit_operator import tokens as module
from tiersplit_operator.tokens import (
    KNOWN_S,
    MAX_OF_PEER,
    MAX_REVIEWS,
    MAX_WAITING_OF_PEER,
    REFUSED_S,
    RefusedError,
    TokenReviews,
)

POD = SimpleNamespace(namespace="shop", pod_uid="p-1")


class Api:
    """Knows one kind of good token; answers wait for a gate."""

    def __init__(self):
        self.asked, self.under_way, self.most, self.good = [], 0, 0, "good"
        self.gate = asyncio.Event()
        self.gate.set()

    async def review_token(self, token, audience):
        self.asked.append(token)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
        finally:
            self.under_way -= 1
        if token == "broken":
            raise OperationError("no answer")
        return POD if token.startswith(self.good) else None


class World:
    def __init__(self):
        self.api, self.now = Api(), 1000.0
        self.reviews = TokenReviews(self.api, lambda: self.now)

    async def shown(self, token, peer="ipv4:10.0.0.1"):
        """Who it is, or the status that refuses it."""
        try:
            return await self.reviews.identity(token, peer)
        except RefusedError as refused:
            return refused.code


def run(work):
    async def main():
        world = World()
        await asyncio.wait_for(work(world), PATIENCE_S)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("token", "answer", "kept_s"), [("good", POD, KNOWN_S), ("bad", grpc.StatusCode.UNAUTHENTICATED, REFUSED_S)]
)
def test_an_answer_is_believed_for_a_while_a_refusal_shortly(token, answer, kept_s):
    async def work(world):
        for after_s, asked in ((0, 1), (kept_s - 0.5, 1), (1, 2)):
            world.now += after_s
            assert await world.shown(token) == answer
            assert len(world.api.asked) == asked

    run(work)


def test_a_token_that_was_refused_too_early_is_good_ten_seconds_later():
    async def work(world):
        world.api.good = "nothing"
        assert await world.shown("good") == grpc.StatusCode.UNAUTHENTICATED
        world.api.good = "good"
        world.now += REFUSED_S
        assert await world.shown("good") == POD

    run(work)


def test_a_peer_that_shows_garbage_without_end_keeps_no_other_peer_waiting():
    async def work(world):
        world.api.gate.clear()
        garbage = [asyncio.create_task(world.shown(f"bad {i}", "ipv4:10.0.0.66")) for i in range(1000)]
        while world.api.under_way < MAX_OF_PEER:
            await asyncio.sleep(0)
        refused = [task for task in garbage if task.done()]
        assert len(refused) == 1000 - MAX_WAITING_OF_PEER
        assert {task.result() for task in refused} == {grpc.StatusCode.UNAVAILABLE}
        others = [asyncio.create_task(world.shown(f"good {i}", f"ipv4:10.0.1.{i}")) for i in range(20)]
        while world.api.under_way < MAX_REVIEWS:
            await asyncio.sleep(0)
        assert sum(token.startswith("bad") for token in world.api.asked) == MAX_OF_PEER
        world.api.gate.set()
        assert await asyncio.gather(*others) == [POD] * 20
        await asyncio.gather(*garbage)
        assert world.api.most == MAX_REVIEWS
        assert world.reviews._peers == {}

    run(work)


def test_garbage_pushes_no_good_token_out_of_memory(monkeypatch):
    monkeypatch.setattr(module, "MAX_REFUSED", 10)

    async def work(world):
        await world.shown("good")
        for i in range(100):
            await world.shown(f"bad {i}")
        asked = len(world.api.asked)
        assert await world.shown("good") == POD
        assert len(world.api.asked) == asked
        assert len(world.reviews._refused) == 10

    run(work)


def test_an_api_server_that_does_not_answer_refuses_nobody_for_good():
    async def work(world):
        for _ in range(2):
            assert await world.shown("broken") == grpc.StatusCode.UNAVAILABLE
        assert world.api.asked == ["broken", "broken"]
        assert world.reviews._peers == {}

    run(work)

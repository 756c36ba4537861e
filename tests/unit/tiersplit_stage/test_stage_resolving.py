"""Names of stages: every address behind them is used, and the last known ones stay while nobody answers."""

import asyncio
import contextlib

import pytest

from tests.support.patience import PATIENCE_S
from tiersplit_stage.resolving import Endpoint, Resolver, join, look_up, split

NAME = "tiny-cloud.default.svc:9000"


class Names:
    """A resolver of names that the test steers."""

    def __init__(self):
        self.answers, self.asked, self.hanging = {}, 0, False
        self.release = asyncio.Event()

    async def __call__(self, host, port):
        self.asked += 1
        if self.hanging:
            await self.release.wait()
        if host not in self.answers:
            raise OSError("nobody answers")
        return self.answers[host]


class Seen:
    def __init__(self):
        self.endpoints, self.changed = frozenset(), asyncio.Event()

    async def __call__(self, endpoints):
        self.endpoints = endpoints
        self.changed.set()

    async def until(self, *endpoints):
        async with asyncio.timeout(PATIENCE_S):
            while self.endpoints != set(endpoints):
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def running(period_s=0.01, timeout_s=PATIENCE_S):
    names, seen = Names(), Seen()
    resolver = Resolver(seen, names, period_s, timeout_s)
    task = asyncio.ensure_future(resolver.run())
    try:
        yield names, seen, resolver
    finally:
        names.release.set()
        task.cancel()


def behind(*hosts):
    return [Endpoint(join(host, 9000), "tiny-cloud.default.svc") for host in hosts]


def test_every_address_behind_a_name_is_an_endpoint_that_keeps_the_name_for_its_certificate():
    async def scenario():
        async with running() as (names, seen, resolver):
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1", "fd00::2"]
            await resolver.point([NAME, "10.9.9.9:9000"])
            await seen.until(*behind("10.0.0.1", "fd00::2"), Endpoint("10.9.9.9:9000"))
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1", "10.0.0.3"]
            await seen.until(*behind("10.0.0.1", "10.0.0.3"), Endpoint("10.9.9.9:9000"))

    asyncio.run(scenario())


def test_an_address_needs_no_lookup_and_is_there_at_once():
    async def scenario():
        async with running() as (names, seen, resolver):
            await resolver.point(["127.0.0.1:5", "[::1]:6"])
            assert seen.endpoints == {Endpoint("127.0.0.1:5"), Endpoint("[::1]:6")}
            assert names.asked == 0

    asyncio.run(scenario())


def test_the_last_known_addresses_stay_while_names_cannot_be_looked_up_or_have_none():
    async def scenario():
        async with running() as (names, seen, resolver):
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1"]
            await resolver.point([NAME])
            await seen.until(*behind("10.0.0.1"))
            for answers in ({}, {"tiny-cloud.default.svc": []}):
                names.answers, asked = answers, names.asked
                async with asyncio.timeout(PATIENCE_S):
                    while names.asked < asked + 3:
                        seen.changed.clear()
                        await seen.changed.wait()
                assert seen.endpoints == set(behind("10.0.0.1"))
            names.answers = {"tiny-cloud.default.svc": ["10.0.0.2"]}
            await seen.until(*behind("10.0.0.2"))

    asyncio.run(scenario())


def test_a_name_that_no_route_gives_any_more_is_left():
    async def scenario():
        async with running() as (names, seen, resolver):
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1"]
            await resolver.point([NAME])
            await seen.until(*behind("10.0.0.1"))
            await resolver.point(["10.0.0.9:1"])
            assert seen.endpoints == {Endpoint("10.0.0.9:1")}

    asyncio.run(scenario())


def test_a_lookup_that_hangs_is_never_started_twice_and_counts_when_it_answers():
    async def scenario():
        async with running(timeout_s=0.01) as (names, seen, resolver):
            names.hanging = True
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1"]
            await resolver.point([NAME])
            for _ in range(5):
                seen.changed.clear()
                await asyncio.wait_for(seen.changed.wait(), PATIENCE_S)
            assert names.asked == 1
            names.release.set()
            await seen.until(*behind("10.0.0.1"))

    asyncio.run(scenario())


def test_a_loss_is_looked_into_before_the_period_is_over():
    async def scenario():
        async with running(period_s=3600.0) as (names, seen, resolver):
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.1"]
            await resolver.point([NAME])
            await seen.until(*behind("10.0.0.1"))
            names.answers["tiny-cloud.default.svc"] = ["10.0.0.2"]
            resolver.look_again()
            await seen.until(*behind("10.0.0.2"))

    asyncio.run(scenario())


def test_the_systems_resolver_knows_this_machine_and_fails_with_an_os_error():
    assert "127.0.0.1" in asyncio.run(look_up("localhost", 9000))
    with pytest.raises(OSError, match=r".+"):
        asyncio.run(look_up("no-such-host.invalid", 9000))


@pytest.mark.parametrize("address", ["host:1", "10.0.0.1:2", "[::1]:3"])
def test_an_address_is_the_same_after_splitting_and_joining(address):
    assert join(*split(address)) == address

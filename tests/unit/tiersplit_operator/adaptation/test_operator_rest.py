"""What resources at rest cost: looks are counted in virtual time."""

import asyncio

import pytest

from tests.support.adaptation import KEY, PLACES, Api, fleet, head, link, plans, resource, target
from tests.support.virtual_time import VirtualLoop
from tests.unit.tiersplit_operator.adaptation.test_operator_samples import pair
from tiersplit_operator.adaptation.fleet import LONGEST_PAUSE_S, LOOKS_PER_TICK, TICK_S
from tiersplit_operator.adaptation.member import Member
from tiersplit_operator.adaptation.polling import Poller
from tiersplit_operator.adaptation.queries import Metric, default_query
from tiersplit_operator.facts import Key, Owner
from tiersplit_wire.v1 import route_pb2 as pb

PERIOD_S = 5
REST_S = 1400.5
"""Over between two rounds of asking Prometheus, which come at multiples of the period."""


class Source:
    """Prometheus: what it answers can be set."""

    def __init__(self):
        self.rate, self.hangs = None, ""

    async def query(self, server, promql, timeout_s):
        if promql == self.hangs:
            await asyncio.sleep(3600)
        return pair(self.rate, name=KEY.name) if self.rate and promql == default_query(Metric.BANDWIDTH) else []


class World:
    """A fleet in virtual time, and how often each resource was looked at."""

    def __init__(self, patch, count=1, telemetry=None, **adaptation):
        self.loop, self.looks, whole = VirtualLoop(), [], Member.look

        def look(member, now):
            self.looks.append((now, member.owner.key))
            return whole(member, now)

        patch.setattr(Member, "look", look)
        self.api, self.source = Api(), Source()
        poller = Poller(self.source, "http://prometheus.test:9090", self.loop.time)
        self.fleet, self.changed, _ = fleet(self.api, clock=self.loop.time, poller=poller)
        self.keys = [KEY, *(Key("shop", f"net-{i}") for i in range(1, count))]
        wanted = {"pollingPeriodSeconds": PERIOD_S, **adaptation}
        asyncio.run(self._adopted(wanted, telemetry))

    async def _adopted(self, wanted, telemetry):
        for key in self.keys:
            made = resource(adaptation=wanted, name=key.name, telemetry=telemetry)
            await self.fleet.adopt(target(wanted=made, owner=Owner(key, key.name)), None)

    def report(self, **more):
        route = self.api.route()
        views = [link(PLACES[0], more.pop("rate", 1e7))]
        self.fleet.report(KEY, head(plans(), route.selected, epoch=route.epoch, estimates=views, **more))

    def run(self, scenario):
        async def main():
            running = asyncio.create_task(self.fleet.run())
            try:
                await scenario()
            finally:
                running.cancel()
                await asyncio.wait({running})

        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(main())

    def seen_within(self, seconds):
        return [key for at, key in self.looks if at > self.loop.time() - seconds]


def test_a_hundred_resources_whose_heads_never_report_cost_ten_looks_in_a_minute(monkeypatch):
    world = World(monkeypatch, 100)

    async def rest():
        await asyncio.sleep(REST_S)
        world.changed.clear()
        await asyncio.sleep(LONGEST_PAUSE_S)
        seen = world.seen_within(LONGEST_PAUSE_S)
        assert all(seen.count(key) == 1 for key in world.keys)
        assert world.changed == []

    world.run(rest)


def test_resources_that_are_due_together_are_looked_at_tick_by_tick(monkeypatch):
    ticks = 3
    world = World(monkeypatch, ticks * LOOKS_PER_TICK)
    world.looks.clear()

    async def begin():
        await asyncio.sleep((ticks + 1) * TICK_S)
        assert sorted(key for _, key in world.looks) == sorted(world.keys)
        times = [at for at, _ in world.looks]
        assert max(times.count(at) for at in times) == LOOKS_PER_TICK

    world.run(begin)


def test_what_prometheus_says_otherwise_of_a_resource_at_rest_ends_its_rest_for_as_long_as_polls_may_fail(monkeypatch):
    world = World(monkeypatch)

    async def wake():
        await asyncio.sleep(REST_S)
        world.source.rate = 1e6
        await asyncio.sleep(60)
        assert 3 <= len(world.seen_within(60)) <= 7
        assert len(world.seen_within(10)) <= 1

    world.run(wake)


def test_heads_that_report_are_looked_at_in_each_period_and_those_that_fell_silent_less_and_less(monkeypatch):
    world = World(monkeypatch)

    async def live():
        for _ in range(600):
            world.report()
            await asyncio.sleep(1)
        per_minute = len(world.seen_within(300)) / 5
        assert 60 / PERIOD_S <= per_minute + 1 <= 60 / PERIOD_S + 2
        await asyncio.sleep(REST_S)
        assert len(world.seen_within(LONGEST_PAUSE_S)) == 1
        assert world.fleet.view(KEY).fallback

    world.run(live)


def test_a_report_after_long_silence_is_acted_on_at_once_and_the_next_looks_come_in_their_period(monkeypatch):
    world = World(monkeypatch)

    async def wake():
        await asyncio.sleep(REST_S)
        looked = len(world.looks)
        world.report()
        await asyncio.sleep(0.3)
        assert len(world.looks) == looked + 1
        for _ in range(60):
            world.report()
            await asyncio.sleep(1)
        assert len(world.looks) - looked >= 60 / PERIOD_S

    world.run(wake)


def test_what_prometheus_answers_differently_ends_the_pause_within_a_period(monkeypatch):
    world = World(monkeypatch)

    async def wake():
        await asyncio.sleep(REST_S)
        world.source.rate = 2e6
        await asyncio.sleep(2 * PERIOD_S + 1)
        assert world.fleet.view(KEY).links[0].bandwidth_bps == 2e6
        assert world.seen_within(PERIOD_S + 1) == [KEY]

    world.run(wake)


async def fallbacks(world, seconds):
    """What is said of a resource second by second."""
    said = set()
    for _ in range(seconds):
        await asyncio.sleep(1)
        said.add(world.fleet.view(KEY).fallback)
    return said


def test_of_a_resource_whose_stages_never_reported_nothing_has_failed_between_two_looks(monkeypatch):
    world = World(monkeypatch)

    async def rest():
        assert await fallbacks(world, int(REST_S + LONGEST_PAUSE_S)) == {""}
        assert len(world.seen_within(LONGEST_PAUSE_S)) == 1

    world.run(rest)


@pytest.mark.parametrize("threshold", [1, 3])
def test_a_first_report_that_knows_no_link_yet_is_no_observation_that_failed(monkeypatch, threshold):
    world = World(monkeypatch, fallback={"failureThreshold": threshold, "behavior": "FirstTier"})

    async def start():
        await asyncio.sleep(REST_S + PERIOD_S - 1)
        world.fleet.report(KEY, head(plans(), world.api.route().selected, epoch=world.api.route().epoch))
        assert world.fleet.view(KEY).fallback == ""
        assert await fallbacks(world, threshold * PERIOD_S - 1) == {""}
        assert "no head reports its link" in "".join(await fallbacks(world, 2 * PERIOD_S))

    world.run(start)


def test_what_prometheus_alone_sees_is_observed_between_two_looks_and_for_a_while_after_it_is_gone(monkeypatch):
    world = World(monkeypatch)

    async def lose():
        world.report()
        world.source.rate = 2e6
        await asyncio.sleep(REST_S)
        assert await fallbacks(world, int(LONGEST_PAUSE_S)) == {""}
        assert len(world.seen_within(LONGEST_PAUSE_S)) == 1
        world.source.rate = None
        assert await fallbacks(world, 2 * PERIOD_S) == {""}
        assert await fallbacks(world, 2 * PERIOD_S) != {""}

    world.run(lose)


def test_a_resource_whose_own_query_hangs_rests_as_any_other_and_tells_it_once(monkeypatch):
    telemetry = {"prometheus": {"bandwidthQuery": "mine"}}
    world = World(monkeypatch, telemetry=telemetry)

    async def outage():
        world.source.hangs = "mine"
        await asyncio.sleep(REST_S)
        assert "does not answer in time" in world.fleet.view(KEY).fallback
        world.changed.clear()
        await asyncio.sleep(LONGEST_PAUSE_S)
        assert len(world.seen_within(LONGEST_PAUSE_S)) <= 2
        assert world.changed == []

    world.run(outage)


@pytest.mark.parametrize("threshold", [1, 60])
def test_a_resource_does_not_rest_before_its_observations_have_failed_for_good(monkeypatch, threshold):
    world = World(monkeypatch, fallback={"failureThreshold": threshold, "behavior": "FirstTier"})

    async def fail():
        for _ in range(20):
            world.report()
            await asyncio.sleep(1)
        blind_s = 0
        while world.api.route().guidance.mode != pb.Guidance.MODE_FOLLOW_SELECTED:
            await asyncio.sleep(1)
            blind_s += 1
        assert (threshold - 1) * PERIOD_S <= blind_s <= (threshold + 2) * PERIOD_S

    world.run(fail)

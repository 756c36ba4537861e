"""How often Prometheus is asked: queries are counted in virtual time, over mixes of polling periods."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adaptation import PLACES, Api, fleet, resource, target
from tests.support.virtual_time import VirtualLoop
from tests.unit.tiersplit_operator.adaptation.test_operator_samples import pair
from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_operator.adaptation.polling import Poller
from tiersplit_operator.adaptation.queries import Metric, default_query
from tiersplit_operator.adaptation.rounds import Rounds, Watched
from tiersplit_operator.facts import Key, Owner

SERVER = "http://prometheus.test:9090"
DEFAULTS = {default_query(metric) for metric in Metric}
BANDWIDTH = default_query(Metric.BANDWIDTH)
LINK = (Metric.BANDWIDTH, PLACES[0])


class Server:
    """Writes down when it is asked what; queries take seconds by what their text begins with."""

    def __init__(self, **seconds):
        self.asked, self.seconds = [], seconds

    async def query(self, server, promql, timeout_s):
        self.asked.append((asyncio.get_running_loop().time(), promql))
        default = promql in DEFAULTS
        await asyncio.sleep(self.seconds.get("default" if default else promql.partition("_")[0], 0.0))
        if default:
            return [sample for name in ("plain_0", "plain_1") for sample in pair(1e6, name=name)]
        return pair(5e6)

    def times(self, promql):
        return [at for at, query in self.asked if query == promql]


def own(name, period_s, *, known=True):
    """A resource with a query of its own, which its name says."""
    return {Key("shop", name): Watched(period_s, Prometheus(bandwidthQuery=name), known)}


class World:
    """Rounds over resources that a test may change; what each was told, with the second."""

    def __init__(self, watched, server=None):
        self.watched, self.server, self.told = dict(watched), server or Server(), []

    def tell(self, key, answer):
        self.told.append((asyncio.get_running_loop().time(), key, answer))
        found = self.watched[key]
        self.watched[key] = Watched(found.period_s, found.queries, True)

    def run(self, seconds, meanwhile=None):
        async def main():
            loop = asyncio.get_running_loop()
            poller = Poller(self.server, SERVER, loop.time)
            running = asyncio.create_task(Rounds(poller, lambda: self.watched, self.tell, loop.time).run())
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(seconds)
            running.cancel()
            await asyncio.wait({running})

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
        return self

    def answers(self, name):
        return [(at, answer) for at, key, answer in self.told if key.name == name]


def mix(periods, known):
    return {
        key: made
        for i, period_s in enumerate(periods)
        for key, made in own(f"mine_{i}", float(period_s), known=known).items()
    }


SECONDS = 60
PERIODS = st.one_of(st.integers(1, 12), st.integers(1, 3600))


def due(period_s, known):
    """Seconds at which a resource of this period is due, time beginning at 1000."""
    return {float(at) for at in range(1000, 1000 + SECONDS) if at % period_s == 0 or (at == 1000 and not known)}


@given(st.lists(PERIODS, min_size=1, max_size=10), st.booleans())
def test_each_resource_is_asked_about_in_its_own_period_and_groups_that_meet_share_the_default_queries(periods, known):
    asked = World(mix(periods, known)).run(SECONDS - 0.5).server
    for i, period_s in enumerate(periods):
        assert asked.times(f"mine_{i}") == sorted(due(period_s, known))
    seconds = sorted(set().union(*(due(period_s, known) for period_s in periods)))
    assert all(asked.times(query) == seconds for query in DEFAULTS)
    assert len(seconds) <= min(SECONDS, sum(-(-SECONDS // period_s) for period_s in set(periods)) + 1)


def test_a_thousand_resources_of_one_period_cost_one_query_per_metric_and_period():
    plain = {Key("shop", f"net-{i}"): Watched(5.0, Prometheus(), True) for i in range(1000)}
    asked = Counter(query for _, query in World(plain).run(59.5).server.asked)
    assert asked == dict.fromkeys(DEFAULTS, 60 // 5)


def test_a_short_period_makes_nobody_elses_queries_more_frequent_nor_cuts_them_off():
    resources = own("fast", 1.0) | own("slow_a", 10.0) | own("slow_b", 10.0)
    world = World(resources, Server(slow=1.5)).run(600)
    per_minute = Counter(query for at, query in world.server.asked if at < 1060)
    assert (per_minute["fast"], per_minute["slow_a"], per_minute["slow_b"]) == (60, 6, 6)
    assert all(per_minute[query] == 60 for query in DEFAULTS)
    assert all(not problem for _, (_, problem) in [*world.answers("slow_a"), *world.answers("slow_b")])


def test_a_server_that_takes_longer_than_a_short_period_allows_still_answers_the_longer_ones():
    plain = {f"plain_{i}": period_s for i, period_s in enumerate((1.0, 5.0))}
    resources = {Key("shop", name): Watched(period_s, Prometheus(), True) for name, period_s in plain.items()}
    world = World(resources, Server(default=2.0)).run(60)
    assert {problem for _, (_, problem) in world.answers("plain_0")} == {"Prometheus does not answer in time"}
    assert all(seen.values[LINK] == 1e6 and not problem for _, (seen, problem) in world.answers("plain_1"))
    assert len(world.answers("plain_1")) == 12


def test_a_groups_answers_are_told_at_once_though_another_group_of_the_same_round_still_waits():
    world = World(own("fast", 1.0) | own("slow", 10.0), Server(slow=1.9)).run(9.5)
    assert [at for at, _ in world.answers("fast")] == [1000.0 + second for second in range(10)]
    assert [at for at, _ in world.answers("slow")] == [1001.9]


@pytest.mark.parametrize("period_s", [1.0, 10.0])
def test_many_queries_that_take_long_in_one_group_keep_no_other_group_from_its_places(period_s):
    slow = {key: made for i in range(200) for key, made in own(f"slow_{i}", 60.0 if period_s == 1.0 else 2.0).items()}
    world = World(own("fine", period_s) | slow, Server(slow=1.0)).run(120)
    assert len(world.answers("fine")) >= 120 // period_s
    assert all(not problem for _, (_, problem) in world.answers("fine"))


def test_a_resource_that_nobody_asked_about_yet_waits_for_no_round_of_its_group():
    world = World({})

    async def adopted():
        await asyncio.sleep(7.3)
        world.watched |= own("late", 3600.0, known=False)

    world.run(60, adopted)
    assert world.server.times("late") == [1008.0]


def test_a_resource_whose_answer_is_awaited_is_not_asked_about_a_second_time():
    world = World({}, Server(default=3.0))

    async def adopted():
        await asyncio.sleep(8.3)
        world.watched |= own("late", 5.0, known=False)

    world.run(20, adopted)
    assert world.server.times("late") == [1009.0, 1015.0, 1020.0, 1025.0]


def test_an_operator_that_stood_still_asks_once_for_all_the_rounds_that_it_missed():
    world = World(own("mine", 1.0) | own("other", 7.0))

    async def stall():
        await asyncio.sleep(2.5)
        asyncio.get_running_loop()._jump.now_s += 30.0

    world.run(2, stall)
    assert world.server.times("mine") == [1000.0, 1001.0, 1002.0, 1032.5, 1033.0, 1034.0]
    assert world.server.times("other") == [1001.0, 1032.5]


def test_a_fleet_asks_about_each_of_its_resources_in_its_manifests_period():
    server, loop = Server(), VirtualLoop()
    made, _, _ = fleet(Api(), clock=loop.time, poller=Poller(server, SERVER, loop.time))

    async def adopted():
        for period_s in (1, 4, 60):
            name = f"net-{period_s}"
            telemetry = {"prometheus": {"bandwidthQuery": f"mine_{period_s}"}}
            wanted = resource(adaptation={"pollingPeriodSeconds": period_s}, name=name, telemetry=telemetry)
            await made.adopt(target(wanted=wanted, owner=Owner(Key("shop", name), name)), None)

    async def main():
        await adopted()
        running = asyncio.create_task(made.run())
        await asyncio.sleep(119.5)
        running.cancel()
        await asyncio.wait({running})

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    # 1000 is a multiple of the first two periods; the last resource is asked about at once, then at 1020 and 1080.
    assert [len(server.times(f"mine_{period_s}")) for period_s in (1, 4, 60)] == [120, 30, 3]
    assert [len(server.times(query)) for query in sorted(DEFAULTS)] == [120] * len(Metric)

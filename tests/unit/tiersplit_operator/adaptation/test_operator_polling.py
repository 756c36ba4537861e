"""Asking for all resources at once: how often, how long, and what becomes of each one's answer."""

import asyncio
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adaptation import KEY, PLACES
from tests.support.virtual_time import VirtualLoop, run_virtually
from tests.unit.tiersplit_operator.adaptation.test_operator_samples import pair
from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_core.errors import OperationError
from tiersplit_operator.adaptation.polling import AT_ONCE, HUNG_AT_ONCE, Poller
from tiersplit_operator.adaptation.queries import Metric, default_query
from tiersplit_operator.adaptation.samples import Sample, Seen
from tiersplit_operator.adaptation.slowness import MAX_REMEMBERED, Slowness
from tiersplit_operator.adaptation.telemetry import Telemetry
from tiersplit_operator.facts import Key

SERVER = "http://prometheus.test:9090"
BANDWIDTH = default_query(Metric.BANDWIDTH)
PLAIN = Prometheus()
OWN = Prometheus(bandwidthQuery="my_bandwidth")


class Source:
    """Answers queries by their text; what it does not know it has no samples of."""

    def __init__(self, **answers):
        self.answers, self.asked, self.now, self.most, self.hangs = answers, [], 0, 0, False

    async def query(self, server, promql, timeout_s):
        assert server == SERVER
        self.asked.append(promql)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(3600 if self.hangs else 0)
        finally:
            self.now -= 1
        answer = self.answers.get(promql, [])
        if isinstance(answer, Exception):
            raise answer
        return answer


def poll(source, resources, period_s=1.0):
    async def main():
        return await Poller(source, SERVER, asyncio.get_running_loop().time).poll(resources, period_s)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


def test_one_query_per_metric_serves_any_number_of_resources():
    keys = [Key("shop", f"net-{i}") for i in range(500)]
    source = Source(**{BANDWIDTH: [sample for key in keys for sample in pair(1e6, name=key.name)]})
    found = poll(source, dict.fromkeys(keys, PLAIN))
    assert len(source.asked) == len(Metric)
    assert all(found[key] == (Seen({(Metric.BANDWIDTH, PLACES[0]): 1e6}), "") for key in keys)


def test_a_resources_own_query_stands_in_place_of_the_default_one():
    answers = {
        BANDWIDTH: pair(1e6),
        "my_bandwidth": [Sample({"source": "edge", "target": "mdc"}, 5e6)],
    }
    found = poll(Source(**answers), {KEY: OWN, Key("shop", "other"): PLAIN})
    assert found[KEY][0].values[Metric.BANDWIDTH, PLACES[0]] == 5e6


def test_a_default_query_that_fails_is_said_of_everybody_but_those_with_their_own():
    answers = {BANDWIDTH: OperationError("500"), "my_bandwidth": [Sample({"source": "edge", "target": "mdc"}, 5e6)]}
    found = poll(Source(**answers), {KEY: OWN, Key("shop", "other"): PLAIN})
    assert found[KEY][1] == ""
    assert found[Key("shop", "other")][1] == "500"


def test_an_own_query_that_fails_is_said_of_its_resource_alone():
    found = poll(Source(my_bandwidth=OperationError("parse error")), {KEY: OWN, Key("shop", "other"): PLAIN})
    assert found[KEY][1] == "bandwidthQuery: parse error"
    assert found[Key("shop", "other")][1] == ""


def test_a_server_that_hangs_ends_the_round_before_the_next_and_own_queries_come_few_at_a_time(monkeypatch):
    source = Source()
    source.hangs = True
    every = Prometheus(bandwidthQuery="a", latencyQuery="b", loadQuery="c")

    async def main():
        async with asyncio.timeout(2.5):
            poller = Poller(source, SERVER, asyncio.get_running_loop().time)
            return await poller.poll({Key("shop", str(i)): every for i in range(100)}, 2.5)

    found = run_virtually(main(), [], monkeypatch)
    assert all("does not answer in time" in problem for _, problem in found.values())
    assert source.most <= (AT_ONCE + 1) * len(Metric)


class Hangs(Source):
    """Some queries it does not answer before a moment (virtual seconds), the others at once."""

    until_s = math.inf

    async def query(self, server, promql, timeout_s):
        self.hangs = promql.startswith("hangs") and asyncio.get_running_loop().time() < self.until_s
        return await super().query(server, promql, timeout_s)


ANSWER = [Sample({"source": "edge", "target": "mdc"}, 5e6)]


def own(name, count=1):
    """Resources with a query of their own."""
    return {Key("shop", f"{name}-{i}"): Prometheus(bandwidthQuery=f"{name}_{i}") for i in range(count)}


def rounds(source, resources, count, monkeypatch, period_s=5.0):
    """What each of some rounds came to, in virtual time, and which queries it asked."""

    async def main():
        poller = Poller(source, SERVER, asyncio.get_running_loop().time)
        for _ in range(count):
            source.asked.clear()
            yielded.append((await poller.poll(resources, period_s), [query for query in source.asked if "_" in query]))
            await asyncio.sleep(period_s)

    yielded = []
    run_virtually(main(), [], monkeypatch)
    return yielded


@pytest.mark.parametrize("hanging", [AT_ONCE, 2 * AT_ONCE])
def test_queries_that_hang_keep_no_other_resource_from_its_answers(monkeypatch, hanging):
    source = Hangs(**{f"fine_{i}": ANSWER for i in range(100)})
    for found, _ in rounds(source, own("hangs", hanging) | own("fine", 100), 4, monkeypatch):
        for key, (seen, problem) in found.items():
            if key.name.startswith("fine"):
                assert (seen.values, problem) == ({(Metric.BANDWIDTH, PLACES[0]): 5e6}, "")
            else:
                assert problem.startswith("bandwidthQuery: Prometheus does not answer in time")


def test_a_query_that_hangs_is_asked_later_and_later_and_in_each_round_again_once_it_answers(monkeypatch):
    source = Hangs(hangs_0=ANSWER)
    source.until_s = 1000.0 + 400.0
    (key,) = resources = own("hangs")
    made = rounds(source, resources, 180, monkeypatch)
    asked = [i for i, (_, queries) in enumerate(made) if "hangs_0" in queries]
    answered = next(i for i, (found, _) in enumerate(made) if not found[key][1])
    pauses = [later - earlier for earlier, later in pairwise(asked) if later <= answered]
    assert pauses == sorted(pauses)
    assert 60 / 5 >= pauses[-1] >= 3 * pauses[0] >= 6
    assert asked[-1] == 179
    assert asked[-(180 - answered) :] == list(range(answered, 180))


def test_of_a_query_that_hangs_the_same_is_said_whether_it_is_asked_in_a_round_or_not(monkeypatch):
    made = rounds(Hangs(), own("hangs"), 40, monkeypatch)
    assert {"hangs_0" in queries for _, queries in made} == {True, False}
    assert len({problem for found, _ in made for _, problem in found.values()}) == 1


def test_a_query_that_is_slow_but_answers_is_asked_apart_from_the_others_in_each_round(monkeypatch):
    class Slow(Source):
        async def query(self, server, promql, timeout_s):
            if promql == "slow_0":
                await asyncio.sleep(2.0)
            return await super().query(server, promql, timeout_s)

    made = rounds(Slow(slow_0=ANSWER), own("slow"), 12, monkeypatch)
    problems = [problem for ((_, problem),) in (found.values() for found, _ in made)]
    assert "does not answer in time" in problems[0]
    assert problems[5:] == [""] * 7


class Takes(Source):
    """It takes its time with own queries: seconds by what their text begins with, in virtual time."""

    def __init__(self, **seconds):
        super().__init__()
        self.seconds = seconds

    async def query(self, server, promql, timeout_s):
        await super().query(server, promql, timeout_s)
        await asyncio.sleep(self.seconds.get(promql.partition("_")[0], 0.0))
        return [Sample({"source": "edge", "target": "mdc", "tier": "edge"}, 1.5)]


def blind_rounds(made, key):
    return [i for i, (found, _) in enumerate(made) if found[key][1]]


def test_the_queries_of_one_resource_are_asked_at_once_so_that_all_of_them_fit_into_its_time(monkeypatch):
    three = Prometheus(bandwidthQuery="slow_a", latencyQuery="slow_b", loadQuery="slow_c")
    made = rounds(Takes(slow=1.4), {KEY: three}, 40, monkeypatch)
    assert len(blind_rounds(made, KEY)) <= 4
    assert {metric for metric, _ in made[-1][0][KEY][0].values} == set(Metric)


@pytest.mark.parametrize("hanging", [0, 40])
def test_queries_that_take_their_time_are_answered_in_each_round_whatever_hangs_beside_them(monkeypatch, hanging):
    slow, hung = own("slow", 10), own("hangs", hanging)
    made = rounds(Takes(slow=1.2, hangs=3600), hung | slow, 40, monkeypatch)
    last_blind = max(max(blind_rounds(made, key)) for key in slow)
    assert last_blind <= 4 + hanging / HUNG_AT_ONCE


@pytest.mark.parametrize("seconds", [0.9, 1.2])
def test_where_places_are_too_few_for_all_each_resource_has_its_turn(monkeypatch, seconds):
    slow = own("slow", 60)
    made = rounds(Takes(slow=seconds), slow, 40, monkeypatch)
    for key in slow:
        seen = [i for i in range(40) if i not in blind_rounds(made, key)]
        assert max(later - earlier for earlier, later in pairwise([*seen, 40]) if earlier > 10) <= 5


def test_one_that_got_its_place_just_before_the_end_of_the_round_is_not_taken_for_one_that_hangs(monkeypatch):
    count = 5 * AT_ONCE
    made = rounds(Takes(fine=0.9), own("fine", count), 2, monkeypatch)
    late = [key for key, (_, problem) in made[0][0].items() if problem]
    assert len(late) == AT_ONCE
    assert not any(made[1][0][key][1] for key in late)


def test_after_an_outage_of_an_hour_all_are_seen_again_within_two_minutes(monkeypatch):
    class Recovers(Hangs):
        async def query(self, server, promql, timeout_s):
            answer = await super().query(server, promql, timeout_s)
            answered_at.setdefault(promql, asyncio.get_running_loop().time())
            return answer

    answered_at, source, resources = {}, Recovers(), own("hangs", 30)
    source.until_s = 1000.0 + 3600.0
    made = rounds(source, resources, 800, monkeypatch)
    assert all(made[300][0][key][1] and not made[-1][0][key][1] for key in resources)
    assert max(answered_at[f"hangs_{i}"] for i in range(30)) - source.until_s <= 120


def test_of_resources_whose_queries_hang_only_so_many_are_remembered():
    slowness = Slowness()
    keys = [Key("shop", str(i)) for i in range(MAX_REMEMBERED + 5)]
    for key in keys:
        slowness.hung(key, 100.0)
    assert [key in slowness for key in (keys[0], keys[4], keys[5], keys[-1])] == [False, False, True, True]
    assert (slowness.wait_s(keys[-1], 100.0), slowness.wait_s(keys[-1], 115.0)) == (15.0, 0.0)


GOOD = Seen({(Metric.BANDWIDTH, PLACES[0]): 1e6})


def test_so_many_failed_polls_in_a_row_count_and_one_good_one_ends_them():
    telemetry = Telemetry()
    telemetry.take(GOOD, "", 0.0)
    for at in (5.0, 10.0):
        telemetry.take(Seen(), "hangs", at)
        assert not telemetry.failed(at, 3, 5.0)
    telemetry.take(Seen(), "hangs", 15.0)
    assert telemetry.failed(15.0, 3, 5.0)
    telemetry.take(GOOD, "", 20.0)
    assert not telemetry.failed(20.0, 3, 5.0)


def test_a_server_that_never_had_a_sample_has_not_failed_and_one_that_lost_it_has():
    telemetry = Telemetry()
    telemetry.take(Seen(), "", 0.0)
    assert (telemetry.problem, telemetry.failing_since) == ("", None)
    telemetry.take(GOOD, "", 5.0)
    telemetry.take(Seen(), "", 10.0)
    assert telemetry.problem == "Prometheus has no sample of this resource any more"
    assert telemetry.failed(10.0, 1, 5.0)


def test_doubts_are_failures():
    telemetry = Telemetry()
    telemetry.take(Seen(GOOD.values, ("load of edge is nan, which cannot be",)), "", 0.0)
    assert telemetry.failed(0.0, 1, 5.0)
    assert "nan" in telemetry.problem


ANSWERS = st.sampled_from(
    [(GOOD, ""), (Seen(), ""), (Seen(), "hangs"), (Seen(GOOD.values, ("doubt",)), ""), (GOOD, "late")]
)


@given(st.lists(ANSWERS, max_size=12))
def test_answers_that_repeat_the_one_before_change_nothing(answers):
    every, first_of_each = Telemetry(), Telemetry()
    for at, answer in enumerate(answers):
        repeated = first_of_each.repeats(*answer)
        assert repeated == (at > 0 and answer == answers[at - 1])
        every.take(*answer, float(at))
        if not repeated:
            first_of_each.take(*answer, float(at))
        assert first_of_each == every

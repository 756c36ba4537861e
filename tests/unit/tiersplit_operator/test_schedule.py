"""Which key is looked at when."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tiersplit_operator.schedule import Backoff, Schedule

KEYS = st.sampled_from("abcd")
PLAIN = Backoff(first_s=1.0, most_s=8.0, jitter=0.0)


def schedule():
    return Schedule(PLAIN, lambda: 0.0)


def test_a_key_added_twice_is_looked_at_once():
    found = schedule()
    found.add("a", 0.0)
    found.add("a", 0.0)
    assert [found.take(1.0), found.take(1.0)] == ["a", None]


def test_the_earlier_time_wins():
    found = schedule()
    found.add("a", 9.0)
    found.add("a", 2.0)
    found.add("a", 5.0)
    assert found.next_due() == 2.0


def test_a_key_in_flight_is_not_taken_again_but_looked_at_once_more_afterwards():
    found = schedule()
    found.add("a", 0.0)
    found.take(0.0)
    found.add("a", 0.0)
    assert found.take(5.0) is None
    found.done("a", 5.0, 600.0)
    assert found.take(5.0) == "a"


def test_a_key_that_is_done_for_good_is_forgotten_unless_it_was_added_meanwhile():
    found = schedule()
    for key in "ab":
        found.add(key, 0.0)
        found.take(0.0)
    found.add("b", 1.0)
    for key in "ab":
        found.done(key, 2.0, math.inf)
    assert (len(found), found.take(2.0), found.next_due()) == (1, "b", None)


def test_a_key_that_is_done_returns_after_the_time_it_asked_for():
    found = schedule()
    found.add("a", 0.0)
    found.take(0.0)
    found.done("a", 10.0, 30.0)
    assert found.take(39.9) is None
    assert found.take(40.0) == "a"


def test_failures_wait_twice_as_long_each_time_up_to_a_limit_and_success_forgets_them():
    found = schedule()
    found.add("a", 0.0)
    waits, now = [], 0.0
    for _ in range(6):
        found.take(now)
        waits.append(found.failed("a", now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 8, 8]
    found.take(now)
    found.done("a", now, 0.0)
    found.take(now)
    assert found.failed("a", now) == 1


def test_an_event_brings_a_failing_key_forward():
    found = schedule()
    found.add("a", 0.0)
    found.take(0.0)
    found.failed("a", 0.0)
    found.add("a", 0.1)
    assert found.take(0.1) == "a"


def test_a_dropped_key_is_never_looked_at_again_even_from_flight():
    found = schedule()
    for key in "ab":
        found.add(key, 0.0)
    assert found.take(0.0) == "a"
    found.drop("a")
    found.drop("b")
    found.done("a", 0.0, 0.0)
    assert found.take(100.0) is None


def test_a_dropped_key_that_is_added_again_is_looked_at():
    found = schedule()
    found.add("a", 0.0)
    found.take(0.0)
    found.drop("a")
    found.add("a", 1.0)
    found.done("a", 1.0, 600.0)
    assert found.take(1.0) == "a"


def test_the_lag_is_that_of_the_most_overdue_key_or_of_the_longest_look():
    found = schedule()
    assert found.lag_s(100.0) == 0.0
    found.add("a", 10.0)
    assert found.lag_s(5.0) == 0.0
    assert found.lag_s(25.0) == 15.0
    found.take(25.0)
    assert found.lag_s(45.0) == 20.0


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True))
def test_jitter_only_shortens_the_wait_and_never_by_more_than_its_share(failures, chance):
    backoff = Backoff(first_s=0.5, most_s=60.0, jitter=0.5)
    longest = backoff.seconds(failures, 0.0)
    assert longest * 0.5 <= backoff.seconds(failures, chance) <= longest <= 60.0


class AnySchedule(RuleBasedStateMachine):
    """Whatever happens in whatever order: a key that was added is looked at, by one at a time, and none is lost."""

    def __init__(self):
        super().__init__()
        self.schedule, self.now = schedule(), 0.0
        self.wanted, self.running, self.taken = {}, set(), Counter()

    @rule(key=KEYS, after=st.floats(0, 20))
    def add(self, key, after):
        self.schedule.add(key, self.now + after)
        self.wanted[key] = min(self.wanted.get(key, self.now + after), self.now + after)

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def take(self):
        key = self.schedule.take(self.now)
        due = {k for k, at in self.wanted.items() if k not in self.running and at <= self.now}
        assert (key in due) if due else key is None
        if key is not None:
            self.running.add(key)
            del self.wanted[key]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), after=st.floats(0, 20), fails=st.booleans())
    def land(self, data, after, fails):
        key = data.draw(st.sampled_from(sorted(self.running)))
        if fails:
            after = self.schedule.failed(key, self.now)
        else:
            self.schedule.done(key, self.now, after)
        self.running.remove(key)
        self.wanted[key] = min(self.wanted.get(key, self.now + after), self.now + after)

    @rule(key=KEYS)
    def drop(self, key):
        if key not in self.running:
            self.schedule.drop(key)
            self.wanted.pop(key, None)

    @invariant()
    def nothing_is_lost(self):
        waiting = {k: at for k, at in self.wanted.items() if k not in self.running}
        assert len(self.schedule) == len(waiting)
        assert self.schedule.running == len(self.running)
        assert self.schedule.next_due() == (min(waiting.values()) if waiting else None)


TestAnySchedule = AnySchedule.TestCase


@pytest.mark.parametrize("count", [1, 50])
def test_keys_come_in_the_order_in_which_they_were_due(count):
    found = schedule()
    for i in reversed(range(count)):
        found.add(i, float(i))
    assert [found.take(1000.0) for _ in range(count)] == list(range(count))

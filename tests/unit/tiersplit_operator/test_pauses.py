"""Pauses between looks that find the same: longer and longer, within bounds, and short again after anything else."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tiersplit_operator.pauses import Pauses


def test_each_pause_is_twice_the_one_before_up_to_the_longest():
    pauses = Pauses(100.0)
    assert [pauses.after("same", 15.0) for _ in range(5)] == [15.0, 30.0, 60.0, 100.0, 100.0]


def test_something_else_begins_anew():
    pauses = Pauses(100.0)
    assert [pauses.after(found, 5.0) for found in "aaabaa"] == [5.0, 10.0, 20.0, 5.0, 5.0, 10.0]
    pauses.forget()
    assert pauses.after("a", 5.0) == 5.0


def test_a_first_pause_that_is_longer_than_the_longest_stays():
    pauses = Pauses(600.0)
    assert [pauses.after("same", 3600.0) for _ in range(3)] == [3600.0] * 3


@given(st.floats(0.1, 1e4), st.floats(0.1, 1e4), st.integers(2, 40))
def test_pauses_never_shrink_and_never_leave_their_bounds(first_s, most_s, count):
    pauses = Pauses(most_s)
    found = [pauses.after("same", first_s) for _ in range(count)]
    assert all(one <= other for one, other in pairwise(found))
    assert found[0] == first_s
    assert found[-1] <= max(first_s, most_s)

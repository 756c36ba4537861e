"""How long segments run, and what of it compares with a profile."""

import time

import pytest

from tiersplit_stage.emulation import Emulation
from tiersplit_stage.processors import Quota
from tiersplit_stage.stopwatch import Stopwatch

SPENT_S = 0.002


def burn():
    until = time.thread_time() + SPENT_S
    while time.thread_time() < until:
        pass
    return "found"


def test_without_a_limit_a_run_compares_with_a_profile_as_it_is():
    found, ran = Stopwatch(Emulation(1.0)).time("a", 1, burn)
    assert found == "found"
    assert ran.steady_s == ran.taken_s >= SPENT_S


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_run_that_finds_a_periods_time_at_hand_compares_as_one_that_follows_other_work(share):
    _, ran = Stopwatch(Emulation(1.0), Quota(share, 0.1)).time("a", 1, burn)
    assert ran.taken_s >= SPENT_S
    assert ran.steady_s >= SPENT_S / share


def test_a_tier_that_is_emulated_slower_takes_its_factor():
    _, ran = Stopwatch(Emulation(5.0)).time("a", 1, burn)
    assert ran.steady_s == ran.taken_s >= 5 * SPENT_S

"""What a rest makes of the seconds of layers under a limit of the processor."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.profile.layers import ProfileKind, TierProfile
from tiersplit_core.profile.rest import after_rest
from tiersplit_core.profile.serving import AtHand, ServingProfile

PLAIN = TierProfile("edge", ProfileKind.MEASURED, "sha256:abc", 1, {}, {})
SECONDS = st.dictionaries(st.text(max_size=3), st.floats(0, 10), min_size=1, max_size=6)
SHARES, LEFT = st.floats(0.01, 0.99), st.floats(0, 0.1)


def limited(processors, request_s, receive_s, slowdown=1.0):
    at_hand = AtHand(processors, request_s, receive_s)
    return replace(PLAIN, serving=ServingProfile(at_hand=at_hand), slowdown=slowdown)


@given(SECONDS, SHARES, LEFT, LEFT, st.booleans())
def test_a_whole_network_takes_what_is_at_hand_at_once_and_the_rest_at_the_limit(
    seconds, share, request, receive, first
):
    left_s, spent_s = request if first else receive, share * sum(seconds.values())
    found = after_rest(limited(share, request, receive), seconds, first=first)
    at_once_s = min(left_s, spent_s)
    assert sum(found.values()) == pytest.approx(at_once_s + (spent_s - at_once_s) / share, abs=1e-9)


@given(SECONDS, SHARES, LEFT, st.booleans(), st.data())
def test_some_layers_never_take_less_than_a_rest_would_let_them(seconds, share, left_s, first, data):
    some = data.draw(st.sets(st.sampled_from(sorted(seconds))))
    found = after_rest(limited(share, left_s, left_s), seconds, first=first)
    spent_s = share * sum(seconds[name] for name in some)
    at_once_s = min(left_s, spent_s)
    steady_s = sum(seconds[name] for name in some)
    assert at_once_s + (spent_s - at_once_s) / share - 1e-9 <= sum(found[name] for name in some) <= steady_s + 1e-9


@pytest.mark.parametrize("profile", [PLAIN, replace(PLAIN, serving=ServingProfile()), limited(0.5, 1, 1, slowdown=4)])
def test_without_a_limit_and_on_emulated_tiers_seconds_are_as_profiled(profile):
    assert after_rest(profile, {"a": 1.0, "b": 2.0}, first=True) == {"a": 1.0, "b": 2.0}


def test_a_network_that_takes_no_time_is_not_divided_by():
    assert after_rest(limited(0.5, 1, 1), {"a": 0.0}, first=False) == {"a": 0.0}

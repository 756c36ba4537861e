"""A link that only jitters and now and then hesitates moves no plan, however eagerly surprises are looked into."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_core.adaptation.estimator import LinkEstimate, LinkEstimator
from tiersplit_core.adaptation.observation import LinkSample
from tiersplit_core.adaptation.policy import Candidate, Settings, Situation, decide
from tiersplit_stage.meter import Meter, ProbeBudget

LATENCY_S = 0.005
PLANS = {"cloud": (27_000, 0.05), "early": (6_800, 0.08), "late": (1_100, 0.17)}
"""Bytes over the link and seconds of compute; the best one changes at 0.5 and at 5.4 Mbps."""


class Jittery:
    """A link of constant bandwidth as its sender and the controller see it.

    Seconds vary by `jitter` either way; about one transmission in `every` takes five times as long, never two in a row.
    Each one waits for `busy_s` in the mean before somebody has time for it.
    """

    def __init__(self, bandwidth_bps: float, seed: int, every: int, jitter: float = 0.3, busy_s: float = 0.0) -> None:
        self.jitter, self.busy_s = jitter, busy_s
        self.random, self.bandwidth_bps, self.every = random.Random(seed), bandwidth_bps, every
        self.meter, self.budget = Meter(), ProbeBudget()
        self.estimator = LinkEstimator(bandwidth_bps, LATENCY_S)
        self.now_s, self.probed_bytes, self.hesitated = 0.0, 0, False

    def send(self, size: int) -> None:
        seconds = (2 * LATENCY_S + 8 * size / self.bandwidth_bps) * self.random.uniform(
            1 - self.jitter, 1 + self.jitter
        )
        self.hesitated = not self.hesitated and self.random.random() < 1 / self.every
        self.meter.sent(b"x", size, self.now_s)
        waited_s = self.random.expovariate(1 / self.busy_s) if self.busy_s else 0.0
        self.now_s += seconds * (5 if self.hesitated else 1) + waited_s
        self.meter.received(b"x", self.now_s)
        for seen in self.meter.take():
            self.estimator.observe(LinkSample(seen.size_bytes, seen.seconds, seen.idle_before, seen.lost))

    def confirm(self) -> None:
        while (size := self.meter.witness_bytes()) is not None:
            if not self.budget.lends(size, self.now_s, self.meter.bandwidth_bps, 0):
                return
            self.probed_bytes += size
            self.send(size)


def candidates(estimate: LinkEstimate) -> dict[str, Candidate]:
    crossing_s = 2 * estimate.latency_s
    return {
        name: Candidate(compute_s + crossing_s + 8 * size / estimate.bandwidth_bps, 1)
        for name, (size, compute_s) in PLANS.items()
    }


def moves(link: Jittery, requests: int = 150) -> list[str]:
    """The plans that serve one after the other."""
    served, moved_at = list[str](), float("-inf")
    for _ in range(requests):
        plans = candidates(link.estimator.estimate)
        current = served[-1] if served else None
        decision = decide(Situation(link.now_s, plans, current=current, last_move_s=moved_at), Settings(cooldown_s=2.0))
        if decision.changes and decision.plan is not None:
            served.append(decision.plan)
            moved_at = link.now_s
        link.now_s += 0.3
        link.send(PLANS[served[-1]][0])
        link.confirm()
    return served


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    link=st.sampled_from([(20e6, "cloud"), (1.6e6, "early"), (2e5, "late")]),
    every=st.sampled_from([10, 30, 10**9]),
)
def test_jitter_and_single_outliers_move_nothing(seed: int, link: tuple[float, str], every: int) -> None:
    bandwidth_bps, best = link
    made = Jittery(bandwidth_bps, seed, every)
    assert moves(made) == [best]
    assert made.probed_bytes <= 0.01 * bandwidth_bps / 8 * made.now_s + 65536


@pytest.mark.parametrize("link", [(20e6, "cloud"), (1.6e6, "early"), (2e5, "late")])
@pytest.mark.parametrize("seed", range(8))
def test_busy_ends_move_nothing(seed: int, link: tuple[float, str]) -> None:
    bandwidth_bps, best = link
    assert moves(Jittery(bandwidth_bps, seed, 30, busy_s=0.01)) == [best]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), slower=st.floats(5, 100))
def test_a_change_is_known_before_the_next_request(seed: int, slower: float) -> None:
    link = Jittery(20e6, seed, 10**9, jitter=0.1)
    moves(link, 30)
    link.bandwidth_bps /= slower
    link.now_s += 0.3
    link.send(PLANS["cloud"][0])
    link.confirm()
    assert 0.5 < link.estimator.estimate.bandwidth_bps / link.bandwidth_bps < 2

"""A link dies while requests are on it and more arrive: how many meet it, for how long, and what they take then.

All seconds are virtual, so the bounds are exact.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.far_stage import FarStage
from tests.support.virtual_time import run_virtually
from tiersplit_core.adaptation.estimator import LinkEstimate, LinkEstimator
from tiersplit_core.adaptation.observation import LinkSample
from tiersplit_stage import head, stream
from tiersplit_stage.link import Link
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Answer
from tiersplit_wire.v1 import activation_pb2 as pb

LATENCY_S, BEFORE_LINK_S = 0.005, 0.03
SUSPICION_S = 0.25
SLACK_S = 0.001
ALIVE_S, DEAD_S = 3.0, 3.0


class Edge:
    """A first tier that computes one request after the other and sends those of the plan `split` on."""

    def __init__(self, link: Link, payload_bytes: int, alone_s: float) -> None:
        self.link, self._payload = link, bytes(payload_bytes)
        self._seconds = {"split": BEFORE_LINK_S, "alone": alone_s}
        self._thread = asyncio.Lock()

    async def run(self, job: Any) -> Answer:
        async with self._thread:
            await asyncio.sleep(self._seconds[job.plan.digest])
        if job.plan.last_tier:
            tensors = [pb.Tensor(name="x", payload=self._payload)]
            activations = pb.ActivationSet(request_id=job.request_id, tensors=tensors)
            await self.link.exchange(job.request_id, pb.UpstreamFrame(activations=activations).SerializeToString())
        return Answer({})


@dataclass
class Seen:
    """What became of requests around the second 0, at which the link died.

    Attributes:
        sent_s: when requests were written to the link.
        answers: when each was due, its latency and its plan.
        rerun: how many were run a second time.
    """

    sent_s: list[float] = field(default_factory=list)
    answers: list[tuple[float, float, str]] = field(default_factory=list)
    rerun: int = 0

    @property
    def after(self) -> list[tuple[float, float, str]]:
        """The answers from the last second before it on."""
        return [answer for answer in self.answers if answer[0] > -1]


def plan(digest: str, last_tier: int) -> Any:
    origin = SimpleNamespace(model=pb.Tensor())
    return SimpleNamespace(digest=digest, key=digest, last_tier=last_tier, origin=origin, outputs=frozenset())


@asynccontextmanager
async def serving(far: FarStage, payload_bytes: int, alone_s: float) -> AsyncIterator[tuple[head.Head, Link]]:
    link = Link("edge", "cloud", lambda: None, lambda _: far.channel())
    made = head.Head(Edge(link, payload_bytes, alone_s), StageMetrics(), 100, lambda: None)
    made.verified = {"split", "alone"}
    made.plans = {"split": plan("split", 1), "alone": plan("alone", 0)}
    made.active, made.fallback = "split", "alone"
    await link.update(["192.0.2.1:9000"])
    try:
        assert await link.wait_usable(1.0)
        yield made, link
    finally:
        await link.close()


async def dying(
    bandwidth_bps: float, payload_bytes: int, period_s: float, alone_s: float, at: float, compute_s: float = 0.0
) -> Seen:
    """Requests every `period_s` over a link that dies `at` of a period after the last one that finds it alive."""
    loop, far, seen = asyncio.get_running_loop(), FarStage(bandwidth_bps, LATENCY_S), Seen()
    far.compute_s = compute_s

    async def one(made: head.Head) -> None:
        due = loop.time()
        answer = await made.infer(SimpleNamespace(read=lambda _: ({}, 1)), None)
        seen.answers.append((due - died, loop.time() - due, answer.plan.digest))

    async with serving(far, payload_bytes, alone_s) as (made, _), asyncio.TaskGroup() as requests:
        died = loop.time() + (math.ceil(ALIVE_S / period_s) + at) * period_s
        loop.call_at(died, far.up.clear)
        while loop.time() < died + DEAD_S:
            requests.create_task(one(made))
            await asyncio.sleep(period_s)
    seen.sent_s, seen.rerun = [second - died for second in far.sent], made.rerun
    return seen


def died(*given: float) -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        return run_virtually(dying(*given), [stream, head], patch)


def check(seen: Seen, crossing_s: float, patience_s: float, period_s: float, alone_s: float) -> None:
    stuck = [second for second in seen.sent_s if second > -crossing_s]
    caught = math.floor((crossing_s + BEFORE_LINK_S + patience_s + SLACK_S) / period_s) + 1
    assert all(second <= stuck[0] + patience_s + SLACK_S for second in stuck), "who comes later takes another way"
    assert seen.rerun <= caught
    assert {answer[2] for answer in seen.after if answer[0] > stuck[0] + patience_s} == {"alone"}
    worst_s = max(answer[1] for answer in seen.after)
    assert worst_s <= BEFORE_LINK_S + patience_s + (seen.rerun + 1) * alone_s + SLACK_S


@settings(max_examples=20, deadline=None)
@given(
    payload_bytes=st.integers(600, 27_000),
    period_s=st.floats(0.2, 1.0),
    share=st.floats(0.1, 0.5),
    at=st.floats(0, 1),
)
def test_a_dead_link_is_left_within_a_quarter_of_a_second(
    payload_bytes: int, period_s: float, share: float, at: float
) -> None:
    crossing_s = 2 * LATENCY_S + 8 * (payload_bytes + 100) / 5e6
    check(died(5e6, payload_bytes, period_s, share * period_s, at), crossing_s, SUSPICION_S, period_s, share * period_s)


@settings(max_examples=10, deadline=None)
@given(payload_bytes=st.integers(5000, 9000), period_s=st.floats(0.4, 1.0), at=st.floats(0, 1))
def test_on_a_slow_link_a_request_is_given_four_times_what_it_takes(
    payload_bytes: int, period_s: float, at: float
) -> None:
    crossing_s = 2 * LATENCY_S + 8 * (payload_bytes + 100) / 5e5
    check(died(5e5, payload_bytes, period_s, 0.2, at), crossing_s, 4.1 * crossing_s, period_s, 0.2)


def test_requests_that_follow_each_other_closely_are_caught_together_and_drained_one_by_one() -> None:
    seen = died(5e6, 1000, 0.1, 0.05, 0.5)
    assert seen.rerun == 3
    assert max(answer[1] for answer in seen.after) < BEFORE_LINK_S + SUSPICION_S + 3 * 0.05 + SLACK_S
    later = [answer[1] for answer in seen.after if answer[0] > 1]
    assert max(later) == pytest.approx(0.05), "a second later the queue is empty"


@pytest.mark.parametrize(("period_s", "noticed_s"), [(0.4, 0.4 + BEFORE_LINK_S), (10.0, 1.25)])
def test_a_request_whose_answer_is_lost_runs_again_once_the_next_one_or_a_probe_is_stuck(
    period_s: float, noticed_s: float
) -> None:
    seen = died(5e6, 1000, period_s, 0.1, 0.2 / period_s, 0.3)
    due_s, latency_s, used = min(answer for answer in seen.answers if answer[0] > -period_s)
    assert (due_s, used) == (pytest.approx(-0.2), "alone")
    assert latency_s <= BEFORE_LINK_S + noticed_s + SUSPICION_S + 0.1 + 3 * LATENCY_S


async def returning(bandwidth_bps: float, payload_bytes: int, down_s: float) -> LinkEstimate:
    """What the controller believes half a second after the end of an outage that caught a request."""
    far, seen = FarStage(bandwidth_bps, LATENCY_S), LinkEstimator(bandwidth_bps, LATENCY_S)
    async with serving(far, payload_bytes, 0.1) as (made, link):
        request = SimpleNamespace(read=lambda _: ({}, 1))
        for _ in range(10):
            await made.infer(request, None)
        far.up.clear()
        await made.infer(request, None)
        await asyncio.sleep(down_s)
        far.up.set()
        await asyncio.sleep(0.5)
        for found in link.take_observations():
            seen.observe(LinkSample(found.size_bytes, found.seconds, found.idle_before, found.lost))
    return seen.estimate


@settings(max_examples=20, deadline=None)
@given(bandwidth_bps=st.floats(2e6, 1e8), payload_bytes=st.integers(600, 30_000), down_s=st.floats(0.5, 10.0))
def test_half_a_second_after_an_outage_the_link_is_known_again(
    bandwidth_bps: float, payload_bytes: int, down_s: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = run_virtually(returning(bandwidth_bps, payload_bytes, down_s), [stream, head], patch)
    assert not found.down
    assert found.bandwidth_bps == pytest.approx(bandwidth_bps, rel=0.25)

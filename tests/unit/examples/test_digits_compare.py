import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from examples.digits.camera import Answer, Camera, KnownPictures, Reply
from examples.digits.compare import Effort, Way, adapted, fixed_ways, measure_plans, oracle
from examples.digits.deployment import PlanInfo
from examples.digits.trace import PATIENCE_S, Step, steps_of

TIERS = ("edge", "mdc", "cloud")
EDGE = PlanInfo("e", {"edge": 4, "mdc": 0, "cloud": 0})
CLOUD = PlanInfo("c", {"edge": 0, "mdc": 0, "cloud": 4})
SPLIT = PlanInfo("s", {"edge": 2, "mdc": 0, "cloud": 2})
STEPS = steps_of(10, (50, 5, 0))
SEEN = {"e": {50e6: [0.15], 5e6: [0.15]}, "c": {50e6: [0.04], 5e6: [0.08]}, "s": {50e6: [0.05], 5e6: [0.05, 0.07]}}


class Board:
    """A deployment that does what it is told, and a head that answers by the pinned plan."""

    def __init__(self) -> None:
        self.pinned: str | None = None
        self.told: list[tuple[float, str | None]] = []
        self.bandwidth = 0.0

    async def set_link(self, step: Step) -> None:
        self.bandwidth = step.bandwidth_bps

    async def pin(self, digest: str | None) -> None:
        self.pinned = digest
        self.told.append((self.bandwidth, digest))

    async def ask(self, request_id: str, picture: NDArray[np.uint8]) -> Reply:
        return Reply(request_id, np.zeros(10, np.float32), self.pinned or "")


def test_every_plan_is_measured_at_every_bandwidth_that_carries_something() -> None:
    board = Board()
    pictures = KnownPictures(np.zeros((1, 3, 96, 96), np.uint8), np.zeros(1, np.int64), np.zeros((1, 10), np.float32))
    effort = Effort(requests=3, seconds=0, rounds=2)
    told: list[tuple[int, int]] = []
    seen = asyncio.run(
        measure_plans(board, Camera(board.ask, pictures), (EDGE, CLOUD), STEPS, effort, lambda *at: told.append(at))
    )
    assert {digest: {bps: len(found) for bps, found in by.items()} for digest, by in seen.items()} == {
        "e": {5e6: 6, 50e6: 6},
        "c": {5e6: 6, 50e6: 6},
    }
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert board.told[:4] == [(5e6, "e"), (5e6, "c"), (50e6, "c"), (50e6, "e")], "plans take turns, then the other way"


def test_a_fixed_split_waits_in_vain_while_the_link_is_down_and_edge_only_does_not() -> None:
    ways = {way.name: way for way in fixed_ways((EDGE, CLOUD, SPLIT), SEEN, STEPS, TIERS)}
    assert ways["edge-only"].seconds == pytest.approx((0.15, 0.15, 0.15))
    assert ways["edge-only"].served == 1
    assert ways["cloud-only"].seconds == pytest.approx((0.04, 0.08, PATIENCE_S))
    assert ways["fixed edge 2 | cloud 2"].seconds[1] == pytest.approx(0.06)
    assert ways["cloud-only"].served == pytest.approx(2 / 3)


def test_fixed_plans_come_with_the_best_first() -> None:
    means = [way.mean_s for way in fixed_ways((CLOUD, EDGE, SPLIT), SEEN, STEPS, TIERS)]
    assert means == sorted(means)


def test_the_oracle_takes_the_fastest_way_in_each_step() -> None:
    found = oracle(fixed_ways((EDGE, CLOUD, SPLIT), SEEN, STEPS, TIERS), STEPS)
    assert found.seconds == pytest.approx((0.04, 0.06, 0.15))


@given(st.lists(st.tuples(*[st.floats(0.01, 3)] * 3), min_size=1, max_size=5))
def test_nothing_is_faster_than_the_oracle(rows: list[tuple[float, float, float]]) -> None:
    ways = [Way(str(i), row, sum(row) / 3) for i, row in enumerate(rows)]
    assert oracle(ways, STEPS).mean_s <= min(way.mean_s for way in ways) + 1e-12


def test_the_adapting_run_counts_all_its_requests_step_by_step() -> None:
    answers = [[Answer(0, 0, 0.1), Answer(1, 1, 0.3)], [Answer(2, 2, 0.2)], [Answer(3, 3, None)]]
    way = adapted(answers, STEPS)
    assert way.seconds == pytest.approx((0.2, 0.2, PATIENCE_S))
    assert way.mean_s == pytest.approx((0.2 + 0.2 + PATIENCE_S) / 3)

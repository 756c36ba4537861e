"""How long runs are made to take, with a clock that only sleeping moves."""

from types import SimpleNamespace

import pytest

from tiersplit_stage import emulation
from tiersplit_stage.emulation import Emulation


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every sleep."""
    slept: list[float] = []
    monkeypatch.setattr(emulation, "time", SimpleNamespace(sleep=slept.append, perf_counter=lambda: sum(slept)))
    return slept


def test_without_slowness_nothing_is_waited(slept_s: list[float]) -> None:
    assert Emulation(1.0).stretch("s", 1, 0.5) == 0.5
    assert slept_s == []


def test_a_run_takes_the_factor_times_its_own_seconds(slept_s: list[float]) -> None:
    assert Emulation(4.0).stretch("s", 1, 0.01) == pytest.approx(0.04)
    assert slept_s == [pytest.approx(0.03)]


def test_one_run_that_the_scheduler_held_up_is_not_multiplied(slept_s: list[float]) -> None:
    made = Emulation(10.0)
    for _ in range(3):
        made.stretch("s", 1, 0.001)
    slept_s.clear()
    assert made.stretch("s", 1, 0.02) == 0.02, "longer than ten usual runs: nothing is missing"
    assert slept_s == []


def test_segments_and_batch_sizes_are_remembered_apart(slept_s: list[float]) -> None:
    made = Emulation(2.0)
    for _ in range(9):
        made.stretch("s", 8, 0.004)
        made.stretch("t", 1, 0.004)
    assert made.stretch("s", 1, 0.001) == pytest.approx(0.002)

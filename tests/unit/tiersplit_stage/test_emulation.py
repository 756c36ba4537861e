import time

from tiersplit_stage.emulation import Emulation


def test_without_slowness_nothing_is_waited() -> None:
    assert Emulation(1.0).stretch("s", 1, 0.5) == 0.5


def test_a_run_takes_the_factor_times_its_own_seconds() -> None:
    began = time.perf_counter()
    taken = Emulation(4.0).stretch("s", 1, 0.01)
    waited = time.perf_counter() - began
    assert taken >= 0.04
    assert waited >= 0.03


def test_one_run_that_the_scheduler_held_up_is_not_multiplied() -> None:
    emulation = Emulation(10.0)
    for _ in range(3):
        emulation.stretch("s", 1, 0.001)
    began = time.perf_counter()
    assert emulation.stretch("s", 1, 0.02) == 0.02  # longer than ten usual runs: nothing is missing
    assert time.perf_counter() - began < 0.01


def test_segments_and_batch_sizes_are_remembered_apart() -> None:
    emulation = Emulation(2.0)
    for _ in range(9):
        emulation.stretch("s", 8, 0.004)
    taken = emulation.stretch("s", 1, 0.001)
    assert 0.002 <= taken < 0.004

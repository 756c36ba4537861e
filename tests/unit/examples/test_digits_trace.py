import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.digits.trace import MBPS, Step, mean_over, steps_of
from tiersplit_core.units import parse_quantity

LENGTHS = st.floats(0.1, 100)
SECONDS = st.floats(0.001, 10)


def test_the_trace_is_the_one_that_was_promised() -> None:
    assert MBPS == (50, 5, 0.5, 0, 20)


@pytest.mark.parametrize("mbps", MBPS)
def test_a_step_is_written_as_the_command_line_takes_it(mbps: float) -> None:
    step = Step(mbps * 1e6, 1)
    assert parse_quantity(step.quantity) == step.bandwidth_bps


def test_a_step_without_bandwidth_is_called_down() -> None:
    assert [step.label for step in steps_of(1, (5, 0))] == ["5 Mbps", "down"]


@given(st.lists(st.tuples(LENGTHS, SECONDS), min_size=1, max_size=6))
def test_the_mean_over_a_trace_weighs_each_step_by_its_length(parts: list[tuple[float, float]]) -> None:
    steps = [Step(1e6, length) for length, _ in parts]
    expected = sum(length * mean for length, mean in parts) / sum(length for length, _ in parts)
    assert mean_over(steps, [mean for _, mean in parts]) == pytest.approx(expected)

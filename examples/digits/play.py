"""Playing the trace: the link changes, the camera goes on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from examples.digits.camera import Answer, Camera
from examples.digits.compare import Switchboard
from examples.digits.deployment import PlanInfo
from examples.digits.trace import Step

PERIOD_S = 0.3
"""A picture every so often, if no plan needs more than half of that."""


def period_for(plans: Sequence[PlanInfo], first: str) -> float:
    """Seconds between pictures that leave the first tier idle half of the time even when it works alone."""
    alone = [plan.expected_s for plan in plans if plan.only_on(first) and plan.expected_s is not None]
    return max(PERIOD_S, 2 * max(alone, default=0.0))


@dataclass(frozen=True, slots=True)
class Played:
    """One step as it went.

    Attributes:
        step: the bandwidth and how long it lasted.
        began_s: when it began, on the camera's clock.
        answers: the pictures that were due in it, in order.
    """

    step: Step
    began_s: float
    answers: tuple[Answer, ...]

    @property
    def final_plan(self) -> str:
        """The plan that answered the last picture."""
        return next((answer.plan for answer in reversed(self.answers) if answer.plan), "")


async def play(
    board: Switchboard, camera: Camera, steps: Sequence[Step], period_s: float, each: Callable[[Played], None]
) -> tuple[Played, ...]:
    """Play the trace while the camera sends every `period_s`; `each` hears of every step when it is over."""
    await board.set_link(steps[0])
    stop, begins = asyncio.Event(), [camera.now_s()]
    async with asyncio.TaskGroup() as group:
        group.create_task(camera.paced(period_s, stop))
        try:
            for i, step in enumerate(steps):
                if i > 0:
                    await board.set_link(step)
                    begins.append(camera.now_s())
                await asyncio.sleep(step.seconds)
                if i + 1 < len(steps):
                    each(_played(steps, begins, camera)[-1])
        finally:
            stop.set()
    played = _played(steps, begins, camera)
    each(played[-1])
    return played


def _played(steps: Sequence[Step], begins: Sequence[float], camera: Camera) -> tuple[Played, ...]:
    ends = [*begins[1:], float("inf")]
    answers = sorted(camera.answers, key=lambda answer: answer.due_s)
    return tuple(
        Played(step, begin, tuple(answer for answer in answers if begin <= answer.due_s < end))
        for step, begin, end in zip(steps, begins, ends, strict=False)
    )

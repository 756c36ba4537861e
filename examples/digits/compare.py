"""The same trace served in other ways: every plan of the surface, fixed, and an oracle that knows the bandwidth."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from examples.digits.camera import Answer, Camera, latencies
from examples.digits.deployment import DemoError, PlanInfo
from examples.digits.trace import PATIENCE_S, Step, mean_over

SWITCHED_WITHIN_S = 60.0


class Switchboard(Protocol):
    """What the comparison needs of a deployment."""

    async def set_link(self, step: Step) -> None:
        """Reshape the link of the trace."""

    async def pin(self, digest: str | None) -> None:
        """Let one plan serve, or let the policy decide."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to serve the trace.

    Attributes:
        name: what it is called.
        seconds: its mean latency in each step of the trace; `PATIENCE_S` where it cannot answer.
        mean_s: its mean latency over the trace.
        served: the share of the trace's time in which it can answer.
    """

    name: str
    seconds: tuple[float, ...]
    mean_s: float
    served: float = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How long each plan is measured at each bandwidth: `seconds` and at least `requests`, that `rounds` times over."""

    requests: int = 4
    seconds: float = 1.2
    rounds: int = 1


async def measure_plans(
    board: Switchboard,
    camera: Camera,
    plans: Sequence[PlanInfo],
    steps: Sequence[Step],
    effort: Effort,
    done: Callable[[int, int], None],
) -> dict[str, dict[float, list[float]]]:
    """Seconds of single requests per plan and bandwidth, plans taking turns so that all meet the same machine.

    A bandwidth of 0 is left out: what crosses the link cannot answer, what does not is as fast as ever.
    """
    seen: dict[str, dict[float, list[float]]] = {plan.digest: {} for plan in plans}
    up = sorted((step for step in steps if step.bandwidth_bps > 0), key=lambda step: step.bandwidth_bps)
    turns = [step for _ in range(effort.rounds) for step in up]
    for i, step in enumerate(turns):
        await board.set_link(step)
        for plan in plans if i % 2 == 0 else reversed(plans):
            await board.pin(plan.digest)
            await _served_by(camera, plan)
            seen[plan.digest].setdefault(step.bandwidth_bps, []).extend(await _requests(camera, effort))
        done(i + 1, len(turns))
    return seen


async def _served_by(camera: Camera, plan: PlanInfo) -> None:
    """Wait until the head answers with `plan`."""
    deadline_s = camera.now_s() + SWITCHED_WITHIN_S
    while (answer := await camera.one()).plan != plan.digest:
        if camera.now_s() > deadline_s:
            raise DemoError(f"the head answers with {answer.plan or answer.trouble}, not with {plan.label}")
        await asyncio.sleep(0.05)


async def _requests(camera: Camera, effort: Effort) -> list[float]:
    began_s, answers = camera.now_s(), list[Answer]()
    while len(answers) < effort.requests or camera.now_s() - began_s < effort.seconds:
        answers.append(await camera.one())
    return latencies(answers)


def fixed_ways(
    plans: Sequence[PlanInfo],
    seen: Mapping[str, Mapping[float, Sequence[float]]],
    steps: Sequence[Step],
    tiers: Sequence[str],
) -> list[Way]:
    """Every plan as a way to serve the whole trace, the best first."""
    ways = [_fixed(plan, seen[plan.digest], steps, tiers) for plan in plans]
    return sorted(ways, key=lambda way: way.mean_s)


def _fixed(plan: PlanInfo, seen: Mapping[float, Sequence[float]], steps: Sequence[Step], tiers: Sequence[str]) -> Way:
    alone = plan.only_on(tiers[0])
    measured = {bandwidth: fmean(values) for bandwidth, values in seen.items() if values}
    down_s = fmean(measured.values()) if alone else PATIENCE_S
    seconds = tuple(measured.get(step.bandwidth_bps, down_s) for step in steps)
    up_s = sum(step.seconds for step in steps if alone or step.bandwidth_bps > 0)
    return Way(_name(plan, tiers), seconds, mean_over(steps, seconds), up_s / sum(step.seconds for step in steps))


def _name(plan: PlanInfo, tiers: Sequence[str]) -> str:
    for tier in (tiers[0], tiers[-1]):
        if plan.only_on(tier):
            return f"{tier}-only"
    return f"fixed {plan.label}"


def oracle(ways: Sequence[Way], steps: Sequence[Step]) -> Way:
    """Who knows the bandwidth in advance and moves in no time: at each step the fastest of the measured ways."""
    seconds = tuple(min(column) for column in zip(*(way.seconds for way in ways), strict=True))
    return Way("oracle", seconds, mean_over(steps, seconds))


def adapted(answers_per_step: Sequence[Sequence[Answer]], steps: Sequence[Step]) -> Way:
    """The run that adapted: every request counts, those that met a change of the link before it was noticed as well."""
    found = (latencies(answers) for answers in answers_per_step)
    seconds = tuple(fmean(values) if values else PATIENCE_S for values in found)
    return Way("tiersplit", seconds, mean_over(steps, seconds))

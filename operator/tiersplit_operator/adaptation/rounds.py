"""When Prometheus is asked: resources of one polling period together, each group in its own rhythm."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_operator.adaptation.polling import Answer, Poller
from tiersplit_operator.facts import Key


@dataclass(frozen=True, slots=True)
class Watched:
    """What must be known of a resource to ask about it.

    Attributes:
        period_s: seconds between two rounds of its group; whole ones, at least 1.
        queries: its own ones.
        known: Prometheus was asked about it before; one that is not known does not wait for its group's round.
    """

    period_s: float
    queries: Prometheus
    known: bool


class Rounds:
    """Asks about all resources, each in its own period, whatever the others' periods are.

    A group is due at the multiples of its period: groups that meet there ask the default queries once for all. So these
    are asked once in a period where all resources have the same one, and once in a second at the most.

    Args:
        poller: asks.
        watched: the resources of this moment.
        told: told each resource's answer as soon as its group's are there.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        poller: Poller,
        watched: Callable[[], Mapping[Key, Watched]],
        told: Callable[[Key, Answer], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poller, self._watched, self._told, self._clock = poller, watched, told, clock
        self._under_way: set[Key] = set()

    async def run(self) -> None:
        """Ask until cancelled."""
        before = math.floor(self._clock()) - 1
        async with asyncio.TaskGroup() as rounds:
            while True:
                second = math.floor(self._clock())
                due = self._due(before, second) if second > before else {}
                if due:
                    self._under_way.update(*due.values())
                    rounds.create_task(self._poller.poll_groups(due, self._take))
                before = second
                await asyncio.sleep(second + 1 - self._clock())

    def _due(self, before: int, second: int) -> dict[float, dict[Key, Prometheus]]:
        """By period, the queries of those whose group came due after the second `before`, or that are not known.

        Who waits for an answer is not asked about again: it has its turn in the next round of its group.
        """
        due: dict[float, dict[Key, Prometheus]] = {}
        for key, found in self._watched().items():
            met = second // found.period_s > before // found.period_s
            if (met or not found.known) and key not in self._under_way:
                due.setdefault(found.period_s, {})[key] = found.queries
        return due

    def _take(self, answers: Mapping[Key, Answer]) -> None:
        self._under_way.difference_update(answers)
        for key, answer in answers.items():
            self._told(key, answer)

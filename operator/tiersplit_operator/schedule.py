"""Which key is looked at when: deduplicated, one in flight per key, later and later while it fails. Time is given."""

import heapq
import itertools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a key waits after its n-th failure in a row: `first_s * 2**(n-1)`, at most `most_s`, minus jitter.

    Attributes:
        first_s: seconds after the first failure.
        most_s: longest wait.
        jitter: share of the wait that chance may take away, so that keys that failed together do not return together.
    """

    first_s: float = 1.0
    most_s: float = 120.0
    jitter: float = 0.5

    def seconds(self, failures: int, chance: float) -> float:
        """The wait after that many failures in a row; `chance` lies in [0, 1)."""
        # The exponent is bounded: 2.0**1024 overflows.
        wait_s = min(self.first_s * 2.0 ** min(failures - 1, 60), self.most_s)
        return wait_s * (1 - self.jitter * chance)


class Schedule(Generic[K]):
    """The keys that wait and those that are in flight.

    Args:
        backoff: how long failing keys wait.
        chance: returns numbers in [0, 1).
    """

    def __init__(self, backoff: Backoff, chance: Callable[[], float]) -> None:
        self._backoff, self._chance = backoff, chance
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._running: dict[K, float] = {}
        self._again: dict[K, float] = {}
        self._dropped: set[K] = set()
        self._failures: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._due)

    @property
    def running(self) -> int:
        """How many keys are in flight."""
        return len(self._running)

    def add(self, key: K, at: float) -> None:
        """Have the key looked at no later than `at`; one that is in flight is looked at again afterwards."""
        self._dropped.discard(key)
        if key in self._running:
            self._again[key] = min(at, self._again.get(key, at))
        elif key not in self._due or at < self._due[key]:
            self._due[key] = at
            heapq.heappush(self._heap, (at, next(self._order), key))

    def drop(self, key: K) -> None:
        """Forget the key; should it be in flight, it is not looked at again."""
        for known in (self._due, self._again, self._failures):
            known.pop(key, None)
        if key in self._running:
            self._dropped.add(key)

    def take(self, now: float) -> K | None:
        """The key that is due for longest, from now on in flight; None where none is due."""
        self._clear_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._running[key] = now
        return key

    def done(self, key: K, now: float, after_s: float) -> None:
        """The look at the key succeeded; the next one is at most `after_s` seconds away; infinity forgets the key."""
        self._failures.pop(key, None)
        self._land(key, now + after_s)

    def failed(self, key: K, now: float) -> float:
        """The look at the key failed; returns how many seconds it waits."""
        self._failures[key] = self._failures.get(key, 0) + 1
        wait_s = self._backoff.seconds(self._failures[key], self._chance())
        self._land(key, now + wait_s)
        return wait_s

    def next_due(self) -> float | None:
        """When the next key is due; None where none waits."""
        self._clear_stale()
        return self._heap[0][0] if self._heap else None

    def lag_s(self, now: float) -> float:
        """For how long the most overdue key has been waiting, or the oldest one has been in flight."""
        due = self.next_due()
        waiting = 0.0 if due is None else now - due
        return max(waiting, max((now - since for since in self._running.values()), default=0.0), 0.0)

    def _land(self, key: K, at: float) -> None:
        del self._running[key]
        again = self._again.pop(key, None)
        if key in self._dropped:
            self._dropped.discard(key)
            self._failures.pop(key, None)
            return
        due = at if again is None else min(at, again)
        if due < math.inf:
            self.add(key, due)

    def _clear_stale(self) -> None:
        """Entries whose key was brought forward, taken or dropped stay in the heap until they come up."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)

"""What Prometheus said of one resource lately, and whether it can still be relied on."""

import math
from dataclasses import dataclass, field

from tiersplit_operator.adaptation.samples import Seen

SHOWN_DOUBTS = 3


@dataclass(slots=True)
class Telemetry:
    """The answers of one resource's polls.

    A server that never had a sample of the resource is not what it is observed by: heads' own reports are. One that had
    some and has none any more has failed, as has one that does not answer or answers what cannot be.

    Attributes:
        seen: the newest numbers.
        problem: why the newest poll told nothing usable; empty: it did.
        failing_since: monotonic second of the first of the polls in a row that failed.
        asked: there was a poll.
        changed_at: monotonic second of the newest poll that said something else than the one before.
    """

    seen: Seen = field(default_factory=Seen)
    problem: str = ""
    failing_since: float | None = None
    asked: bool = False
    changed_at: float = -math.inf
    _known: bool = False
    _answer: tuple[Seen, str] | None = None

    def repeats(self, seen: Seen, problem: str) -> bool:
        """Whether the newest poll answered the very same: taking it again changes nothing."""
        return self._answer == (seen, problem)

    def take(self, seen: Seen, problem: str, now: float) -> None:
        """Take one poll's answer.

        Args:
            seen: what can be used.
            problem: why there is no answer; empty: there is one.
            now: monotonic seconds.
        """
        lost = "Prometheus has no sample of this resource any more" if self._known and not seen.values else ""
        before, self._answer = (self.seen, self.problem), (seen, problem)
        self.seen, self.asked = seen, True
        self.problem = problem or "; ".join(seen.doubts[:SHOWN_DOUBTS]) or lost
        if (self.seen, self.problem) != before:
            self.changed_at = now
        self._known = self._known or bool(seen.values)
        if not self.problem:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = now

    def failed(self, now: float, threshold: int, period_s: float) -> bool:
        """Whether so many polls in a row have failed."""
        return self.failing_since is not None and now - self.failing_since >= (threshold - 1) * period_s

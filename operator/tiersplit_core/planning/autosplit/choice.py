"""The choice among potential solutions: the fastest one that is accurate enough (AUTO-SPLIT §4.2, remark 4).

Users say how much accuracy they give up, not which E that is. So accuracy is measured, which takes long, and only for
candidates that matter: those that no other one beats in both seconds and distortion.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from tiersplit_core.cost.widths import MEETS
from tiersplit_core.planning.autosplit.solutions import Candidate


@dataclass
class Accuracies:
    """Measured accuracies; each candidate is measured once.

    Attributes:
        measure: the accuracy of a candidate, larger is better; expensive.
    """

    measure: Callable[[Candidate], float]
    _known: dict[bytes, float] = field(default_factory=dict)

    def of(self, candidate: Candidate) -> float:
        """The accuracy of a candidate."""
        key = candidate.split.tiers.tobytes() + candidate.choice.tobytes()
        if key not in self._known:
            self._known[key] = self.measure(candidate)
        return self._known[key]

    @property
    def measured(self) -> int:
        """How many candidates were measured."""
        return len(self._known)


def within_distortion(candidates: Iterable[Candidate], max_distortion: float | None) -> list[Candidate]:
    """The candidates that satisfy equation (4), fastest first, the more exact of equally fast ones first."""
    limit = np.inf if max_distortion is None else max_distortion * (1 + MEETS)
    kept = [candidate for candidate in candidates if candidate.distortion <= limit]
    return sorted(kept, key=lambda c: (c.objective_s, c.distortion, c.memory_bytes))


def that_matter(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, fastest first, without those that are no faster than one of less distortion."""
    kept: list[Candidate] = []
    for candidate in within_distortion(candidates, None):
        if not kept or candidate.distortion < kept[-1].distortion:
            kept.append(candidate)
    return kept


def fastest_accurate(candidates: Iterable[Candidate], accuracies: Accuracies, least: float) -> Candidate | None:
    """The fastest candidate that matters and whose accuracy is at least `least`; None where none is.

    They are measured from the fastest on, until one is good enough.
    """
    return next((found for found in that_matter(candidates) if accuracies.of(found) >= least), None)


def bisected(candidates: Iterable[Candidate], accuracies: Accuracies, least: float) -> Candidate | None:
    """As `fastest_accurate`, with a logarithm of the measurements.

    What is returned was measured to be accurate enough. That nothing faster is, holds where accuracy falls as
    distortion rises, which is what equation (4) stands for.
    """
    ordered = that_matter(candidates)
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if accuracies.of(ordered[middle]) >= least:
            high = middle
        else:
            low = middle + 1
    return ordered[high] if high < len(ordered) else None

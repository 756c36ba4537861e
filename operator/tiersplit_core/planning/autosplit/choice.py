"""The choice among potential solutions: the fastest one that is accurate enough (AUTO-SPLIT §4.2, remark 4).

Users say how much accuracy they give up, not which E that is. So accuracy is measured, one candidate after another from
the fastest on, until one is good enough. A candidate is not measured where one of the same split that is nowhere
coarser has failed already.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from tiersplit_core.cost.arrays import Ints
from tiersplit_core.cost.widths import WidthArrays
from tiersplit_core.planning.autosplit.exact_widths import MEETS
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


def fastest_accurate(
    candidates: Iterable[Candidate], widths: WidthArrays, accuracies: Accuracies, least: float
) -> Candidate | None:
    """The fastest candidate whose accuracy is at least `least`; None where none is.

    Args:
        candidates: the list S.
        widths: the layers at all widths.
        accuracies: measures what is not known.
        least: the accuracy that must be reached.
    """
    failed: list[Candidate] = []
    for candidate in within_distortion(candidates, None):
        if any(_nowhere_coarser(widths, worse, candidate) for worse in failed):
            continue
        if accuracies.of(candidate) >= least:
            return candidate
        failed.append(candidate)
    return None


def _nowhere_coarser(widths: WidthArrays, first: Candidate, second: Candidate) -> bool:
    """Whether the first has the second's split and at no layer fewer bits of weights or activations."""
    if not np.array_equal(first.split.tiers, second.split.tiers):
        return False
    kinds = (widths.weight_bits, widths.activation_bits)
    return all((_bits(bits, first.choice) >= _bits(bits, second.choice)).all() for bits in kinds)


def _bits(bits: Ints, choice: Ints) -> Ints:
    """Bits per layer of a choice, shape (L,); more than any variant's where a layer runs as it is."""
    chosen = bits[np.arange(len(choice)), choice]
    return np.where(chosen == 0, np.iinfo(np.int64).max, chosen)

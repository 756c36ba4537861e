"""What was seen of a tensor, in bounded memory: counts in equal bins whose width doubles when a value lies outside."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 4096
"""Bins over the values from −reach to reach; even, so that none holds numbers of both signs."""

_COARSE = 512


@dataclass
class Histogram:
    """A tensor's distribution; zeros, which every grid represents exactly, are counted apart.

    Attributes:
        reach: the bins end at −reach and reach; 0 before a number other than 0 was seen.
        counts: numbers per bin.
        zeros: how often 0 was seen.
        low: the lowest number seen; 0 if none was below.
        high: the highest number seen; 0 if none was above.
    """

    reach: float = 0.0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    zeros: int = 0
    low: float = 0.0
    high: float = 0.0

    def add(self, values: NDArray[Any]) -> None:
        """See more values; infinities and NaN, which no range can cover, do not count."""
        flat = values.reshape(-1).astype(np.float32, copy=False)
        if not np.isfinite(flat).all():
            flat = flat[np.isfinite(flat)]
        zeros = flat.size - int(np.count_nonzero(flat))
        self.zeros += zeros
        if zeros == flat.size:
            return
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        self._grow(max(-self.low, self.high))
        place = ((flat.astype(np.float64) / self.reach + 1) * (BINS // 2)).astype(np.int32)
        np.minimum(place, BINS - 1, out=place)
        self.counts += np.bincount(place, minlength=BINS)
        self.counts[BINS // 2] -= zeros

    @property
    def total(self) -> int:
        """How many numbers were seen."""
        return self.zeros + int(self.counts.sum())

    def points(self, coarse: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Middles and counts of the bins that hold something; `coarse`: of at most 512 bins."""
        counts = self.counts.reshape(_COARSE, -1).sum(axis=1) if coarse else self.counts
        width = 2 * self.reach / len(counts)
        held = np.flatnonzero(counts)
        middles = -self.reach + (held + 0.5) * width
        return np.clip(middles, self.low, self.high), counts[held].astype(np.float64)

    def _grow(self, needed: float) -> None:
        if self.reach == 0:
            self.reach = needed
        while self.reach < needed:
            inner = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(inner, BINS // 4)
            self.reach *= 2

"""Latency and bandwidth of a link by recursive least squares, and how far transmissions scatter around them.

A transmission of `n` bytes takes `2 · idle · latency + 8 n / bandwidth` seconds until its receipt is back. Both
unknowns are fitted with exponential forgetting (Ljung, System Identification, §11.2) in information form, on residuals
relative to the seconds plus the jitter that even the shortest transmission has. The information that is forgotten is
replaced by that of a prior, so that directions that the data do not excite (all payloads equally large) stay where the
prior has them instead of winding up.

The jitter is what the ends add, a busy processor for instance: it is learnt, and where it is large more transmissions
are remembered. Residuals to one side are no jitter: the tracking signal of Trigg and Leach (Exponential smoothing with
an adaptive response rate, 1967) tells them from it, and forgetting becomes fast.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.adaptation.observation import LinkSample

Vector = NDArray[np.float64]
RATE, LEAST_RATE, DRIFT_RATE = 0.15, 0.02, 0.4
"""Share of the information that a transmission lets forget: as a rule, where they scatter widely, when they drift."""
PRIOR_SHARE = 0.01
"""Of the prior's information, in what replaces what was forgotten."""
NOISE = 0.05
"""Relative spread that transmissions have anyway; residuals are judged in units of it."""
JITTER_S, MAX_JITTER_S = 4e-3, 1.0
"""Seconds that are added before residuals are taken relatively: 0.2 ms more or less are one unit for short ones."""
NOISE_RATE = 0.2
MAX_BANDWIDTH_BPS = 1e12
_SMALLEST_S = 8e6 / MAX_BANDWIDTH_BPS


@dataclass(frozen=True, slots=True)
class Belief:
    """How firmly a prior is held: spreads of the latency (relative and absolute) and of the seconds per byte."""

    latency_spread: float
    latency_floor_s: float
    bandwidth_spread: float


@dataclass(frozen=True, slots=True)
class Noise:
    """How far transmissions scatter around what is expected of them.

    Attributes:
        drift: mean residual, in units of `NOISE`.
        spread: mean absolute residual, likewise.
        beyond_s: seconds that must be added to the expected ones for residuals to be one unit in the mean.
    """

    drift: float = 0.0
    spread: float = 1.0
    beyond_s: float = 0.0

    @property
    def jitter_s(self) -> float:
        """What is added to seconds before residuals are taken relatively."""
        return min(max(self.beyond_s, JITTER_S), MAX_JITTER_S)

    def residual(self, seconds: float, expected_s: float) -> float:
        """Observed minus expected, in units of the noise; the ratio counts, not the difference."""
        return math.log((seconds + self.jitter_s) / (expected_s + self.jitter_s)) / NOISE

    def after(self, residual: float, expected_s: float) -> "Noise":
        """The noise after one more transmission."""
        off = residual - self.drift
        beyond_s = abs(off) * (expected_s + self.jitter_s) - expected_s
        return Noise(
            self.drift + NOISE_RATE * off,
            self.spread + NOISE_RATE * (abs(residual) - self.spread),
            self.beyond_s + NOISE_RATE * (beyond_s - self.beyond_s),
        )

    def rate(self, seconds: float) -> float:
        """Share of the information that a transmission of so many seconds lets forget."""
        certain = ((seconds + JITTER_S) / (seconds + self.jitter_s)) ** 2
        tracking = abs(self.drift) / max(self.spread, 0.5)
        return max(RATE * certain, LEAST_RATE, DRIFT_RATE * tracking**3)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What is known of latency and seconds per megabyte.

    Attributes:
        information: 2×2.
        evidence: information times solution.
        prior: its strength, and its strength times what it believes; 2×2.
        samples: transmissions since it was begun.
    """

    information: Vector
    evidence: Vector
    prior: Vector
    samples: int = 0

    @staticmethod
    def begun(latency_s: float, per_megabyte_s: float, belief: Belief, slowest: float = 0.0) -> "Fit":
        """A prior alone.

        Args:
            latency_s: believed, one way.
            per_megabyte_s: believed seconds per megabyte.
            belief: how firmly.
            slowest: seconds per megabyte that must lie within the spread.
        """
        # Pseudo-observations whose spreads, in units of NOISE like the residuals, give their weights.
        latency_spread_s = belief.latency_spread * latency_s + belief.latency_floor_s
        spreads = np.array([latency_spread_s, max(belief.bandwidth_spread * per_megabyte_s, slowest)])
        strength = (NOISE / spreads) ** 2
        pull = strength * np.array([latency_s, per_megabyte_s])
        return Fit(np.diag(strength), pull, np.stack([strength, pull]))

    @property
    def solution(self) -> tuple[float, float]:
        """One-way latency in seconds, and seconds per megabyte."""
        # Cramer's rule on floats: a general solver spends ten times as long on two unknowns, and links are always seen.
        ((a, b), (_, d)), (p, q) = self.information.tolist(), self.evidence.tolist()
        determinant = a * d - b * b
        latency_s, per_megabyte_s = (d * p - b * q) / determinant, (a * q - b * p) / determinant
        if latency_s < 0:
            # The nearest admissible point: with the latency held at zero, the bandwidth alone explains the evidence.
            latency_s, per_megabyte_s = 0.0, q / d
        elif per_megabyte_s < _SMALLEST_S:
            latency_s = (p - b * _SMALLEST_S) / a
        return max(latency_s, 0.0), max(per_megabyte_s, _SMALLEST_S)

    def expected_s(self, sample: LinkSample) -> float:
        """Seconds that a transmission like this one takes."""
        latency_s, per_megabyte_s = self.solution
        return 2.0 * sample.idle_before * latency_s + sample.payload_bytes / 1e6 * per_megabyte_s

    def after(self, sample: LinkSample, noise: Noise, weight: float = 1.0) -> "Fit":
        """The fit after one more transmission.

        Args:
            sample: the transmission.
            noise: of the link.
            weight: from 0 to 1.
        """
        scale = 1 / (sample.seconds + noise.jitter_s)
        row, rate = _row(sample) * scale, noise.rate(sample.seconds)
        strength, pull = self.prior
        leak = rate * PRIOR_SHARE
        return Fit(
            (1 - rate) * self.information + leak * np.diag(strength) + weight * np.outer(row, row),
            (1 - rate) * self.evidence + leak * pull + weight * row * sample.seconds * scale,
            self.prior,
            self.samples + 1,
        )


def _row(sample: LinkSample) -> Vector:
    return np.array([2.0 * sample.idle_before, sample.payload_bytes / 1e6])

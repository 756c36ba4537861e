"""Links and loads as estimated from observations.

A transmission of `n` bytes takes `2 · idle · latency + 8 n / bandwidth` seconds until its receipt is back. Both
unknowns are fitted by recursive least squares with exponential forgetting (Ljung, System Identification, §11.2) in
information form, on residuals relative to the seconds plus the jitter that even the shortest transmission has.
The information that is forgotten is replaced by that of a prior, so that directions that the data do not excite (all
payloads equally large) stay where the prior has them instead of winding up.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from tiersplit_core.adaptation.observation import LinkSample, SegmentSample

Vector = NDArray[np.float64]
FORGETTING = 0.85
NOISE = 0.05
"""Relative spread that transmissions have anyway; residuals are judged in units of it."""
JITTER_S = 4e-3
"""Seconds that are added before residuals are taken relatively: 0.2 ms more or less are one unit for short ones."""
LEAK = (1 - FORGETTING) / 100
"""Share of the prior's information that replaces what was forgotten."""
HUBER = 2.0
GATE = 6.0
"""Residuals beyond this many units are held back: alone an outlier, two alike in a row a change."""
CHANGE_SAMPLES = 2
MISFIT_SAMPLES = 3
"""So many held back in a row mean that latency and bandwidth were told apart wrongly, whatever their signs."""
MAX_BANDWIDTH_BPS = 1e12
LOAD_JITTER_S = 5e-4


@dataclass(frozen=True, slots=True)
class _Belief:
    """How firmly a prior is held: spreads of the latency (relative and absolute) and of the seconds per byte."""

    latency_spread: float
    latency_floor_s: float
    bandwidth_spread: float


_AT_START = _Belief(0.1, 5e-4, 2.5)
_AFTER_CHANGE = _Belief(0.3, 2e-3, 10.0)
"""Payloads that are all equally large leave the split between both unknowns to the prior: bandwidth changes oftener."""


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """A link as estimated.

    Attributes:
        bandwidth_bps: bits per second.
        latency_s: one way; a transmission over an idle link contains it twice, there and back.
        down: transmissions are lost and none has come through since.
        samples: observations since the start or the last change.
    """

    bandwidth_bps: float
    latency_s: float
    down: bool = False
    samples: int = 0


@dataclass
class LinkEstimator:
    """Bandwidth and latency of one link.

    Attributes:
        bandwidth_bps: what is believed before anything is seen.
        latency_s: likewise; believed more firmly, since equally large payloads do not tell it from bandwidth.
        lost_threshold: transmissions lost in a row that make the link down.
    """

    bandwidth_bps: float
    latency_s: float
    lost_threshold: int = 1
    _information: Vector = field(init=False)
    _evidence: Vector = field(init=False)
    _prior: Vector = field(init=False)
    _held: list[LinkSample] = field(init=False, default_factory=list)
    _lost: int = field(init=False, default=0)
    _samples: int = field(init=False, default=0)
    _roughness: float = field(init=False, default=1.0)

    def __post_init__(self) -> None:
        self._restart(self.latency_s, 8e6 / self.bandwidth_bps, _AT_START)

    @property
    def estimate(self) -> LinkEstimate:
        """The link as estimated now."""
        latency_s, per_megabyte_s = self._solution()
        bandwidth_bps = min(8e6 / max(per_megabyte_s, 1e-12), MAX_BANDWIDTH_BPS)
        return LinkEstimate(bandwidth_bps, latency_s, self._lost >= self.lost_threshold, self._samples)

    @property
    def held(self) -> LinkSample | None:
        """The newest surprising transmission that no other one has confirmed or refuted yet."""
        return self._held[-1] if self._held else None

    def observe(self, sample: LinkSample) -> None:
        """Take one transmission into account."""
        if sample.lost:
            self._lost += 1
            return
        if self._lost >= self.lost_threshold:
            # What the link was before it went down says little about what it is now that it is back.
            self._restart(*self._solution(), _AFTER_CHANGE)
        self._lost = 0
        if sample.seconds <= 0 or sample.payload_bytes <= 0:
            return
        self._weigh(sample)

    def _weigh(self, sample: LinkSample) -> None:
        residual = self._residual(sample)
        if abs(residual) <= GATE:
            self._held = [held for held in self._held if not self._refutes(sample, held)]
            self._roughness += (1 - FORGETTING) * (max(residual**2, 1.0) - self._roughness)
            self._update(sample, min(1.0, HUBER / max(abs(residual), 1e-9)))
            return
        alike = [held for held in self._held[-1:] if self._confirms(sample, held)]
        self._held.append(sample)
        if alike or len(self._held) >= MISFIT_SAMPLES or self._samples < CHANGE_SAMPLES:
            self._change([*alike, sample] if alike else self._held)

    def _as_if_changed(self, sample: LinkSample, held: LinkSample) -> LinkSample:
        """`sample` with the seconds that it would have taken, were `held` a change of the bandwidth."""
        latency_s, _ = self._solution()
        moving_s = max(held.seconds - 2 * held.idle_before * latency_s, 0.0)
        seconds = 2 * sample.idle_before * latency_s + moving_s * sample.payload_bytes / held.payload_bytes
        return replace(sample, seconds=seconds)

    def _refutes(self, sample: LinkSample, held: LinkSample) -> bool:
        """Were `held` a change, `sample`, as expected as it is, would have been surprising too."""
        return abs(self._residual(self._as_if_changed(sample, held))) > GATE

    def _confirms(self, sample: LinkSample, held: LinkSample) -> bool:
        """`sample` is nearer to what a change would have made of it than to what was expected."""
        residual, changed = self._residual(sample), self._residual(self._as_if_changed(sample, held))
        return residual * changed > 0 and abs(residual) > abs(changed) / 2

    def _change(self, held: list[LinkSample]) -> None:
        # The slowest that the link can be, were all seconds spent on bytes: the truth must lie within the spread.
        slowest = max(sample.seconds / (sample.payload_bytes / 1e6) for sample in held)
        self._restart(*self._solution(), _AFTER_CHANGE, slowest)
        for sample in held:
            self._update(sample, 1.0)

    def _restart(self, latency_s: float, per_megabyte_s: float, belief: _Belief, slowest: float = 0.0) -> None:
        # Pseudo-observations whose spreads, in units of NOISE like the residuals, give their weights.
        latency_spread_s = belief.latency_spread * latency_s + belief.latency_floor_s
        spreads = np.array([latency_spread_s, max(belief.bandwidth_spread * per_megabyte_s, slowest)])
        strength = (NOISE / spreads) ** 2
        believed = np.array([latency_s, per_megabyte_s])
        self._prior = np.stack([strength, strength * believed])
        self._information = np.diag(strength)
        self._evidence = strength * believed
        self._held = []
        self._samples = 0

    def _row(self, sample: LinkSample) -> Vector:
        return np.array([2.0 * sample.idle_before, sample.payload_bytes / 1e6])

    def _residual(self, sample: LinkSample) -> float:
        """Observed minus expected, in units of the noise; the ratio counts, not the difference."""
        expected = float(self._row(sample) @ self._solution())
        return float(np.log((sample.seconds + JITTER_S) / (expected + JITTER_S))) / NOISE

    def _update(self, sample: LinkSample, weight: float) -> None:
        scale = 1 / (sample.seconds + JITTER_S)
        row = self._row(sample) * scale
        strength, pull = self._prior
        # Where transmissions scatter more, payloads of nearly one size would tell the unknowns apart by their noise.
        leak = LEAK * self._roughness
        self._information = FORGETTING * self._information + leak * np.diag(strength) + weight * np.outer(row, row)
        self._evidence = FORGETTING * self._evidence + leak * pull + weight * row * sample.seconds * scale
        self._samples += 1

    def _solution(self) -> tuple[float, float]:
        latency_s, per_megabyte_s = np.linalg.solve(self._information, self._evidence)
        smallest = 8e6 / MAX_BANDWIDTH_BPS
        if latency_s < 0:
            # The nearest admissible point: with the latency held at zero, the bandwidth alone explains the evidence.
            latency_s, per_megabyte_s = 0.0, self._evidence[1] / self._information[1, 1]
        elif per_megabyte_s < smallest:
            latency_s = (self._evidence[0] - self._information[0, 1] * smallest) / self._information[0, 0]
        return max(float(latency_s), 0.0), max(float(per_megabyte_s), smallest)


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """How much slower than profiled a tier runs; 1.0 is as profiled.

    Attributes:
        load: observed over profiled seconds.
        runs: how many runs of segments were seen.
    """

    load: float = 1.0
    runs: int = 0

    def observe(self, samples: tuple[SegmentSample, ...], forgetting: float = 0.9) -> "LoadEstimate":
        """The estimate after one report; segments count by their seconds.

        Each run moves the estimate by `1 − forgetting` of the way, starting at 1: a first cold run is soon outweighed,
        and a doubled load is followed to 90% within 22 runs. Half a millisecond that the runs of small segments take
        more or less is no load.
        """
        usable = [sample for sample in samples if sample.profiled_s > 0 and sample.seconds > 0 and sample.runs > 0]
        if not usable:
            return self
        profiled_s = sum(sample.profiled_s for sample in usable) + LOAD_JITTER_S
        ratio = (sum(sample.seconds for sample in usable) + LOAD_JITTER_S) / profiled_s
        kept = forgetting ** max(sample.runs for sample in usable)
        load = kept * self.load + (1 - kept) * min(max(ratio, 0.01), 1000.0)
        return LoadEstimate(load, self.runs + sum(sample.runs for sample in usable))

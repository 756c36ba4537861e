"""Links and loads as estimated from observations.

What surprises is held back until it is confirmed, and a change that the next transmissions speak against is taken back:
a transmission that hesitates, or two of them, are no other link. `fit` has the least squares behind it.
"""

from dataclasses import dataclass, field, replace

from tiersplit_core.adaptation.fit import MAX_BANDWIDTH_BPS, Belief, Fit, Noise
from tiersplit_core.adaptation.observation import LinkSample, SegmentSample

HUBER = 2.0
GATE = 6.0
"""Residuals beyond this many units are held back: alone an outlier, two alike in a row a change."""
CHANGE_SAMPLES = 2
MISFIT_SAMPLES = 3
"""So many held back in a row mean that latency and bandwidth were told apart wrongly, whatever their signs."""
REGRET, CERTAINTY, DOUBTED_SAMPLES = 15.0, 30.0, 10
"""A change is taken back where squared residuals without it, summed over what came since, are by so much smaller. It is
certain where they are by so much larger, or after so many transmissions."""
WITNESS = 3.0
"""Units of residual with which one transmission speaks for or against a change at the most: one decides nothing."""
FIRM_SAMPLES = 5
"""Fewer have shown nothing that one could go back to."""
LOAD_JITTER_S = 5e-4
"""Of a processor: so much more a run takes that finds its caches cold."""
_AT_START = Belief(0.1, 5e-4, 2.5)
_AFTER_CHANGE = Belief(0.3, 2e-3, 10.0)
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


@dataclass(slots=True)
class _Doubt:
    """Whether a change was one.

    Attributes:
        fit: what would be believed had nothing changed.
        noise: likewise.
        regret: by how much smaller squared residuals since would be.
        samples: transmissions since.
    """

    fit: Fit
    noise: Noise
    regret: float = 0.0
    samples: int = 0

    def weigh(self, sample: LinkSample, changed: Fit) -> None:
        """Compare what is expected of a transmission without and with the change."""
        without, with_it = (
            min(abs(self.noise.residual(sample.seconds, fit.expected_s(sample))), WITNESS)
            for fit in (self.fit, changed)
        )
        self.regret += with_it**2 - without**2
        self.samples += 1

    @property
    def settled(self) -> bool:
        """The change is certain."""
        return self.regret < -CERTAINTY or self.samples >= DOUBTED_SAMPLES


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
    _fit: Fit = field(init=False)
    _noise: Noise = field(init=False, default=Noise())
    _held: list[LinkSample] = field(init=False, default_factory=list)
    _doubt: _Doubt | None = field(init=False, default=None)
    _lost: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._fit = Fit.begun(self.latency_s, 8e6 / self.bandwidth_bps, _AT_START)

    @property
    def estimate(self) -> LinkEstimate:
        """The link as estimated now."""
        latency_s, per_megabyte_s = self._fit.solution
        bandwidth_bps = min(8e6 / max(per_megabyte_s, 1e-12), MAX_BANDWIDTH_BPS)
        return LinkEstimate(bandwidth_bps, latency_s, self._lost >= self.lost_threshold, self._fit.samples)

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
            self._restart()
        self._lost = 0
        if sample.seconds <= 0 or sample.payload_bytes <= 0:
            return
        self._reconsider(sample)
        self._weigh(sample)

    def _reconsider(self, sample: LinkSample) -> None:
        """Take the newest change back where `sample` speaks against it."""
        doubt = self._doubt
        if doubt is None:
            return
        doubt.weigh(sample, self._fit)
        if doubt.regret > REGRET:
            self._fit, self._noise, self._held = doubt.fit, doubt.noise, []
        if doubt.regret > REGRET or doubt.settled:
            self._doubt = None

    def _weigh(self, sample: LinkSample) -> None:
        residual = self._residual(sample)
        if abs(residual) <= GATE:
            self._accept(sample, residual)
            return
        alike = [held for held in self._held[-1:] if self._confirms(sample, held)]
        self._held.append(sample)
        if alike or len(self._held) >= MISFIT_SAMPLES or self._fit.samples < CHANGE_SAMPLES:
            self._change([*alike, sample] if alike else self._held)

    def _accept(self, sample: LinkSample, residual: float) -> None:
        refuted = [held for held in self._held if self._refutes(sample, held)]
        self._held = [held for held in self._held if held not in refuted]
        for seen in (*refuted, sample):
            bounded = max(-GATE, min(self._residual(seen), GATE))
            self._noise = self._noise.after(bounded, self._fit.expected_s(seen))
        self._fit = self._fit.after(sample, self._noise, min(1.0, HUBER / max(abs(residual), 1e-9)))

    def _refutes(self, sample: LinkSample, held: LinkSample) -> bool:
        """Were `held` a change, `sample`, as expected as it is, would have been surprising too."""
        return abs(self._if_changed(sample, held)) > GATE

    def _confirms(self, sample: LinkSample, held: LinkSample) -> bool:
        """`sample` is nearer to what a change would have made of it than to what was expected."""
        residual, changed = self._residual(sample), self._if_changed(sample, held)
        return residual * changed > 0 and abs(residual) > abs(changed) / 2

    def _if_changed(self, sample: LinkSample, held: LinkSample) -> float:
        return self._noise.residual(_as_if_changed(sample, held, self._fit), self._fit.expected_s(sample))

    def _change(self, held: list[LinkSample]) -> None:
        # The slowest that the link can be, were all seconds spent on bytes: the truth must lie within the spread.
        slowest = max(sample.seconds / (sample.payload_bytes / 1e6) for sample in held)
        self._restart(slowest)
        for sample in held:
            self._fit = self._fit.after(sample, self._noise)

    def _restart(self, slowest: float = 0.0) -> None:
        if self._doubt is not None:  # of changes that follow each other the first one may have been the mistake
            self._doubt = replace(self._doubt, regret=0.0, samples=0)
        elif self._fit.samples >= FIRM_SAMPLES:
            self._doubt = _Doubt(self._fit, self._noise)
        self._fit = Fit.begun(*self._fit.solution, _AFTER_CHANGE, slowest)
        self._held, self._noise = [], replace(self._noise, drift=0.0)

    def _residual(self, sample: LinkSample) -> float:
        return self._noise.residual(sample.seconds, self._fit.expected_s(sample))


def _as_if_changed(sample: LinkSample, held: LinkSample, fit: Fit) -> float:
    """Seconds that `sample` would have taken, were `held` a change of the bandwidth since `fit`."""
    latency_s, _ = fit.solution
    moving_s = max(held.seconds - 2 * held.idle_before * latency_s, 0.0)
    return 2 * sample.idle_before * latency_s + moving_s * sample.payload_bytes / held.payload_bytes


@dataclass(frozen=True, slots=True)
class LoadEstimate:
    """How much slower than profiled a tier runs; 1.0 is as profiled.

    Attributes:
        load: observed over profiled seconds.
        runs: how many runs of segments were seen.
    """

    load: float = 1.0
    runs: int = 0

    def observe(
        self, samples: tuple[SegmentSample, ...], forgetting: float = 0.9, jitter_s: float = LOAD_JITTER_S
    ) -> "LoadEstimate":
        """The estimate after one report; segments count by their seconds.

        Each run moves the estimate by `1 − forgetting` of the way, starting at 1: a first cold run is soon outweighed,
        and a doubled load is followed to 90% within 22 runs.

        Args:
            samples: of the report.
            forgetting: from 0 to 1.
            jitter_s: what the runs of small segments take more or less is no load.
        """
        usable = [sample for sample in samples if sample.profiled_s > 0 and sample.seconds > 0 and sample.runs > 0]
        if not usable:
            return self
        profiled_s = sum(sample.profiled_s for sample in usable) + jitter_s
        ratio = (sum(sample.seconds for sample in usable) + jitter_s) / profiled_s
        kept = forgetting ** max(sample.runs for sample in usable)
        load = kept * self.load + (1 - kept) * min(max(ratio, 0.01), 1000.0)
        return LoadEstimate(load, self.runs + sum(sample.runs for sample in usable))

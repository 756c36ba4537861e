"""What a link costs besides its bandwidth and latency, so that predicted seconds are those that requests see."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from tiersplit_core.errors import ProfileError


@dataclass(frozen=True, slots=True)
class LinkProfile:
    """A link between two neighbouring tiers and what its two ends spend on a transmission.

    Attributes:
        source: the tier that sends.
        target: the tier that receives.
        bandwidth_bps: bits per second of the medium.
        latency_s: propagation, one way.
        overhead_s: seconds per transmission at both ends: queue hops, frames, gRPC.
        seconds_per_byte: seconds per payload byte at both ends: copies, encoding, decoding.
    """

    source: str
    target: str
    bandwidth_bps: float
    latency_s: float
    overhead_s: float = 0.0
    seconds_per_byte: float = 0.0

    @property
    def effective_bandwidth_bps(self) -> float:
        """Bits per second that a payload sees: its copies are made before and after the medium, not beside it."""
        if self.bandwidth_bps <= 0:
            return 0.0
        per_bit = 1 / self.bandwidth_bps + self.seconds_per_byte / 8
        return 1 / per_bit if per_bit > 0 else inf

    @property
    def effective_latency_s(self) -> float:
        """Seconds of a transmission without payload."""
        return self.latency_s + self.overhead_s

    def seconds(self, payload_bytes: int) -> float:
        """Seconds of one transmission of `payload_bytes`; infinite where the link is down."""
        if self.bandwidth_bps <= 0:
            return inf
        return self.effective_latency_s + 8 * payload_bytes / self.effective_bandwidth_bps

    def under(self, bandwidth_bps: float, latency_s: float | None = None) -> "LinkProfile":
        """The same ends on a medium with another bandwidth and, where given, latency."""
        return replace(self, bandwidth_bps=bandwidth_bps, latency_s=self.latency_s if latency_s is None else latency_s)


def fit_overhead(payload_bytes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Fixed seconds and seconds per byte of transmissions over a medium that costs nothing.

    Least squares on (1, bytes), each sample weighted by 1/seconds so that small frames count as much as large ones;
    neither part is negative.

    Args:
        payload_bytes: sizes, at least two different ones.
        seconds: what each took.

    Returns:
        (overhead_s, seconds_per_byte).

    Raises:
        ProfileError: the lengths differ, or all sizes are equal.
    """
    sizes, taken = np.asarray(payload_bytes, float), np.asarray(seconds, float)
    if sizes.shape != taken.shape or len(np.unique(sizes)) < 2:
        raise ProfileError("a link's overhead needs transmissions of at least two sizes, each with its seconds")
    weight = 1 / np.maximum(taken, 1e-9)
    design = np.stack([np.ones_like(sizes), sizes], axis=1) * weight[:, None]
    (fixed, slope), *_ = np.linalg.lstsq(design, taken * weight)
    if fixed < 0 or slope < 0:
        fixed, slope = (0.0, _ratio(sizes, taken, weight)) if fixed < 0 else (float(np.median(taken)), 0.0)
    return float(fixed), float(slope)


def _ratio(sizes: np.ndarray, taken: np.ndarray, weight: np.ndarray) -> float:
    """Slope of the line through the origin, fitted with the same weights."""
    return float(np.sum(sizes * taken * weight**2) / np.sum((sizes * weight) ** 2))

"""The bandwidth trace that is played, and what a mean over it is."""

from collections.abc import Sequence
from dataclasses import dataclass

from tiersplit_core.units import format_bandwidth

LINK = ("edge", "mdc")
"""The link whose bandwidth changes: the radio between the camera's board and the micro-datacenter."""
MBPS = (50.0, 5.0, 0.5, 0.0, 20.0)
PATIENCE_S = 2.0
"""How long a client waits: what a request counts that a fixed split cannot answer because its link is down."""


@dataclass(frozen=True, slots=True)
class Step:
    """The link carries `bandwidth_bps` (0: nothing) for `seconds`."""

    bandwidth_bps: float
    seconds: float

    @property
    def label(self) -> str:
        """`5 Mbps`, or `down`."""
        return format_bandwidth(self.bandwidth_bps) if self.bandwidth_bps > 0 else "down"

    @property
    def quantity(self) -> str:
        """The bandwidth as `tiersplit link set --bandwidth` takes it: `500k`."""
        return f"{round(self.bandwidth_bps / 1e3)}k" if self.bandwidth_bps > 0 else "0"


def steps_of(seconds: float, mbps: Sequence[float] = MBPS) -> tuple[Step, ...]:
    """The trace with steps of `seconds` each."""
    return tuple(Step(value * 1e6, seconds) for value in mbps)


def mean_over(steps: Sequence[Step], seconds: Sequence[float]) -> float:
    """The mean latency over the trace: each step's mean latency in `seconds`, weighed by the step's length."""
    whole = sum(step.seconds for step in steps)
    return sum(step.seconds * mean_s for step, mean_s in zip(steps, seconds, strict=True)) / whole

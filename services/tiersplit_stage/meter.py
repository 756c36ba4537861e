"""What a sender learns about its link from receipts: observations, and how long a transmission may take."""

from collections import deque
from dataclasses import dataclass

_ALPHA = 0.3
_BULK_BYTES = 4096
_LEAST_MOVING = 0.03  # of the seconds: jitter of the latency must not look like an endless bandwidth
_PATIENCE_S, _PATIENCE_FACTOR, _PATIENCE_UNKNOWN_S = 0.5, 4.0, 5.0
_MAX_OBSERVATIONS = 512


@dataclass(frozen=True, slots=True)
class Sent:
    """One transmission that has no receipt yet; `sent_at` in monotonic seconds."""

    request_id: bytes
    size_bytes: int
    sent_at: float
    idle_before: bool
    probe: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """One transmission as its sender saw it: `idle_before` means that seconds contain the latency there and back."""

    size_bytes: int
    seconds: float
    idle_before: bool
    lost: bool = False


class Meter:
    """Matches receipts with transmissions in order; clock-free: every method is told the monotonic second.

    A transmission that began while others were unreceipted is measured from the receipt before it: the time between two
    receipts of a busy link contains no latency.
    """

    def __init__(self) -> None:
        self.outstanding: deque[Sent] = deque()
        self.observations: deque[Observed] = deque(maxlen=_MAX_OBSERVATIONS)
        self.bandwidth_bps: float | None = None
        self.round_trip_s: float | None = None
        self.sent_bytes = 0
        self.busy_s = 0.0
        self._last_receipt = 0.0

    def sent(self, request_id: bytes, size_bytes: int, now: float, *, probe: bool = False) -> None:
        """A transmission begins."""
        self.outstanding.append(Sent(request_id, size_bytes, now, not self.outstanding, probe))
        self.sent_bytes += size_bytes

    def received(self, request_id: bytes, now: float) -> Observed | None:
        """A receipt came: the observation of its transmission; None for a receipt that nothing waits for."""
        if not any(sent.request_id == request_id for sent in self.outstanding):
            return None
        sent = self.outstanding.popleft()
        while sent.request_id != request_id:
            sent = self.outstanding.popleft()
        begun = sent.sent_at if sent.idle_before else max(sent.sent_at, self._last_receipt)
        self._last_receipt = now
        seconds = max(now - begun, 1e-9)
        observed = Observed(sent.size_bytes, seconds, sent.idle_before)
        self.busy_s += seconds
        self.observations.append(observed)
        self._learn(observed)
        return observed

    def overdue_at(self) -> float | None:
        """The monotonic second at which the oldest transmission counts as lost; None when nothing is under way."""
        if not self.outstanding:
            return None
        oldest = self.outstanding[0]
        return max(oldest.sent_at, self._last_receipt) + self.patience_s(oldest.size_bytes)

    def patience_s(self, size_bytes: int) -> float:
        """How long a transmission of `size_bytes` may make no progress: max(0.5 s, 4 × the expected seconds)."""
        if self.bandwidth_bps is None:
            return _PATIENCE_UNKNOWN_S
        expected = (self.round_trip_s or 0.0) + 8 * size_bytes / self.bandwidth_bps
        return max(_PATIENCE_S, _PATIENCE_FACTOR * expected)

    def lost(self, now: float) -> None:
        """Nothing moves any more: report what is under way (or the link itself) as lost."""
        oldest = self.outstanding[0] if self.outstanding else None
        size, since = (oldest.size_bytes, oldest.sent_at) if oldest else (0, now)
        self.observations.append(Observed(size, now - since, oldest.idle_before if oldest else True, lost=True))

    def forget(self) -> None:
        """The connection is gone, and with it every receipt that was to come."""
        self.outstanding.clear()

    def take(self) -> list[Observed]:
        """The observations since the last call."""
        taken = list(self.observations)
        self.observations.clear()
        return taken

    def _learn(self, observed: Observed) -> None:
        if observed.size_bytes < _BULK_BYTES:
            known = self.round_trip_s
            self.round_trip_s = observed.seconds if known is None else known + _ALPHA * (observed.seconds - known)
            return
        latency = (self.round_trip_s or 0.0) if observed.idle_before else 0.0
        moving = max(observed.seconds - latency, observed.seconds * _LEAST_MOVING)
        rate = 8 * observed.size_bytes / moving
        known = self.bandwidth_bps
        self.bandwidth_bps = rate if known is None else 1.0 / ((1 - _ALPHA) / known + _ALPHA / rate)


class ProbeBudget:
    """Which probe an idle link may carry now, so that probing stays within its share of the bandwidth.

    Tiny probes see the latency and whether the link is there; a larger one, once the budget has grown for it, sees the
    bandwidth.

    Args:
        share: of the bandwidth, where the route names no budget of its own.
    """

    TINY_BYTES = 64
    _OVERHEAD_BYTES = 96
    _LARGE_RANGE = (2048, 65536)
    _LEAST_BPS = 2000.0

    def __init__(self, share: float = 0.01) -> None:
        self._share = share
        self._tokens = 0.0
        self._refilled: float | None = None

    def padding(self, now: float, bandwidth_bps: float | None, budget_bps: int) -> int | None:
        """Padding bytes of a probe that may be sent now; None: not yet."""
        rate = self._rate_bps(bandwidth_bps, budget_bps)
        elapsed = 0.0 if self._refilled is None else now - self._refilled
        self._refilled = now
        large = int(min(max((bandwidth_bps or 1e6) * 0.02 / 8, self._LARGE_RANGE[0]), self._LARGE_RANGE[1]))
        self._tokens = min(self._tokens + elapsed * rate / 8, 2.0 * large)
        for size in (large, self.TINY_BYTES):
            if self._tokens >= size + self._OVERHEAD_BYTES:
                self._tokens -= size + self._OVERHEAD_BYTES
                return size
        return None

    def _rate_bps(self, bandwidth_bps: float | None, budget_bps: int) -> float:
        if not budget_bps or bandwidth_bps is None:
            return budget_bps or self._share * (bandwidth_bps or 1e6)
        # The route's budget may be older than what the link was last seen to carry; the least that is left of it lets a
        # link that became slow still be seen to become fast again.
        return min(budget_bps, max(self._share * bandwidth_bps, self._LEAST_BPS))

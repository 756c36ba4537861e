"""What a sender learns about its link from receipts: observations, and how long a transmission may take."""

from collections import deque
from dataclasses import dataclass, replace

from tiersplit_core.adaptation.estimator import LinkEstimate, LinkEstimator
from tiersplit_core.adaptation.observation import LinkSample

FIRST_GUESS_BPS = 1e7
BULK_BYTES = 512
"""Fewer show the latency, not the bandwidth."""
_WITNESS_S, _MAX_WITNESS_BYTES = 0.5, 65536
_PATIENCE_S, _PATIENCE_FACTOR, _PATIENCE_UNKNOWN_S = 0.5, 4.0, 5.0
_SUSPICION_S = 0.25
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


def first_estimator(seen: Observed, bandwidth_bps: float, latency_s: float) -> LinkEstimator:
    """An estimator of a link of which `seen` is the first transmission; a small one shows the latency itself.

    Args:
        seen: the transmission; it is not taken into account yet.
        bandwidth_bps: what is believed before.
        latency_s: likewise, where `seen` does not show it.
    """
    return LinkEstimator(bandwidth_bps, seen.seconds / 2 if seen.size_bytes < BULK_BYTES else latency_s)


@dataclass(slots=True)
class Totals:
    """What all streams of a link did since it began, those that left included; nothing of it ever falls.

    Attributes:
        sent_bytes: bytes sent.
        busy_s: seconds spent on those that were received.
        late: answers that came after their request was settled.
    """

    sent_bytes: int = 0
    busy_s: float = 0.0
    late: int = 0


class Meter:
    """Matches receipts with transmissions in order; clock-free: every method is told the monotonic second.

    A transmission that began while others were unreceipted is measured from the receipt before it: the time between two
    receipts of a busy link contains no latency.

    Args:
        totals: of the link; None: nobody asks for them.
    """

    def __init__(self, totals: Totals | None = None) -> None:
        self.outstanding: deque[Sent] = deque()
        self.observations: deque[Observed] = deque(maxlen=_MAX_OBSERVATIONS)
        self.bandwidth_bps: float | None = None
        self.round_trip_s: float | None = None
        self._totals = totals or Totals()
        self._estimator: LinkEstimator | None = None
        self._asked: LinkSample | None = None
        self._last_receipt = 0.0
        self._waited_s: float | None = None

    def sent(self, request_id: bytes, size_bytes: int, now: float, *, probe: bool = False) -> None:
        """A transmission begins."""
        self.outstanding.append(Sent(request_id, size_bytes, now, not self.outstanding, probe))
        self._totals.sent_bytes += size_bytes

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
        self._totals.busy_s += seconds
        return self._observe(self._timely(Observed(sent.size_bytes, seconds, sent.idle_before)))

    def _timely(self, seen: Observed) -> Observed:
        """What the receipt of a transmission that was given up tells: the link moves, and was slow until then.

        What came later may have been an outage, and the bytes of a tiny one say nothing about the bandwidth.
        """
        waited_s, self._waited_s = self._waited_s, None
        if waited_s is None:
            return seen
        size = seen.size_bytes if seen.size_bytes >= BULK_BYTES else 0
        return replace(seen, size_bytes=size, seconds=min(seen.seconds, waited_s))

    @property
    def given_up(self) -> bool:
        """The oldest transmission was reported as lost, and nothing has been received since."""
        return self._waited_s is not None

    @property
    def in_doubt(self) -> bool:
        """The last transmissions were surprising, and nothing has yet shown whether the link has changed."""
        return self._estimator is not None and self._estimator.held is not None

    def witness_bytes(self) -> int | None:
        """Size of a probe that shows whether a surprising transmission was a change; once for each such transmission.

        As many bytes as surprised, so that the latency has the same share in both; but no more than `_WITNESS_S` carry
        at the slower of the bandwidths that are believed and that the surprise has.
        """
        held = self._estimator.held if self._estimator is not None else None
        if held is None or held is self._asked:
            return None
        self._asked = held
        moving_s = max(held.seconds - held.idle_before * (self.round_trip_s or 0.0), 1e-9)
        slower_bps = min(8 * held.payload_bytes / moving_s, self.bandwidth_bps or FIRST_GUESS_BPS)
        carried = max(slower_bps * _WITNESS_S / 8, ProbeBudget.TINY_BYTES)
        return int(min(held.payload_bytes, carried, _MAX_WITNESS_BYTES))

    def suspicious_at(self) -> float | None:
        """The monotonic second from which the oldest transmission may be stuck; None when nothing is under way."""
        return self._deadline(_SUSPICION_S)

    def overdue_at(self) -> float | None:
        """The monotonic second at which the oldest transmission counts as lost; None when nothing is under way."""
        return self._deadline(_PATIENCE_S)

    def _deadline(self, least_s: float) -> float | None:
        if not self.outstanding:
            return None
        oldest = self.outstanding[0]
        return max(oldest.sent_at, self._last_receipt) + self.patience_s(oldest.size_bytes, least_s)

    def patience_s(self, size_bytes: int, least_s: float = _PATIENCE_S) -> float:
        """How long a transmission of `size_bytes` may make no progress: max(`least_s`, 4 × the expected seconds)."""
        if self.bandwidth_bps is None:
            return _PATIENCE_UNKNOWN_S
        expected = (self.round_trip_s or 0.0) + 8 * size_bytes / self.bandwidth_bps
        return max(least_s, _PATIENCE_FACTOR * expected)

    def lost(self, now: float) -> None:
        """Nothing moves any more: report what is under way (or the link itself) as lost."""
        oldest = self.outstanding[0] if self.outstanding else None
        size, since = (oldest.size_bytes, oldest.sent_at) if oldest else (0, now)
        if oldest is not None and self._waited_s is None:
            self._waited_s = now - max(since, self._last_receipt)
        self._observe(Observed(size, now - since, oldest.idle_before if oldest else True, lost=True))

    def forget(self) -> None:
        """The connection is gone, and with it every receipt that was to come."""
        self.outstanding.clear()
        self._waited_s = None

    def take(self) -> list[Observed]:
        """The observations since the last call."""
        taken = list(self.observations)
        self.observations.clear()
        return taken

    def _observe(self, seen: Observed) -> Observed:
        self.observations.append(seen)
        if self._estimator is None and not seen.lost:
            self._estimator = first_estimator(seen, FIRST_GUESS_BPS, 0.0)
        if self._estimator is not None:
            self._estimator.observe(LinkSample(seen.size_bytes, seen.seconds, seen.idle_before, seen.lost))
            self._believe(self._estimator.estimate, seen)
        return seen

    def _believe(self, estimate: LinkEstimate, seen: Observed) -> None:
        self.round_trip_s = 2 * estimate.latency_s
        if self.bandwidth_bps is not None or (seen.size_bytes >= BULK_BYTES and not seen.lost):
            self.bandwidth_bps = estimate.bandwidth_bps


class ProbeBudget:
    """Which probe an idle link may carry now, so that probing stays within its share of the bandwidth.

    Tiny probes see the latency and whether the link is there; a larger one, once the budget has grown for it, sees the
    bandwidth. A probe that answers a question may be sent on credit, if nothing is owed from an earlier one.

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
        large = self._refill(now, bandwidth_bps, budget_bps)
        for size in (large, self.TINY_BYTES):
            if self._tokens >= size + self._OVERHEAD_BYTES:
                self._tokens -= size + self._OVERHEAD_BYTES
                return size
        return None

    def lends(self, size: int, now: float, bandwidth_bps: float | None, budget_bps: int) -> bool:
        """Whether a probe of `size` padding bytes may be sent now, though the budget has not grown for it yet."""
        self._refill(now, bandwidth_bps, budget_bps)
        if self._tokens < 0:
            return False
        self._tokens -= size + self._OVERHEAD_BYTES
        return True

    def _refill(self, now: float, bandwidth_bps: float | None, budget_bps: int) -> int:
        """Let the budget grow until `now`; the size of a large probe."""
        elapsed = 0.0 if self._refilled is None else now - self._refilled
        self._refilled = now
        large = int(min(max((bandwidth_bps or 1e6) * 0.02 / 8, self._LARGE_RANGE[0]), self._LARGE_RANGE[1]))
        grown = self._tokens + elapsed * self._rate_bps(bandwidth_bps, budget_bps) / 8
        self._tokens = min(grown, 2.0 * large)
        return large

    def _rate_bps(self, bandwidth_bps: float | None, budget_bps: int) -> float:
        if not budget_bps or bandwidth_bps is None:
            return budget_bps or self._share * (bandwidth_bps or 1e6)
        # The route's budget may be older than what the link was last seen to carry; the least that is left of it lets a
        # link that became slow still be seen to become fast again.
        return min(budget_bps, max(self._share * bandwidth_bps, self._LEAST_BPS))

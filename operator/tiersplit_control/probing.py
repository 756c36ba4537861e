"""How much of the links probing may use."""

from collections.abc import Iterable

from tiersplit_core.adaptation.estimator import LinkEstimate

PROBE_SHARE = 0.01
MIN_PROBE_BPS, MAX_PROBE_BPS = 2_000, 10_000_000


def probe_budget_bps(links: Iterable[LinkEstimate]) -> int:
    """1% of the narrowest link that is up, in bits per second."""
    rates = [link.bandwidth_bps for link in links if not link.down]
    return int(min(max(PROBE_SHARE * min(rates, default=0.0), MIN_PROBE_BPS), MAX_PROBE_BPS))

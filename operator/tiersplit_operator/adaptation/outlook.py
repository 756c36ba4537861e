"""What is believed of links and loads now: Prometheus first, then heads' reports, then the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass

from tiersplit_control.intent import Intent
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_operator.adaptation.queries import Metric
from tiersplit_operator.adaptation.samples import Seen
from tiersplit_wire.v1 import route_pb2 as pb


@dataclass(frozen=True, slots=True)
class Outlook:
    """One look at a resource's surroundings.

    Attributes:
        links: as estimated, in order.
        loads: observed over profiled seconds per tier, in order.
        batch: the batch size that requests have.
        observed: at least the first link was observed just now, by whomever.
    """

    links: tuple[LinkEstimate, ...]
    loads: tuple[float, ...]
    batch: int
    observed: bool

    @property
    def dead_links(self) -> frozenset[int]:
        """Positions of links that carry nothing."""
        return frozenset(i for i, link in enumerate(self.links) if link.down)


def outlook(
    intent: Intent,
    seen: Seen,
    reported_links: Mapping[tuple[str, str], pb.LinkView],
    reported_loads: Mapping[str, float],
    batch: int,
) -> Outlook:
    """Join the sources.

    A link is down only by the word of those who send over it: a number that Prometheus lacks is no dead link.
    """
    links, observed = [], []
    for link in intent.links:
        place = (link.source, link.target)
        view = reported_links.get(place)
        bandwidth = seen.values.get((Metric.BANDWIDTH, place))
        latency = seen.values.get((Metric.LATENCY, place))
        believed = view.bandwidth_bps if view is not None and view.bandwidth_bps > 0 else link.believed_bps
        latency_s = latency if latency is not None else (view.latency_s if view is not None else link.latency_s)
        links.append(LinkEstimate(bandwidth or believed, latency_s, view is not None and view.down))
        observed.append(bandwidth is not None or view is not None)
    loads = tuple(_load(tier, seen, reported_loads) for tier in intent.tier_names)
    return Outlook(tuple(links), loads, batch, bool(observed and observed[0]))


def _load(tier: str, seen: Seen, reported: Mapping[str, float]) -> float:
    found = seen.values.get((Metric.LOAD, (tier,)))
    return found if found is not None else reported.get(tier, 1.0)


def drifted(before: Outlook, now: Outlook, share: float) -> bool:
    """Whether a link or load changed by more than `share`, or a link went down or came back."""
    if before.dead_links != now.dead_links or len(before.links) != len(now.links):
        return True
    old = [*(link.bandwidth_bps for link in before.links), *before.loads]
    new = [*(link.bandwidth_bps for link in now.links), *now.loads]
    return any(abs(b - a) > share * max(abs(a), 1e-12) for a, b in zip(old, new, strict=True))

"""What is believed of links and loads now: Prometheus first, then heads' reports, then the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass

from tiersplit_control.intent import Intent
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_operator.adaptation.queries import Metric
from tiersplit_operator.adaptation.samples import Seen
from tiersplit_wire.v1 import route_pb2 as pb

_UNSEEN = pb.LinkView()


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
    links, observed = [], False
    for position, link in enumerate(intent.links):
        place = (link.source, link.target)
        view = reported_links.get(place, _UNSEEN)
        bandwidth = seen.values.get((Metric.BANDWIDTH, place), view.bandwidth_bps)
        latency_s = link.latency_s if view is _UNSEEN or view.down else view.latency_s
        latency_s = seen.values.get((Metric.LATENCY, place), latency_s)
        links.append(LinkEstimate(bandwidth or link.believed_bps, latency_s, view.down))
        observed = observed or (position == 0 and (bandwidth > 0 or view.down))
    loads = tuple(_load(tier, seen, reported_loads) for tier in intent.tier_names)
    return Outlook(tuple(links), loads, batch, observed)


def _load(tier: str, seen: Seen, reported: Mapping[str, float]) -> float:
    return seen.values.get((Metric.LOAD, (tier,)), reported.get(tier, 1.0))


def drifted(before: Outlook, now: Outlook, share: float) -> bool:
    """Whether a bandwidth, latency or load changed by more than `share`, or a link went down or came back."""
    if before.dead_links != now.dead_links or len(before.links) != len(now.links):
        return True
    return any(
        abs(new - old) > share * max(abs(old), floor)
        for (old, floor), (new, _) in zip(_numbers(before), _numbers(now), strict=True)
    )


def _numbers(look: Outlook) -> list[tuple[float, float]]:
    """All numbers, each with the size below which it is as good as nothing."""
    links = [(link.bandwidth_bps, 1.0) for link in look.links] + [(link.latency_s, 1e-3) for link in look.links]
    return links + [(load, 1e-3) for load in look.loads]

"""What heads are told besides the plan: how far they may follow their own link, and what they cannot see."""

from collections.abc import Iterable

from tiersplit_control.intent import DeclaredLink, Intent
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.adaptation.policy import Mode
from tiersplit_core.planning.problem import Objective
from tiersplit_operator.adaptation.outlook import Outlook
from tiersplit_wire.v1 import route_pb2 as pb


def guidance(intent: Intent, now: Outlook, allowed: Iterable[str], *, held: bool) -> pb.Guidance:
    """The guidance of a route.

    Args:
        intent: what the manifest asks for.
        now: links and loads as believed.
        allowed: plans that heads may choose.
        held: the selected plan must be used: it is pinned, moves are not automatic, or a fallback is in force.
    """
    follow = intent.policy.mode is Mode.AUTO and not held
    mode = pb.Guidance.MODE_FOLLOW_LINK if follow else pb.Guidance.MODE_FOLLOW_SELECTED
    return pb.Guidance(
        mode=mode,
        min_gain=intent.policy.min_gain,
        cooldown_s=intent.policy.cooldown_s,
        throughput=intent.objective is Objective.THROUGHPUT,
        allowed=sorted(allowed),
        links=[_view(link, estimate) for link, estimate in zip(intent.links, now.links, strict=True)],
        loads=[pb.TierLoad(tier=tier, load=load) for tier, load in zip(intent.tier_names, now.loads, strict=True)],
    )


def _view(link: DeclaredLink, estimate: LinkEstimate) -> pb.LinkView:
    return pb.LinkView(
        source=link.source,
        target=link.target,
        bandwidth_bps=estimate.bandwidth_bps,
        latency_s=estimate.latency_s,
        down=estimate.down,
    )


def told(intent: Intent, guidance: pb.Guidance, batch: int) -> Outlook | None:
    """What heads were told of links and loads; None where that is of other links or tiers, or nothing."""
    links = {(view.source, view.target): view for view in guidance.links}
    loads = {found.tier: found.load for found in guidance.loads}
    places = [(link.source, link.target) for link in intent.links]
    if set(links) != set(places) or set(loads) != set(intent.tier_names):
        return None
    views = [links[place] for place in places]
    estimates = tuple(LinkEstimate(view.bandwidth_bps, view.latency_s, view.down) for view in views)
    return Outlook(estimates, tuple(loads[tier] for tier in intent.tier_names), batch, observed=True)

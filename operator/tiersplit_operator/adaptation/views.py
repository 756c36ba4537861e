"""What there is to say about a resource under adaptation: its status is made of it."""

import math
from collections.abc import Mapping

from tiersplit_api.v1alpha1.types import PINNED_PLAN
from tiersplit_control.catalogue import Catalogue
from tiersplit_control.words import bits_text, form_text
from tiersplit_core.adaptation.policy import Mode, Verdict
from tiersplit_operator.adaptation.member import MAX_MOVES, Member
from tiersplit_operator.adaptation.outlook import Outlook
from tiersplit_operator.adaptation.succession import plan_digest
from tiersplit_operator.facts import AdaptationView, LinkSeen, Move, PinProblem, StageSeen

_SHOWN_DIGITS = 19


def view_of(member: Member, now: float) -> AdaptationView:
    """What there is to say about it now.

    Args:
        member: the resource.
        now: monotonic seconds.
    """
    seen, catalogue = member.outlook(now), member.served.catalogue
    digest = plan_digest(member.selected)
    own = member.selected in member.names.values()
    cost_s = member.costs(seen)[digest] if own else math.inf
    return AdaptationView(
        bundle=member.route.bundle.rpartition("@")[2],
        selected=digest or None,
        split=_split(catalogue.split(digest)) if own else "",
        stages=_stages(catalogue, digest, seen.batch) if own else (),
        accuracy=catalogue.accuracy(digest) if own else None,
        bits=bits_text(catalogue.plans[digest]) if own else "",
        form=form_text(catalogue.plans[digest]) if own else "",
        plans=len(catalogue.plans),
        gap=catalogue.surface.epsilon,
        selectable=frozenset(map(plan_digest, member.selectable(now))),
        expected_s=cost_s if math.isfinite(cost_s) else None,
        observed_s=member.reports.observed_s(now, member.first_tier),
        links=_links(member, seen),
        loads=dict(zip(member.served.intent.tier_names, seen.loads, strict=True)),
        nodes=_by_digest(member.active(now)),
        fallback=_fallback(member, now),
        recommendation=_recommendation(member),
        pin_problem=_pin_problem(member, now),
        problems=member.reports.problems(now),
        moves=_moves(member),
        switching=member.switching,
    )


def _split(layers: Mapping[str, int]) -> str:
    return ",".join(f"{tier}:{count}" for tier, count in layers.items())


def _stages(catalogue: Catalogue, digest: str, batch: int) -> tuple[StageSeen, ...]:
    """Bytes are those of the nearest batch size that the plan was costed at."""
    terms = catalogue.surface.entry(digest).terms
    nearest = min(terms, key=lambda size: abs(size - batch), default=None)
    sent = (*(terms[nearest].link_bytes if nearest is not None else ()), 0)
    layers = catalogue.split(digest)
    return tuple(StageSeen(tier, layers[tier], size) for tier, size in zip(layers, sent, strict=False))


def _links(member: Member, seen: Outlook) -> tuple[LinkSeen, ...]:
    return tuple(
        LinkSeen(link.source, link.target, 0.0 if found.down else found.bandwidth_bps, found.latency_s)
        for link, found in zip(member.served.intent.links, seen.links, strict=True)
    )


def _by_digest(counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in counts.items():
        digest = plan_digest(name)
        found[digest] = found.get(digest, 0) + count
    return found


def _moves(member: Member) -> tuple[Move, ...]:
    found = sorted([*member.moves, *member.reports.moves], key=lambda move: move.at, reverse=True)
    return tuple(found[:MAX_MOVES])


def _fallback(member: Member, now: float) -> str:
    if not member.blind(now):
        return ""
    stays = "the first tier alone serves" if member.served.intent.policy.first_tier_when_blind else "the plan stays"
    return f"{member.telemetry.problem or 'no head reports its link'}; {stays}"


def _recommendation(member: Member) -> str:
    decision = member.decision
    if decision is None or decision.verdict is not Verdict.RECOMMEND:
        return ""
    return f"{plan_digest(decision.better or '')[:_SHOWN_DIGITS]}: {decision.reason}"


def _pin_problem(member: Member, now: float) -> PinProblem | None:
    pinned, unknown = member.pin
    if unknown:
        return PinProblem("PinUnknown", f"annotation {PINNED_PLAN}: {unknown}; until then the selected plan stays")
    if pinned is None or member.selected == pinned:
        return None
    name = plan_digest(pinned)[:_SHOWN_DIGITS]
    if pinned not in member.selectable(now):
        message = (
            f"plan {name} is known, and no head has verified it yet; it serves once a head's golden request passes"
        )
        return PinProblem("PinUnverified", f"{message} (Ready and the stages' logs say what keeps it)")
    if member.served.intent.policy.mode is Mode.PAUSED:
        message = f"spec.adaptation.mode is Paused; write Auto or Recommend to let the pin move it to {name}"
        return PinProblem("PinPaused", message)
    return PinProblem("PinUnreachable", f"a link that plan {name} needs is down; it serves once the link is back")

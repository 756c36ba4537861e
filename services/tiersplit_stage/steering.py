"""A head that moves the split by itself, by what it sees of its link, within what the controller allows."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.adaptation.outlook import Outlook
from tiersplit_core.adaptation.policy import Candidate, Decision, Settings, Situation, Verdict, decide
from tiersplit_core.cost.problem import Objective
from tiersplit_core.planning.look_up import PlanTerms
from tiersplit_stage.estimates import Estimates
from tiersplit_stage.head import Head
from tiersplit_stage.pipeline import Pipeline
from tiersplit_wire.v1 import route_pb2 as pb

_PATIENCE_S = 1.0
"""A way that is lost for a moment, or a plan that must prove itself again, is no reason to move: requests that cannot
wait take the fallback meanwhile."""
_STEADY_S = 0.5
"""So long there must be a plan that is hardly better by what this head sees itself, and the less long the more there is
to gain: a glitch of an estimate passes sooner."""
_WITNESSED_S = 1.0
"""So long after its link stood still a head needs no such proof: the next request would be stuck like the last one."""
_SETTLE_S = 10.0
"""After the start plans are still being verified and the link is only beginning to be seen: moves are free."""


class Steering:
    """Decides for one head; what it knows of earlier moves outlasts routes.

    Args:
        head: uses the plan that is decided.
        pipeline: has the link.
        estimates: of the link and of this stage's load.
        clock: monotonic seconds.

    Attributes:
        reason: why the head last moved by itself; empty where it did not since the controller last moved it.
    """

    def __init__(
        self, head: Head, pipeline: Pipeline, estimates: Estimates, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.reason = ""
        self._head, self._pipeline, self._estimates, self._clock = head, pipeline, estimates, clock
        self._route = pb.Route()
        self._tiers: tuple[str, ...] = ()
        self._outlooks: tuple[Outlook, ...] = ()
        self._began: float | None = None
        self._moved_at = -math.inf
        self._fell_back = False
        self._way_lost, self._proof_lost = _Lasting(_PATIENCE_S), _Lasting(_PATIENCE_S)
        self._better, self._told = _Lasting(_STEADY_S), False
        self._stood_still_at = -math.inf

    def follow(self, route: pb.Route) -> None:
        """A route came."""
        self._route = route
        self._tiers = tuple(found.tier for found in route.tiers)
        self._outlooks, self._told = _outlooks(route), True
        if not steers(route):
            self.reason, self._fell_back = "", False

    def look(self) -> None:
        """Decide once, and carry the decision out."""
        head, now, link = self._head, self._clock(), self._pipeline.link
        stands_still = link is None or not link.usable
        self._way_lost.tell(now, holds=stands_still)
        self._stood_still_at = now if stands_still else self._stood_still_at
        self._proof_lost.tell(now, holds=head.active not in head.verified)
        links = self._links(now) if steers(self._route) else None
        if links is None:
            return
        decision = decide(self._situation(links, now), self._settings())
        if self._steady(decision, now) and decision.changes:
            self._move(decision, now)
        self._told = False
        if self._began is None and head.active is not None:
            self._began = now

    def _steady(self, decision: Decision, now: float) -> bool:
        """Whether the decision stands: an escape, a first plan and what the controller just said do at once.

        What a cooldown still keeps waiting proves itself meanwhile; of several that are better the best may change.
        """
        self._better.tell(now, holds=0 < decision.gain >= self._route.guidance.min_gain)
        voluntary = decision.verdict in {Verdict.MOVE, Verdict.RETURN} and self._head.active is not None
        witnessed = now - self._stood_still_at <= _WITNESSED_S
        return self._told or not voluntary or witnessed or self._better.lasts(now, 1 - decision.gain)

    def _move(self, decision: Decision, now: float) -> None:
        if decision.plan is None:
            return  # nothing can serve: the plan in use comes back first, and requests wait for it
        self.reason = decision.reason
        # A plan that the controller took away left no choice: what is better may be verified a moment later.
        withdrawn = self._head.active not in self._route.guidance.allowed
        self._fell_back = decision.verdict is Verdict.FALLBACK and not withdrawn
        if not withdrawn and self._began is not None and now - self._began > _SETTLE_S:
            self._moved_at = now
        self._head.use(decision.plan)

    def _settings(self) -> Settings:
        return Settings(min_gain=self._route.guidance.min_gain, cooldown_s=self._route.guidance.cooldown_s)

    def _situation(self, links: tuple[LinkEstimate, ...], now: float) -> Situation:
        return Situation(
            now_s=now,
            plans=self._candidates(links, now),
            dead_links=frozenset(place for place, link in enumerate(links) if link.down),
            current=self._head.active,
            fell_back=self._fell_back,
            last_move_s=self._moved_at,
            tiers=self._tiers,
        )

    def _candidates(self, links: tuple[LinkEstimate, ...], now: float) -> dict[str, Candidate]:
        head, loads = self._head, self._loads()
        costs = {
            digest: cost_s
            for outlook in self._outlooks
            for digest, cost_s in outlook.costs_s(links, loads, head.batch).items()
        }
        return {
            digest: Candidate(costs[digest], head.plans[digest].last_tier, self._selectable(digest, now))
            for digest in self._route.guidance.allowed
            if digest in costs and digest in head.plans
        }

    def _selectable(self, digest: str, now: float) -> bool:
        if digest in self._head.verified:
            return True
        return digest == self._head.active and not self._proof_lost.lasts(now)

    def _links(self, now: float) -> tuple[LinkEstimate, ...] | None:
        """The first link as seen from here, the others as the controller sees them; None where nobody saw one."""
        views = {(view.source, view.target): _told(view) for view in self._route.guidance.links}
        told = [views.get(pair) for pair in pairwise(self._tiers)]
        found = [self._own(told[0], now), *told[1:]] if told else []
        known = tuple(link for link in found if link is not None)
        return known if len(known) == len(found) else None

    def _own(self, told: LinkEstimate | None, now: float) -> LinkEstimate | None:
        onward = self._estimates.onward
        seen = onward.estimate if onward is not None and (onward.fresh or told is None) else told
        return None if seen is None else replace(seen, down=self._way_lost.lasts(now))

    def _loads(self) -> tuple[float, ...]:
        told = {found.tier: found.load for found in self._route.guidance.loads if found.load > 0}
        if self._estimates.load.runs:
            told[self._tiers[0]] = self._estimates.load.load
        return tuple(told.get(tier, 1.0) for tier in self._tiers)


class _Lasting:
    """Since when something holds, to tell what lasts from what passes."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self._since: float | None = None

    def tell(self, now: float, *, holds: bool) -> None:
        if not holds:
            self._since = None
        elif self._since is None:
            self._since = now

    def lasts(self, now: float, share: float = 1.0) -> bool:
        """Whether it has held for this share of the least seconds, or longer."""
        return self._since is not None and now - self._since >= share * self._least_s


def steers(route: pb.Route) -> bool:
    """Whether heads move the split by themselves."""
    guidance = route.guidance
    return guidance.mode == pb.Guidance.MODE_FOLLOW_LINK and len(guidance.allowed) > 0


def _told(view: pb.LinkView) -> LinkEstimate | None:
    if not view.bandwidth_bps > 0 and not view.down:
        return None
    return LinkEstimate(view.bandwidth_bps, view.latency_s, view.down)


def _outlooks(route: pb.Route) -> tuple[Outlook, ...]:
    """One for each bundle: the batch sizes of one surface say nothing about the plans of another."""
    objective = Objective.THROUGHPUT if route.guidance.throughput else Objective.LATENCY
    surfaces: dict[str, dict[str, dict[int, PlanTerms]]] = {}
    for plan in route.plans:
        if plan.costs:
            surfaces.setdefault(plan.bundle, {})[plan.digest] = {cost.batch: _terms(cost) for cost in plan.costs}
    return tuple(Outlook(terms, objective) for terms in surfaces.values())


def _terms(cost: pb.PlanCost) -> PlanTerms:
    return PlanTerms(tuple(cost.compute_s), tuple(cost.link_bytes), tuple(cost.link_trips))

"""One resource under adaptation: what is known of it, and what follows from that. Nothing here waits or writes."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tiersplit_control.probing import probe_budget_bps
from tiersplit_core.adaptation.policy import Candidate, Decision, Situation, Verdict, decide
from tiersplit_core.errors import InputError
from tiersplit_operator.adaptation.guidance import guidance, told
from tiersplit_operator.adaptation.outlook import Outlook, drifted, outlook
from tiersplit_operator.adaptation.reports import KEPT_S, Reports
from tiersplit_operator.adaptation.serving import Served
from tiersplit_operator.adaptation.succession import finished, foreign_plans, own_plans, plan_digest
from tiersplit_operator.adaptation.telemetry import Telemetry
from tiersplit_operator.facts import Move, Owner
from tiersplit_wire.v1 import route_pb2 as pb

MAX_MOVES = 20
START_PATIENCE_S = 15.0
"""How long a bundle's first plan may take to be loaded and verified before one that is ready is preferred."""
RETELL_SHARE, RETELL_S = 0.25, 10.0
"""Heads are told links and loads again when one changed by so much, and not more often than that."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to.

    Attributes:
        decision: what is to be done, with plans called as the route calls them.
        route: what is to be written; None: the route stays as it is.
        begins: it is the first plan of its bundle; no move that the cooldown counts.
    """

    decision: Decision
    route: pb.Route | None
    begins: bool = False


@dataclass(slots=True)
class Member:
    """The state of one resource.

    Attributes:
        owner: the SplitDeployment.
        served: what can be served for it.
        route: as it was last written, or as it is to be written first.
        observed_at: monotonic second at which the first link was last known to be observed, by whomever, or to be
            expected of nobody yet; at first, the beginning.
        since: epoch since which the route's own plans are called what they are called.
        reports: of its stages.
        telemetry: of Prometheus.
        decision: the newest one.
        moves: of the operator, newest first.
        moved_at: monotonic second of the newest one.
        fell_back: the plan was chosen because a link or a stage was gone.
        told_at: monotonic second at which heads were last told links and loads.
        begun_at: monotonic second at which this process chose a bundle's first plan.
        names: what the route calls the plans of its bundle, by digest; that stays.
    """

    owner: Owner
    served: Served
    route: pb.Route
    observed_at: float
    since: int = 0
    reports: Reports = field(default_factory=Reports)
    telemetry: Telemetry = field(default_factory=Telemetry)
    decision: Decision | None = None
    moves: deque[Move] = field(default_factory=lambda: deque(maxlen=MAX_MOVES))
    moved_at: float = -math.inf
    fell_back: bool = False
    told_at: float = -math.inf
    begun_at: float = -math.inf
    names: Mapping[str, str] = field(init=False)
    _costs: tuple[Outlook, Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        self.names = own_plans(self.route)

    def follow(self, before: "Member") -> None:
        """Take over what was learned of the resource while it served something else, or otherwise."""
        self.reports, self.telemetry, self.moves = before.reports, before.telemetry, before.moves
        self.moved_at, self.fell_back, self.told_at = before.moved_at, before.fell_back, before.told_at
        self.observed_at = before.observed_at

    @property
    def first_tier(self) -> str:
        """The heads' tier."""
        return self.served.intent.tier_names[0]

    @property
    def selected(self) -> str:
        """Name of the plan that heads use unless they follow their own link; empty: none."""
        return self.route.selected

    @property
    def switching(self) -> bool:
        """The route still carries plans of the bundle before."""
        return bool(foreign_plans(self.route))

    def outlook(self, now: float) -> Outlook:
        """What is believed of links and loads now."""
        links, loads = self.reports.links(now), self.reports.loads(now)
        batch = self.reports.batch(now) or self.served.intent.batches[0]
        return outlook(self.served.intent, self.telemetry.seen, links, loads, batch)

    @property
    def pin(self) -> tuple[str | None, str]:
        """Name of the pinned plan, and why there is none though one was asked for."""
        wanted = self.served.intent.pinned
        if wanted is None:
            return None, ""
        try:
            return self.names.get(self.served.catalogue.find(wanted)), ""
        except InputError as error:
            return None, error.reason

    def blind(self, now: float) -> bool:
        """Observations have failed too often in a row."""
        threshold, period_s = self.served.intent.failure_threshold, self.served.intent.polling_s
        late = self.reports.heard and now - self.observed_at >= threshold * period_s
        # Looks at a resource at rest are far apart: what is observed all the while counts though none noticed it.
        return (late and not self.outlook(now).observed) or self.telemetry.failed(now, threshold, period_s)

    def notice(self, now: float) -> Outlook:
        """What is believed now; until here nothing has failed if the first link is observed, or no pod has started.

        Args:
            now: monotonic seconds.
        """
        seen = self.outlook(now)
        if seen.observed or not self.reports.heard:
            self.observed_at = now
        return seen

    def rests(self, now: float) -> bool:
        """Whether time alone changes nothing more: what was heard is forgotten, and what was seen believed for good."""
        intent = self.served.intent
        patience_s = intent.failure_threshold * intent.polling_s
        forgotten = now - self.reports.heard_at > max(KEPT_S, patience_s)
        return forgotten and now - self.telemetry.changed_at > patience_s

    def selectable(self, now: float) -> frozenset[str]:
        """Names of the bundle's plans that heads have verified."""
        return self.reports.selectable(now, self.first_tier, self.since) & frozenset(self.names.values())

    def active(self, now: float) -> dict[str, int]:
        """How many heads use each plan; names that the route does not have are nobody's plans."""
        known = {plan.digest for plan in self.route.plans}
        counts = self.reports.active(now, self.first_tier)
        return {name: count for name, count in counts.items() if name in known}

    def costs(self, seen: Outlook) -> Mapping[str, float]:
        """What each plan takes, by digest. Between two looks at a resource at rest nothing changes."""
        if self._costs is None or self._costs[0] != seen:
            self._costs = seen, self.served.catalogue.costs(seen.links, seen.loads, seen.batch)
        return self._costs[1]

    def candidates(self, seen: Outlook, now: float) -> dict[str, Candidate]:
        """The bundle's plans under the present conditions, by name."""
        catalogue, selectable = self.served.catalogue, self.selectable(now)
        costs = self.costs(seen)
        return {
            name: Candidate(costs[digest], catalogue.reach[digest], name in selectable)
            for digest, name in self.names.items()
        }

    def look(self, now: float) -> Look:
        """Decide once. Nothing is done before `settle`: a look whose route could not be written is looked again.

        Args:
            now: monotonic seconds.
        """
        seen = self.notice(now)
        plans = self.candidates(seen, now)
        begins = self.selected not in plans and not (self.fell_back and not self.selected)
        decision = self._beginning(plans) if begins else self._decided(plans, seen, now)
        return Look(decision, self._next_route(decision.plan or "", seen, now), begins)

    def settle(self, look: Look, now: float, wall: datetime) -> Move | None:
        """What a look came to is done; the move that it was, if it was one.

        Args:
            look: of just now.
            now: monotonic seconds.
            wall: the time of day, for the history.
        """
        before = self.selected
        self.decision = look.decision
        if look.route is not None:
            if not _tells_the_same(look.route, self.route):
                self.told_at = now
            self.route = look.route
        if self.selected == before:
            return None
        self.fell_back = look.decision.verdict in {Verdict.FALLBACK, Verdict.UNAVAILABLE}
        if look.begins:
            self.begun_at = now
        else:
            self.moved_at = now
        self.moves.appendleft(Move(wall, plan_digest(self.selected), look.decision.reason))
        return self.moves[0]

    def _beginning(self, plans: Mapping[str, Candidate]) -> Decision:
        """The best plan of a bundle that nothing is served from yet.

        Where another bundle's plan serves, it stays until heads have verified the best one. Where none does, heads are
        told at once: they use no plan before its golden request was answered, whatever they are told.
        """
        pinned, _ = self.pin
        wanted = pinned or min(plans, key=lambda name: (plans[name].cost_s, plans[name].reach, name))
        if self.selected and not plans[wanted].selectable:
            return Decision(Verdict.KEEP, self.selected, "the best plan of the next bundle is not verified yet")
        why = "the best plan of the next bundle is verified" if self.selected else "first plan"
        return Decision(Verdict.MOVE, wanted, why)

    def _decided(self, plans: Mapping[str, Candidate], seen: Outlook, now: float) -> Decision:
        if not self.reports.heads(now, self.first_tier, self.since):
            # An operator or a bundle that just began, or heads that are cut off: nobody says what can be selected.
            return Decision(Verdict.KEEP, self.selected or None, "no head reports")
        current = plans.get(self.selected)
        waits = current is not None and not current.selectable and math.isfinite(current.cost_s)
        if waits and now - self.begun_at < START_PATIENCE_S:
            # Heads use their fallback meanwhile where they have one.
            return Decision(Verdict.KEEP, self.selected, "the first plan is being loaded and verified")
        pinned, _ = self.pin
        situation = Situation(
            now_s=now,
            plans=plans,
            dead_links=seen.dead_links,
            current=self.selected or None,
            fell_back=self.fell_back,
            last_move_s=self.moved_at,
            pinned=pinned,
            blind=self.blind(now),
            tiers=self.served.intent.tier_names,
        )
        return decide(situation, self.served.intent.policy)

    def _next_route(self, selected: str, seen: Outlook, now: float) -> pb.Route | None:
        made = self._without_what_nobody_uses(selected)
        made.selected = selected
        made.guidance.CopyFrom(self._guidance(selected, seen, now))
        if not _tells_the_same(made, self.route):
            made.probe_budget_bps = probe_budget_bps(seen.links)
        return None if made == self.route else made

    def _without_what_nobody_uses(self, selected: str) -> pb.Route:
        """The route; without the bundle before once no head uses it any more, however long the way of some is."""
        foreign = foreign_plans(self.route)
        if foreign and selected not in foreign and not foreign & self.reports.remembered(self.first_tier):
            return finished(self.route, self.names.get(self.served.catalogue.fallback or "", ""))
        made = pb.Route()
        made.CopyFrom(self.route)
        return made

    def _guidance(self, selected: str, seen: Outlook, now: float) -> pb.Guidance:
        """What heads are told besides the plan; links and loads again only where they differ by much."""
        intent, foreign = self.served.intent, foreign_plans(self.route)
        # Until the next bundle serves, heads choose among those plans of the one before that are still there.
        allowed = foreign if selected in foreign else self.names.values()
        falls_back = self.blind(now) and intent.policy.first_tier_when_blind
        held = intent.pinned is not None or falls_back or not selected
        before = told(intent, self.route.guidance, seen.batch)
        again = seen.observed and now - self.told_at >= RETELL_S and before and drifted(before, seen, RETELL_SHARE)
        return guidance(intent, seen if before is None or again else before, allowed, held=held)


def _tells_the_same(one: pb.Route, other: pb.Route) -> bool:
    """Whether both routes tell heads the same of links and loads."""
    return list(one.guidance.links) == list(other.guidance.links) and list(one.guidance.loads) == list(
        other.guidance.loads
    )

"""One resource under adaptation: what is known of it, and what follows from that."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tiersplit_core.adaptation.policy import Candidate, Decision, Situation, Verdict, decide
from tiersplit_core.errors import InputError
from tiersplit_operator.adaptation.guidance import guidance, probe_budget_bps
from tiersplit_operator.adaptation.outlook import Outlook, drifted, outlook
from tiersplit_operator.adaptation.reports import Reports
from tiersplit_operator.adaptation.samples import Seen
from tiersplit_operator.adaptation.serving import Served
from tiersplit_operator.adaptation.succession import own_plans, plan_digest
from tiersplit_operator.facts import AdaptationView, LinkSeen, Move, Owner
from tiersplit_wire.v1 import route_pb2 as pb

MAX_MOVES = 20
RETELL_SHARE, RETELL_S = 0.25, 10.0
"""Heads are told links and loads again when one changed by so much, and not more often than that."""


@dataclass(slots=True)
class Telemetry:
    """What Prometheus said of one resource.

    Attributes:
        seen: its newest numbers.
        failures: polls in a row that told nothing usable.
        problem: why, of the newest such poll.
    """

    seen: Seen = field(default_factory=Seen)
    failures: int = 0
    problem: str = ""

    def take(self, seen: Seen, problem: str = "") -> None:
        """Take one poll's answer; `problem` is why there is none."""
        doubts = "; ".join(seen.doubts[:3])
        why = problem or doubts or ("" if seen.values else "Prometheus has no sample of this resource")
        self.seen, self.problem = seen, why
        self.failures = self.failures + 1 if why else 0


@dataclass(slots=True)
class Member:
    """The state of one resource.

    Attributes:
        owner: the SplitDeployment.
        served: what can be served for it.
        route: as it was last written.
        reports: of its stages.
        telemetry: of Prometheus.
        decision: the newest one.
        moves: of the operator, newest first.
    """

    owner: Owner
    served: Served
    route: pb.Route
    reports: Reports = field(default_factory=Reports)
    telemetry: Telemetry = field(default_factory=Telemetry)
    decision: Decision | None = None
    moves: deque[Move] = field(default_factory=lambda: deque(maxlen=MAX_MOVES))
    moved_at: float = -math.inf
    fell_back: bool = False
    blind_looks: int = 0
    told: Outlook | None = None
    told_at: float = -math.inf

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
        return len(own_plans(self.route)) < len(self.route.plans)

    def outlook(self, now: float) -> Outlook:
        """What is believed of links and loads now."""
        reports = self.reports
        links, loads, batch = reports.links(now), reports.loads(now), reports.batch(now)
        return outlook(self.served.intent, self.telemetry.seen, links, loads, batch or self._planned_batch)

    @property
    def _planned_batch(self) -> int:
        return self.served.intent.batches[0]

    @property
    def pin(self) -> tuple[str | None, str]:
        """The whole digest of the pinned plan, and why there is none though one was asked for."""
        wanted = self.served.intent.pinned
        if wanted is None:
            return None, ""
        try:
            return self.served.catalogue.find(wanted), ""
        except InputError as error:
            return None, error.reason

    @property
    def blind(self) -> bool:
        """Observations have failed too often in a row."""
        threshold = self.served.intent.failure_threshold
        return max(self.telemetry.failures, self.blind_looks) >= threshold

    def candidates(self, seen: Outlook, now: float) -> dict[str, Candidate]:
        """The plans under the present conditions."""
        catalogue = self.served.catalogue
        costs = catalogue.costs(seen.links, seen.loads, seen.batch)
        selectable = self.reports.selectable(now, self.first_tier)
        return {
            digest: Candidate(costs[digest], catalogue.reach[digest], digest in selectable)
            for digest in catalogue.plans
        }

    def look(self, now: float, wall: datetime) -> pb.Route | None:
        """Decide once; the route that is to be written, or None where it stays as it is.

        Args:
            now: monotonic seconds.
            wall: the time of day, for the history.
        """
        seen = self.outlook(now)
        self.blind_looks = 0 if seen.observed else self.blind_looks + 1
        plans = self.candidates(seen, now)
        selected = self._selected(plans, seen, now, wall)
        return self._route(selected, seen, now)

    def _selected(self, plans: Mapping[str, Candidate], seen: Outlook, now: float, wall: datetime) -> str:
        if self.selected not in plans and not self.fell_back:
            return self._first(plans, wall)
        if not self.reports.fresh(now, self.first_tier):
            return self.selected  # nobody says what can be selected: an operator that just began, or heads cut off
        decision = decide(self._situation(plans, seen, now), self.served.intent.policy)
        self.decision = decision
        if decision.changes:
            self.moved_at = now
            self.fell_back = decision.verdict in {Verdict.FALLBACK, Verdict.UNAVAILABLE}
            self.moves.appendleft(Move(wall, decision.plan or "", decision.reason))
        return decision.plan or ""

    def _first(self, plans: Mapping[str, Candidate], wall: datetime) -> str:
        """The best plan of a bundle that nothing is served from yet.

        Where another bundle's plan serves, it stays until heads have verified the best one. Where none does, heads are
        told at once: they use no plan before its golden request was answered, whatever they are told.
        """
        best = min(plans, key=lambda digest: (plans[digest].cost_s, plans[digest].reach, digest), default="")
        pinned, _ = self.pin
        wanted = pinned or best
        if not wanted or (self.selected and not plans[wanted].selectable):
            return self.selected
        why = "the plans of another bundle are verified" if self.selected else "first plan"
        self.moves.appendleft(Move(wall, wanted, why))
        return wanted

    def _situation(self, plans: Mapping[str, Candidate], seen: Outlook, now: float) -> Situation:
        pinned, _ = self.pin
        return Situation(
            now_s=now,
            plans=plans,
            dead_links=seen.dead_links,
            current=self.selected or None,
            fell_back=self.fell_back,
            last_move_s=self.moved_at,
            pinned=pinned,
            blind=self.blind,
            tiers=self.served.intent.tier_names,
        )

    def _route(self, selected: str, seen: Outlook, now: float) -> pb.Route | None:
        own = set(own_plans(self.route))
        moves_on = selected in own and self.switching
        told = self.told
        stale = told is None or (now - self.told_at >= RETELL_S and drifted(told, seen, RETELL_SHARE))
        made = pb.Route()
        made.CopyFrom(self.served.route if moves_on else self.route)
        made.selected = selected
        if stale or selected != self.selected or moves_on:
            made.guidance.CopyFrom(self.guided(seen, own))
            made.probe_budget_bps = probe_budget_bps(seen)
        else:
            made.guidance.mode = self.guided(seen, own).mode
        made.epoch = self.route.epoch
        if made == self.route:
            return None
        if stale or selected != self.selected:
            self.told, self.told_at = seen, now
        return made

    def guided(self, seen: Outlook, own: set[str]) -> pb.Guidance:
        """What heads are told besides the plan."""
        intent = self.served.intent
        falls_back = self.blind and intent.policy.first_tier_when_blind
        held = intent.pinned is not None or falls_back or self.selected not in own
        return guidance(intent, seen, own, held=held)

    def view(self, now: float) -> AdaptationView:
        """What there is to say about it."""
        seen, catalogue = self.outlook(now), self.served.catalogue
        digest = plan_digest(self.selected)
        known = digest in catalogue.plans
        cost = catalogue.costs(seen.links, seen.loads, seen.batch).get(digest, math.inf) if known else math.inf
        pinned, pin_problem = self.pin
        if pinned is not None and self.selected != pinned:
            pin_problem = "no head has verified the pinned plan yet"
        return AdaptationView(
            bundle=self.served.route.bundle.rpartition("@")[2],
            selected=digest or None,
            split=_split(catalogue.split(digest)) if known else "",
            plans=len(catalogue.plans),
            selectable=self.reports.selectable(now, self.first_tier) & catalogue.plans.keys(),
            expected_s=cost if math.isfinite(cost) else None,
            observed_s=self.reports.observed_s(now, self.first_tier),
            links=tuple(
                LinkSeen(link.source, link.target, 0.0 if found.down else found.bandwidth_bps, found.latency_s)
                for link, found in zip(self.served.intent.links, seen.links, strict=True)
            ),
            loads=dict(zip(self.served.intent.tier_names, seen.loads, strict=True)),
            nodes=_by_digest(self.reports.active(now, self.first_tier)),
            fallback=self._fallback(),
            recommendation=self._recommendation(),
            pin_problem=pin_problem,
            problems=self.reports.problems(now),
            moves=tuple(sorted([*self.moves, *self.reports.moves], key=lambda move: move.at, reverse=True)[:MAX_MOVES]),
            switching=self.switching,
        )

    def _fallback(self) -> str:
        if not self.blind:
            return ""
        stays = "the first tier alone serves" if self.served.intent.policy.first_tier_when_blind else "the plan stays"
        return f"{self.telemetry.problem or 'no stage reports its links'}; {stays}"

    def _recommendation(self) -> str:
        decision = self.decision
        if decision is None or decision.verdict is not Verdict.RECOMMEND:
            return ""
        return f"{(decision.better or '')[:19]}: {decision.reason}"


def _split(layers: Mapping[str, int]) -> str:
    return ",".join(f"{tier}:{count}" for tier, count in layers.items())


def _by_digest(counts: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, count in counts.items():
        digest = plan_digest(name)
        found[digest] = found.get(digest, 0) + count
    return found

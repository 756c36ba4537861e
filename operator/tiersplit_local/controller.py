"""The controller of a local run: tells stages the route, hears their reports, and lets the policy choose the plan."""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc

from tiersplit_control.catalogue import Catalogue
from tiersplit_control.intent import Intent
from tiersplit_control.probing import probe_budget_bps
from tiersplit_core.adaptation.policy import Candidate, Decision, Situation, Verdict, decide
from tiersplit_core.errors import InputError
from tiersplit_local.observer import Observer
from tiersplit_local.workdir import write_json
from tiersplit_wire.v1 import route_pb2 as pb
from tiersplit_wire.v1 import route_pb2_grpc

HISTORY_LENGTH = 200
START_PATIENCE_S = 15.0
log = logging.getLogger("tiersplit.local")

Placed = Callable[[str, str], Awaitable[None]]
"""Told a tier and the address of its stage whenever that is new."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decision as the history keeps it."""

    at: float
    epoch: int
    decision: Decision
    expected_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        decision = self.decision
        return {
            "at": self.at,
            "epoch": self.epoch,
            "verdict": decision.verdict.value,
            "plan": decision.plan,
            "reason": decision.reason,
            "gain": round(decision.gain, 4),
            "better": decision.better,
            "expected_s": self.expected_s,
        }


class Controller(route_pb2_grpc.RoutesServicer):
    """Serves `Routes.Watch` and decides.

    Args:
        intent: what the manifest asks for.
        catalogue: the plans that can be chosen.
        history: where decisions are kept on disk.
        placed: told a tier and the address of its stage whenever that is new.
    """

    def __init__(self, intent: Intent, catalogue: Catalogue, history: Path, placed: Placed) -> None:
        self.intent, self.catalogue = intent, catalogue
        self.observer = Observer(intent.tiers, intent.links, catalogue.profiled_s)
        self.history: deque[Event] = deque(maxlen=HISTORY_LENGTH)
        self.current: str | None = None
        self.pinned = intent.pinned
        self.epoch = 0
        self.moved_at = -math.inf
        self.fell_back = False
        self.blind_looks = 0
        self.serving = asyncio.Event()
        self._history_path, self._placed = history, placed
        self._changed = asyncio.Event()
        self._look = asyncio.Event()
        self._route = pb.Route()
        self._addresses: dict[str, str] = {}
        self._began = time.monotonic()

    def publish(self, route: pb.Route) -> None:
        """Make `route` the desired state, under the next epoch."""
        self.epoch += 1
        self._route = route
        self._route.epoch = self.epoch
        self._changed.set()
        self._changed = asyncio.Event()

    async def Watch(  # noqa: N802 - the name in the protocol
        self,
        request_iterator: AsyncIterator[pb.StageReport],
        _context: Any,
    ) -> AsyncIterator[pb.Route]:
        """Serve one stage: its reports in, each new route out."""
        listener = asyncio.create_task(self._listen(request_iterator))
        try:
            sent = 0
            while not listener.done():
                changed = self._changed
                if self.epoch > sent:
                    sent = self.epoch
                    yield self._route
                    continue
                waiting = asyncio.create_task(changed.wait())
                await asyncio.wait({waiting, listener}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        finally:
            listener.cancel()

    async def _listen(self, reports: AsyncIterator[pb.StageReport]) -> None:
        tier, instance = "", ""
        try:
            async for report in reports:
                if report.deployment == self.intent.name and report.tier in self.observer.stages:
                    tier, instance = report.tier, report.instance
                    await self._take(report)
        except grpc.RpcError as error:
            log.debug("the stream of %s broke: %s", tier, error)
        finally:
            # A stage that was started again may have reported before its predecessor's stream was seen to end.
            if tier and self.observer.stages[tier].report.instance == instance:
                self.observer.left(tier)
                self._look.set()

    async def _take(self, report: pb.StageReport) -> None:
        before = self.observer.stages[report.tier].report.problem
        self.observer.take(report)
        if report.problem and report.problem != before:
            log.warning("stage %s: %s", report.tier, report.problem)
        if report.address and self._addresses.get(report.tier) != report.address:
            self._addresses[report.tier] = report.address
            await self._placed(report.tier, report.address)
        if self.observer.worth_a_look():
            self._look.set()

    def pin(self, digest: str | None) -> None:
        """Let a person choose the plan; None lets the policy choose again.

        Raises:
            InputError: the surface has no such plan.
        """
        self.pinned = None if digest is None else self.catalogue.find(digest)
        self._look.set()

    async def run(self) -> None:
        """Look at the observations every polling period, and at once when something happened, until cancelled."""
        while True:
            self._look.clear()
            self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.intent.polling_s):
                    await self._look.wait()

    def look(self) -> Decision:
        """Decide once, and carry the decision out."""
        situation = self._situation()
        if self._waits_for_the_best(situation):
            return Decision(Verdict.KEEP, None, "the best plan is being verified")
        decision = decide(situation, self.intent.policy)
        self._remember(decision, situation)
        if decision.changes:
            self._move(decision)
        return decision

    def _waits_for_the_best(self, situation: Situation) -> bool:
        """At the start, the best plan is worth a short wait for its golden answer: no need to begin with another."""
        if self.serving.is_set() or time.monotonic() - self._began > START_PATIENCE_S:
            return False
        waited = {digest: replace(plan, selectable=True) for digest, plan in situation.plans.items()}
        best = decide(replace(situation, plans=waited, gone_tiers=frozenset()), self.intent.policy).plan
        return best is not None and not situation.plans[best].selectable

    def _situation(self) -> Situation:
        observer = self.observer
        head_gone = 0 in observer.gone
        self.blind_looks = self.blind_looks + 1 if head_gone else 0
        return Situation(
            now_s=time.monotonic(),
            plans=self.candidates(),
            dead_links=observer.dead_links,
            # A head that is being started again keeps its plan: nobody else could serve meanwhile.
            gone_tiers=frozenset(observer.gone - {0}),
            current=self.current,
            fell_back=self.fell_back,
            last_move_s=self.moved_at,
            pinned=self.pinned,
            blind=self.blind_looks >= self.intent.failure_threshold,
            tiers=self.catalogue.tiers,
        )

    def candidates(self) -> dict[str, Candidate]:
        """The surface's plans under the present conditions."""
        costs = self.catalogue.costs(self.observer.estimates, self.observer.loads, self.observer.batch)
        return {
            digest: Candidate(costs[digest], self.catalogue.reach[digest], self._is_selectable(digest))
            for digest in self.catalogue.plans
        }

    def _is_selectable(self, digest: str) -> bool:
        return digest in self.observer.head_report.selectable

    def _remember(self, decision: Decision, situation: Situation) -> None:
        last = self.history[-1].decision if self.history else None
        if last is not None and _alike(last, decision):
            return
        candidate = situation.plans.get(decision.plan or "")
        expected = candidate.cost_s if candidate is not None and math.isfinite(candidate.cost_s) else None
        self.history.append(Event(time.time(), self.epoch, decision, expected))
        log.info("%s: %s (%s)", decision.verdict.value, decision.reason, (decision.plan or "none")[:19])
        write_json(self._history_path, [event.to_json() for event in self.history])

    def _move(self, decision: Decision) -> None:
        self.current, self.moved_at = decision.plan, time.monotonic()
        self.fell_back = decision.verdict in {Verdict.FALLBACK, Verdict.UNAVAILABLE}
        route = pb.Route()
        route.CopyFrom(self._route)
        route.selected = decision.plan or ""
        route.probe_budget_bps = self.probe_budget()
        self.publish(route)
        if decision.plan is not None:
            self.serving.set()

    def probe_budget(self) -> int:
        """What probing may use of the links as they are believed to be now, in bits per second."""
        return probe_budget_bps(self.observer.estimates)


def _alike(one: Decision, other: Decision) -> bool:
    if other.changes:
        return False
    fields = ("verdict", "plan", "better")
    return all(getattr(one, name) == getattr(other, name) for name in fields) or (
        # After a move, that its plan is best is no news.
        one.plan == other.plan and other.verdict is Verdict.KEEP and other.better is None and one.better is None
    )


def check_pin(catalogue: Catalogue, intent: Intent) -> Intent:
    """The intent with the pinned plan's whole digest.

    Raises:
        InputError: the surface has no such plan.
    """
    if intent.pinned is None:
        return intent
    try:
        return replace(intent, pinned=catalogue.find(intent.pinned))
    except InputError as error:
        raise InputError(error.reason, "metadata.annotations[tiersplit.dev/pinned-plan]") from error

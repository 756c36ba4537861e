"""The head's side of a request: which plan runs it, and what happens when the way is lost underneath it."""

import asyncio
import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from tiersplit_core.errors import (
    ExhaustedError,
    FrameError,
    OperationError,
    RequestError,
    TiersplitError,
    UnavailableError,
)
from tiersplit_stage.execute import Job
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Answer, Pipeline
from tiersplit_stage.plans import Origin, StagePlan
from tiersplit_wire.convert import check_decoded, proto_to_array
from tiersplit_wire.failures import NotResidentError
from tiersplit_wire.v1 import route_pb2 as pb

if TYPE_CHECKING:
    from tiersplit_stage.golden import Golden

_MAX_ATTEMPTS = 8
_GOLDEN_TIMEOUT_S = 30.0
_GOLDEN_BACKOFF_S = (0.1, 2.0)
_RECENT_REQUESTS = 64


class Request(Protocol):
    """What a client asks; which tensors that are depends on the model that the plan serves."""

    def read(self, model: pb.Model) -> tuple[Mapping[str, NDArray[Any]], int]:
        """The model's inputs by tensor name, and the batch size.

        Raises:
            RequestError: it does not fit the model.
        """
        ...


@dataclass(slots=True)
class Served:
    """How many requests a plan has answered since it came, and the seconds of those since the last report."""

    answered: int = 0
    failed: int = 0
    recent: int = 0
    recent_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """What a client gets: outputs by tensor name, the plan that ran and the seconds per tier."""

    outputs: Mapping[str, NDArray[Any]]
    plan: StagePlan
    answer: Answer
    total_s: float


class Head:
    """Binds each request to a plan and sees it through to exactly one answer.

    Args:
        pipeline: runs requests.
        metrics: counts them.
        max_in_flight: requests that are accepted at the same time.
        patience_s: how long a request waits for a lost way to come back where no fallback exists.
        changed: called when a plan became selectable or another one is used.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        metrics: StageMetrics,
        max_in_flight: int,
        changed: Callable[[], None],
        patience_s: float = 5.0,
    ) -> None:
        self.plans: Mapping[str, StagePlan] = {}
        self.selected = self.fallback = ""
        self.steered = False
        self.active: str | None = None
        self.verified: set[str] = set()
        self.served: dict[str, Served] = {}
        self.rerun = self.in_flight = 0
        self.problems: dict[str, str] = {}
        self.golden: Mapping[Origin, Golden] = {}
        self._rows: deque[int] = deque(maxlen=_RECENT_REQUESTS)
        self._doubted = asyncio.Event()
        self._pipeline, self._metrics = pipeline, metrics
        self._max_in_flight, self._patience_s, self._changed = max_in_flight, patience_s, changed

    @property
    def ready(self) -> bool:
        """Whether a request can be answered now."""
        return any(self._passable(digest) for digest in (self.active, self.fallback) if digest)

    @property
    def model(self) -> pb.Model | None:
        """What the plan in use serves; None where none is in use."""
        plan = self.plans.get(self.active or "")
        return plan.origin.model if plan is not None else None

    @property
    def models(self) -> list[pb.Model]:
        """What all plans serve that requests could be bound to."""
        return [plan.origin.model for plan in self.plans.values()]

    @property
    def batch(self) -> int:
        """The batch size that most of the recent requests had."""
        return Counter(self._rows).most_common(1)[0][0] if self._rows else 1

    def update(self, plans: Mapping[str, StagePlan], selected: str, fallback: str, *, steered: bool = False) -> None:
        """Take what a route says; plans that are no longer there are not verified any more.

        Args:
            plans: by digest.
            selected: digest of the plan that the controller wants to be used.
            fallback: digest of the plan that needs this tier alone; empty: none.
            steered: `use` chooses the plan instead, as long as that is there.
        """
        old, self.plans, self.selected, self.fallback = self.plans, plans, selected, fallback
        self.steered = steered
        same = {digest for digest, plan in plans.items() if digest in old and _proves_alike(plan, old[digest])}
        self.verified &= same
        self.problems = {digest: problem for digest, problem in self.problems.items() if digest in same}
        self._doubted.set()
        self._reselect()

    def keep(self, digests: Collection[str]) -> None:
        """Count for these plans, and for no others any more."""
        self.served = {digest: served for digest, served in self.served.items() if digest in digests}

    def use(self, digest: str) -> None:
        """Run the requests that arrive from now on with this plan."""
        if digest != self.active:
            self.active = digest
            self._metrics.active(digest)
            self._changed()

    def distrust_remote(self) -> None:
        """The stages after this one are other processes now: their plans must prove themselves again."""
        self.verified = {digest for digest in self.verified if self.plans[digest].last_tier == 0}
        self._doubted.set()
        self._changed()

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request, from before its bytes are here until it is answered.

        Raises:
            ExhaustedError: too many are under way, or wait for the compute thread.
        """
        plan = self.plans.get(self.active or "")
        if plan is not None and plan.own_segments:
            self._pipeline.worker.check_room()
        if self.in_flight >= self._max_in_flight:
            raise ExhaustedError(f"{self.in_flight} requests are in flight; try again later")
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    async def infer(self, request: Request, deadline: float | None) -> HeadAnswer:
        """Answer one request exactly once, whatever becomes of links, plans and models meanwhile.

        Args:
            request: what a client asks.
            deadline: monotonic second; None: none.

        Raises:
            RequestError: it does not fit the model of the plan in use.
            ExhaustedError: too many requests wait for the compute thread.
            UnavailableError: no plan can serve it.
            TiersplitError: it failed for another reason.
        """
        if self.model is not None:
            self._rows.append(request.read(self.model)[1])
        began = time.monotonic()
        plan = self._bind(request)
        try:
            for attempt in range(_MAX_ATTEMPTS):
                values, rows = request.read(plan.origin.model)
                job = Job(os.urandom(16), plan, 0, values, rows, deadline, admitted=attempt > 0)
                try:
                    return self._answered(plan, await self._pipeline.run(job), began)
                except UnavailableError as error:
                    plan = await self._next(request, plan, error, deadline)
            raise UnavailableError(f"the request was lost {_MAX_ATTEMPTS} times on its way")
        except TiersplitError:
            self._count(plan.digest).failed += 1
            raise

    def _bind(self, request: Request, before: str = "") -> StagePlan:
        """The plan that runs `request`: the one in use; where it cannot serve, the fallback; else the one `before`."""
        for digest in (self.active, self.fallback, before):
            if digest and self._passable(digest) and _fits(request, self.plans[digest]):
                return self.plans[digest]
        if self.active is not None and self.active in self.plans:
            return self.plans[self.active]
        reasons = "; ".join(sorted(set(self.problems.values()))[:3])
        raise UnavailableError("no plan has answered its golden request yet" + (f": {reasons}" if reasons else ""))

    async def _next(
        self, request: Request, lost: StagePlan, error: UnavailableError, deadline: float | None
    ) -> StagePlan:
        """The plan with which a lost request runs again."""
        self.rerun += 1
        self._metrics.rerun()
        if isinstance(error, NotResidentError):
            self.verified.discard(lost.digest)
            self._doubted.set()
            self._changed()
        if self.fallback != lost.digest and self._passable(self.fallback):
            fallback = self.plans[self.fallback]
            if _fits(request, fallback):
                return fallback
        link = self._pipeline.link
        patience = self._patience_s if deadline is None else min(self._patience_s, deadline - time.monotonic())
        if isinstance(error, NotResidentError):
            await asyncio.sleep(min(0.1, max(0.0, patience)))
        if link is None or not await link.wait_usable(max(0.0, patience)):
            raise UnavailableError(f"{error}; no plan can do without that way") from error
        return self._bind(request, lost.digest)

    def _passable(self, digest: str) -> bool:
        if digest not in self.verified or digest not in self.plans:
            return False
        link = self._pipeline.link
        return self.plans[digest].last_tier == 0 or (link is not None and link.usable)

    def _answered(self, plan: StagePlan, answer: Answer, began: float) -> HeadAnswer:
        outputs = _outputs(plan, answer)
        total = time.monotonic() - began
        served = self._count(plan.digest)
        served.answered += 1
        served.recent += 1
        served.recent_s += total
        self._metrics.request(plan.digest, "OK", total)
        return HeadAnswer(outputs, plan, answer, total)

    def _count(self, digest: str) -> Served:
        return self.served.setdefault(digest, Served())

    def _reselect(self) -> None:
        before = self.active
        gone = self.active not in self.plans
        if self.selected in self.verified and (gone or not self.steered):
            self.active = self.selected
        elif gone:
            self.active = self.fallback if self.fallback in self.verified else None
        if self.active != before:
            self._metrics.active(self.active or "")
        self._changed()

    async def verify_all(self) -> None:
        """Run the golden request through every plan that has not answered it, for ever."""
        backoff = _GOLDEN_BACKOFF_S[0]
        while True:
            self._doubted.clear()
            waiting = [digest for digest in self._order() if digest not in self.verified]
            if not waiting:
                await self._doubted.wait()
                continue
            done = [digest for digest in waiting if await self._verified(self.plans.get(digest))]
            backoff = _GOLDEN_BACKOFF_S[0] if done else min(2 * backoff, _GOLDEN_BACKOFF_S[1])
            await asyncio.sleep(backoff)

    def _order(self) -> list[str]:
        urgent = [digest for digest in (self.selected, self.fallback) if digest in self.plans]
        return list(dict.fromkeys([*urgent, *self.plans]))

    async def _verified(self, plan: StagePlan | None) -> bool:
        link = self._pipeline.link
        golden = self.golden.get(plan.origin) if plan is not None else None
        if plan is None or golden is None or (plan.last_tier > 0 and (link is None or not link.usable)):
            return False
        deadline = time.monotonic() + _GOLDEN_TIMEOUT_S
        job = Job(os.urandom(16), plan, 0, golden.inputs, golden.rows, deadline, admitted=True)
        try:
            answer = await self._pipeline.run(job)
            golden.check(_outputs(plan, answer), plan)
        except Exception as error:  # whatever it is, the plan has not proven itself; it is tried again
            return self._proven(plan, str(error) or type(error).__name__)
        return self._proven(plan, "")

    def _proven(self, plan: StagePlan, problem: str) -> bool:
        """Take note of how a plan's golden request went (`problem` is empty where well); whether it may be selected."""
        current = self.plans.get(plan.digest)
        if current is None or not _proves_alike(current, plan):
            return False  # a route without it came meanwhile
        if problem:
            self.problems[plan.digest] = problem
            return False
        self.problems.pop(plan.digest, None)
        self.verified.add(plan.digest)
        self._reselect()
        return True


def _outputs(plan: StagePlan, answer: Answer) -> dict[str, NDArray[Any]]:
    """The model's outputs, wherever they were computed.

    Raises:
        OperationError: a later tier left one out, or what it answered cannot be read.
    """
    try:
        check_decoded(answer.remote)
        found = {**answer.outputs, **{tensor.name: proto_to_array(tensor) for tensor in answer.remote}}
    except FrameError as error:
        raise OperationError(f"what a later tier answered cannot be read: {error}") from error
    missing = sorted(plan.outputs - set(found))
    if missing:
        raise OperationError(f"no tier answered with the output {missing[0]!r}")
    return found


def _proves_alike(plan: StagePlan, other: StagePlan) -> bool:
    """Whether what one has proven holds for the other: the same segments and crossings, and the same answer asked."""
    return (plan.key, plan.origin.golden) == (other.key, other.origin.golden)


def _fits(request: Request, plan: StagePlan) -> bool:
    try:
        request.read(plan.origin.model)
    except RequestError:
        return False
    return True

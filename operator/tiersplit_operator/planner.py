"""Plans, made once each: worker processes bounded in number, time and memory; results go to the registry."""

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiersplit_bundle import media
from tiersplit_bundle.layout import canonical_json
from tiersplit_bundle.writer import Blob
from tiersplit_core.errors import InfeasibleError, OperationError, TiersplitError
from tiersplit_core.units import format_bytes
from tiersplit_operator.clients.registry import TIER_ANNOTATION, RegistryClient
from tiersplit_operator.decide.progress import PlanOrder
from tiersplit_operator.facts import ArtifactRecord, Key, PlanFailure
from tiersplit_operator.metrics import PLAN_SECONDS, PLANS
from tiersplit_operator.plan_outcome import ANNOTATION
from tiersplit_operator.planner_worker import Known, make_request
from tiersplit_operator.schedule import Backoff
from tiersplit_operator.settings import PlannerSettings

log = logging.getLogger("tiersplit.operator.planner")
MAX_DOCUMENT_BYTES = 32 * 2**20
MAX_PROFILE_BYTES = 16 * 2**20
MAX_REMEMBERED = 2048
MAX_ANSWER_BYTES = 64 * 2**20
"""A surface of eight plans over 577 layers takes 0.4 MB, and its refined profiles less."""
MAX_WORDS_BYTES = 4096
"""Of what a worker says besides, the end is kept: there is the error."""
PIECE_BYTES = 2**16
RETRY = Backoff(first_s=5.0, most_s=600.0, jitter=0.0)


class Compute(Protocol):
    """Makes a plan from a worker's request."""

    async def __call__(self, request: bytes) -> Mapping[str, Any]:
        """What the worker answers."""
        ...


@dataclass(slots=True)
class _Failed:
    message: str
    infeasible: bool
    at_s: float
    tries: int


@dataclass(slots=True)
class _Order:
    waiting: set[Key] = field(default_factory=set)


class Planner:
    """Takes orders, and tells those who wait once a plan is in the registry or has failed.

    Args:
        registry: where bundles and profiles lie.
        compute: makes a plan.
        changed: told every resource that waits for a plan, once there is news.
        workers: how many plans are made at once.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        registry: RegistryClient,
        compute: Compute,
        changed: Callable[[Key], None],
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._compute, self._changed, self._clock = registry, compute, changed, clock
        self._slots = asyncio.Semaphore(workers)
        self._orders: dict[str, _Order] = {}
        self._failed: dict[str, _Failed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def order(self, key: Key, order: PlanOrder) -> None:
        """Have a plan made, unless that is under way; `key` is told."""
        if order.key in self._orders:
            self._orders[order.key].waiting.add(key)
            return
        self._orders[order.key] = _Order({key})
        task = asyncio.create_task(self._make(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def failures(self) -> Mapping[str, PlanFailure]:
        """Why plans failed, by their key."""
        now = self._clock()
        return {key: _failure(failed, now) for key, failed in self._failed.items()}

    async def stop(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _make(self, order: PlanOrder) -> None:
        try:
            async with self._slots:
                began = time.monotonic()
                await self._plan(order)
                PLAN_SECONDS.observe(time.monotonic() - began)
            self._failed.pop(order.key, None)
            PLANS.labels("made").inc()
        except Exception as error:
            self._note(order.key, error)
        finally:
            for key in self._orders.pop(order.key).waiting:
                self._changed(key)

    def _note(self, key: str, error: Exception) -> None:
        infeasible = isinstance(error, InfeasibleError)
        PLANS.labels("infeasible" if infeasible else "failed").inc()
        if not isinstance(error, TiersplitError):
            log.exception("plan %s failed", key)
        tries = self._failed[key].tries + 1 if key in self._failed else 1
        self._failed[key] = _Failed(str(error) or type(error).__name__, infeasible, self._clock(), tries)
        while len(self._failed) > MAX_REMEMBERED:
            self._failed.pop(next(iter(self._failed)))

    async def _plan(self, order: PlanOrder) -> None:
        artifact = order.artifact
        known = Known(
            graph=await self._document(artifact, artifact.graph),
            profiles={t: [await self._profile(order, one) for one in found] for t, found in order.profiles.items()},
            segments=artifact.segments,
            quantization=await self._document(artifact, artifact.quantization),
            accuracies=await self._document(artifact, artifact.accuracies),
        )
        manifest = order.resource.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"status"})
        found = await self._compute(make_request(manifest, known))
        if "error" in found:
            raise (InfeasibleError if found.get("infeasible") else OperationError)(str(found["error"]))
        surface = Blob(media.SURFACE, canonical_json(found["surface"]), {ANNOTATION: str(found["outcome"])})
        refined = [
            Blob(media.PROFILE, canonical_json(profile), {TIER_ANNOTATION: tier})
            for tier, profile in found["profiles"].items()
        ]
        await self._registry.extend(artifact.reference, [surface, *refined], f"plan-{order.key}")

    async def _document(self, artifact: ArtifactRecord, digest: str) -> bytes:
        """A blob of the bundle; empty where it has none."""
        return await self._registry.blob(artifact.reference, digest, MAX_DOCUMENT_BYTES) if digest else b""

    async def _profile(self, order: PlanOrder, which: str) -> bytes:
        if which.startswith("oci://"):
            return await self._registry.profile(which)
        return await self._registry.blob(order.artifact.reference, which, MAX_PROFILE_BYTES)


def _failure(failed: _Failed, now: float) -> PlanFailure:
    if failed.infeasible:
        return PlanFailure(failed.message, infeasible=True)
    wait_s = RETRY.seconds(failed.tries, 0.0)
    return PlanFailure(failed.message, infeasible=False, retry_in_s=max(failed.at_s + wait_s - now, 0.0))


class WorkerProcess:
    """Computes plans in processes of their own.

    Args:
        settings: their limits.
    """

    def __init__(self, settings: PlannerSettings) -> None:
        self._settings = settings

    async def __call__(self, request: bytes) -> Mapping[str, Any]:
        """One plan.

        Raises:
            OperationError: the process took too long, too much memory, answered too much, or died.
        """
        command = [sys.executable, "-m", "tiersplit_operator.planner_worker", str(self._settings.memory_bytes)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()
        )
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                out, err = await _exchanged(process, request)
                await process.wait()
        except TimeoutError:
            raise OperationError(f"planning took longer than {self._settings.timeout_s:.0f} s") from None
        finally:
            await _ended(process)
        if len(out) > MAX_ANSWER_BYTES:
            limit = format_bytes(MAX_ANSWER_BYTES)
            raise OperationError(f"the planner answered more than {limit}; plan a model of fewer layers or segments")
        if process.returncode != 0:
            raise OperationError(f"the planner ended with {process.returncode}: {_last_line(err)}")
        found = json.loads(out)
        if not isinstance(found, dict):
            raise OperationError("the planner answered no object")
        return found


async def _exchanged(process: asyncio.subprocess.Process, request: bytes) -> tuple[bytes, bytes]:
    """What the process answers, and the end of what it says besides; both flow while it is still asked."""
    _, out, err = await asyncio.gather(_written(process, request), _answered(process), _end(process.stderr))
    return out, err


async def _written(process: asyncio.subprocess.Process, request: bytes) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    with contextlib.suppress(ConnectionError):  # it ended: its exit code says why
        process.stdin.write(request)
        await process.stdin.drain()
    process.stdin.close()


async def _answered(process: asyncio.subprocess.Process) -> bytes:
    """At most one piece more than may be answered: a process that answers more is ended."""
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    found = bytearray()
    while piece := await process.stdout.read(PIECE_BYTES):
        if len(found) > MAX_ANSWER_BYTES:
            _kill(process)
        else:
            found += piece
    return bytes(found)


async def _end(pipe: asyncio.StreamReader | None) -> bytes:
    assert pipe is not None  # noqa: S101 - a pipe was asked for
    found = b""
    while piece := await pipe.read(PIECE_BYTES):
        found = (found + piece)[-MAX_WORDS_BYTES:]
    return found


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its pipes are read to their ends: asyncio sees no process end before that."""
    _kill(process)
    await asyncio.gather(_end(process.stdout), _end(process.stderr))
    await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def _environment() -> dict[str, str]:
    """One thread for linear algebra: each further one reserves address space, which is bounded."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _last_line(err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"

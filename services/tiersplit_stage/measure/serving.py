"""Measuring what serving costs: two stages that compute nothing, over loopback, under the limits of this container.

A client, a first and a second stage each run in a process of their own, and one request after another goes through
them. What it takes with the second stage and without tells the cost of the hop; how the ends share that is read from
the processor time that they spend, since under a limit of the processor all of them wait for each other. What a stage
clears away once the client has its answer delays nobody, and does not count.
"""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from tiersplit_core.errors import OperationError
from tiersplit_core.profile.serving import AtHand, Overhead, ServingProfile, fit_overhead
from tiersplit_stage.measure.echo import ANSWER, DATA, FAR, FIRST, MODEL, NEAR, SECOND
from tiersplit_stage.measure.room import room_bytes
from tiersplit_stage.measure.settings import Say, Settings
from tiersplit_stage.processors import Quota, quota, spent_by
from tiersplit_wire.client import InferenceClient

_LEAST_BYTES, _MOST_BYTES = 4096, (2**20, 4 * 2**20)
_ROUNDS = (6, 16)
"""At least and at most, after one that warms up."""
_IN_A_ROW = 2
_REST_S = 0.02
"""A stage rests while other stages and the links have a request. Where the processor is limited to a share of each
period, requests without rest would use up what serving has at hand."""
_PROCESS_BYTES = 96 * 2**20
_REQUEST_TIMEOUT_S = 60.0
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Requests of one size under one plan.

    Attributes:
        wall_s: seconds of a request, as the client saw them.
        client_s: processor seconds until the answer was there, of the client.
        first_s: likewise, of the first stage.
        second_s: likewise, of the second stage.
    """

    wall_s: float
    client_s: float
    first_s: float
    second_s: float


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of one request of one size, by what they are spent on.

    Attributes:
        request_s: taking the request and answering it.
        send_s: handing on.
        receive_s: being handed something.
        own: what of the hop's seconds is left where each process has a limit of its own.
        at_hand: what a limit then still leaves of a period; None where there is no limit.
    """

    request_s: float
    send_s: float
    receive_s: float
    own: float = 1.0
    at_hand: AtHand | None = None


def measure_serving(settings: Settings, sample_bytes: int, say: Say) -> ServingProfile | None:
    """What serving costs here; None where the memory is too short for the processes that measuring needs.

    Args:
        settings: how long to measure, and at which batch sizes.
        sample_bytes: bytes of one sample of the model's input: what requests of these batch sizes have.
        say: told what it does.

    Raises:
        OperationError: a process failed, or all took too long.
    """
    room = room_bytes()
    if room is not None and room < 2 * _PROCESS_BYTES:
        say(f"serving is left out: measuring it needs {2 * _PROCESS_BYTES} bytes, {room} are free")
        return None
    sizes = payload_sizes(sample_bytes, settings.batches)
    with _stages() as (first, second):
        found, receipts = _measure(first, second, sizes, settings.budget_s)
    say(f"serving at {len(sizes)} sizes")
    return profile_of(found, receipts, quota())


def payload_sizes(sample_bytes: int, batches: Sequence[int]) -> tuple[int, ...]:
    """Small, medium and large payloads: up to the model's input at the largest batch size, within bounds."""
    most = min(max(sample_bytes * max(batches), _MOST_BYTES[0]), _MOST_BYTES[1])
    return tuple(int(size) // 4 * 4 for size in np.geomspace(_LEAST_BYTES, most, 3))


def profile_of(
    found: Mapping[int, tuple[Seen, Seen]], receipts: Sequence[tuple[int, float]], granted: Quota | None = None
) -> ServingProfile:
    """The profile.

    Args:
        found: per payload size, ascending, what was seen without the second stage and with it.
        receipts: bytes of transmissions, and seconds until their receipt.
        granted: this container's limit of the processor.
    """
    sizes = list(found)
    costs = [costs_of(near, far, granted) for near, far in found.values()]
    own = median(cost.own for cost in costs)
    return ServingProfile(
        request=fit_overhead(sizes, [cost.request_s for cost in costs]),
        send=fit_overhead(sizes, [cost.send_s for cost in costs]),
        receive=fit_overhead(sizes, [cost.receive_s for cost in costs]),
        receipt=_receipt([(size, own * seconds) for size, seconds in receipts]),
        at_hand=costs[0].at_hand,
    )


def costs_of(near: Seen, far: Seen, granted: Quota | None = None) -> Costs:
    """What the parts cost, from what requests take without the second stage and with it.

    What the second stage spends on requests that do not reach it has nothing to do with them. The client of a
    deployment has processors of its own: what it waited here because of a limit does not count.

    Args:
        near: without the second stage.
        far: with it.
        granted: what all these processes may use together.
    """
    watched_s = near.second_s
    first_s = max(near.first_s - watched_s, 1e-9)
    sending_s, receiving_s = max(far.first_s - near.first_s, 1e-9), max(far.second_s - watched_s, 1e-9)
    share, received = first_s / (first_s + near.client_s), receiving_s / (receiving_s + sending_s)
    request_s, hop_s = near.wall_s * share, max(far.wall_s - near.wall_s, 0.0)
    asking_s = min(near.client_s, near.wall_s * (1 - share))
    if granted is None or granted.processors >= 1:
        return Costs(request_s + asking_s, hop_s * (1 - received), hop_s * received)
    return _limited(first_s, sending_s, receiving_s, hop_s, granted, asking_s)


def _limited(
    first_s: float, sending_s: float, receiving_s: float, hop_s: float, granted: Quota, asking_s: float
) -> Costs:
    """Costs by processor seconds: here the processes wait for what the others used up, which in serving each has.

    What a stage takes or is handed comes after a rest, and its layers find what that leaves at hand. It sends while the
    link has what it sent before, and rests until the answer.
    """
    request_s, receive_s = granted.rested_s(first_s), granted.rested_s(receiving_s)
    own = (sending_s + receive_s) / hop_s if hop_s > 0 else 1.0
    left = (max(granted.granted_s - spent_s, 0.0) for spent_s in (first_s, receiving_s))
    at_hand = AtHand(granted.processors, *left)
    return Costs(request_s + asking_s, sending_s, receive_s, min(own, 1.0), at_hand)


def _receipt(receipts: Sequence[tuple[int, float]]) -> Overhead:
    """The fit through the medians of transmissions of about the same size."""
    alike: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for size, seconds in receipts:
        alike[size.bit_length()].append((size, seconds))
    middles = [tuple(map(median, zip(*group, strict=True))) for group in alike.values()]
    if len(middles) < 2:
        return Overhead()
    return fit_overhead([size for size, _ in middles], [seconds for _, seconds in middles])


class _Process:
    """One stage that computes nothing."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "tiersplit_stage.measure.echo", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self.sent: list[tuple[int, float]] = []

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None  # noqa: S101 - it was started with a pipe
        line = self.process.stdout.readline()
        if not line:
            reason = self.process.communicate()[1].strip().splitlines()
            raise OperationError(f"a measuring stage ended ({reason[-1] if reason else 'it took too long'})")
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, plan: str = "") -> None:
        """Use `plan` from now on; what it sent meanwhile is kept in `sent`."""
        assert self.process.stdin is not None  # noqa: S101 - it was started with a pipe
        with suppress(BrokenPipeError):  # it has ended, and reading says why
            self.process.stdin.write(f"{plan}\n")
            self.process.stdin.flush()
        self.sent += [(int(size), float(seconds)) for size, seconds in self.read()["sent"]]

    def spent_s(self) -> float:
        """Processor seconds that it has spent."""
        try:
            return spent_by(self.process.pid)
        except OSError:
            self.read()  # it has ended, and this says why
            raise


@contextmanager
def _stages() -> "Iterator[tuple[_Stage, _Process]]":
    started: list[_Process] = []

    def start(*arguments: str) -> _Process:
        started.append(_Process(*arguments))
        return started[-1]

    def give_up() -> None:
        for stage in started:
            stage.process.kill()

    watchdog = threading.Timer(_TIMEOUT_S, give_up)
    watchdog.start()
    try:
        second = start(SECOND)
        first = start(FIRST, second.read()["address"])
        with InferenceClient(first.read()["address"]) as client:
            yield _Stage(first, client), second
    finally:
        watchdog.cancel()
        give_up()
        for stage in started:
            stage.process.communicate()


@dataclass(frozen=True, slots=True)
class _Stage:
    """The first stage and its client."""

    process: _Process
    client: InferenceClient

    def ask(self, data: np.ndarray[Any, Any]) -> float:
        """Seconds of one request."""
        began = time.perf_counter()
        reply = self.client.infer(MODEL, {DATA: data}, outputs=(ANSWER,), timeout_s=_REQUEST_TIMEOUT_S)
        taken_s = time.perf_counter() - began
        assert set(reply.outputs) == {ANSWER}  # noqa: S101 - all other answers are errors
        return taken_s


def _measure(
    first: _Stage, second: _Process, sizes: Sequence[int], budget_s: float
) -> tuple[dict[int, tuple[Seen, Seen]], list[tuple[int, float]]]:
    """Interleaved, so that what else the machine does falls on all alike."""
    blocks: dict[tuple[int, str], list[Seen]] = defaultdict(list)
    began, least, most = 0.0, *_ROUNDS
    for number in range(most + 1):
        if number == 1:
            blocks.clear()
            first.process.sent.clear()
            began = time.monotonic()
        if number > least and time.monotonic() - began > budget_s:
            break
        for size in sizes:
            data = np.full((1, size // 4), 0.5, np.float32)
            for plan in (NEAR, FAR):
                blocks[size, plan] += _block(first, second, plan, data)
    found = {size: (_middle(blocks[size, NEAR]), _middle(blocks[size, FAR])) for size in sizes}
    return found, first.process.sent


def _block(first: _Stage, second: _Process, plan: str, data: np.ndarray[Any, Any]) -> list[Seen]:
    """A few requests in a row."""
    first.process.tell(plan)
    seen: list[Seen] = []
    for _ in range(_IN_A_ROW):
        time.sleep(max([_REST_S, *(one.wall_s for one in seen[-1:])]))
        seen.append(_asked(first, second, data))
    first.process.tell()
    return seen


def _asked(first: _Stage, second: _Process, data: np.ndarray[Any, Any]) -> Seen:
    """One request."""

    def spent() -> tuple[float, float, float]:
        return time.process_time(), first.process.spent_s(), second.spent_s()

    before, wall_s = spent(), first.ask(data)
    return Seen(wall_s, *(b - a for a, b in zip(before, spent(), strict=True)))


def _middle(seen: Sequence[Seen]) -> Seen:
    return Seen(
        median(one.wall_s for one in seen),
        median(one.client_s for one in seen),
        median(one.first_s for one in seen),
        median(one.second_s for one in seen),
    )

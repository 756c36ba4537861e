"""The demo's client: a camera that sends a picture every so often.

Every picture is sent once. Its latency counts from when it was due: a stall costs all pictures that waited behind it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IN_FLIGHT = 3
"""Pictures that may be on their way at one time; one that is due beyond them waits."""
RELATIVE, ABSOLUTE = 1e-3, 1e-3


@dataclass(frozen=True, slots=True)
class Reply:
    """What a head answers: to which request, the N logits, and the digest of the plan that computed them."""

    request_id: str
    logits: NDArray[np.float32]
    plan: str


Ask = Callable[[str, NDArray[np.uint8]], Awaitable[Reply]]
"""Sends one picture (3×96×96 bytes) under a request id."""


@dataclass(frozen=True, slots=True)
class KnownPictures:
    """The pictures to send, what they show, and what the whole network answers.

    Attributes:
        x: N×3×96×96 bytes.
        y: N digits.
        logits: N×10 answers of the undivided network.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    logits: NDArray[np.float32]

    @property
    def whole_accuracy(self) -> float:
        """Share of the pictures that the undivided network reads rightly."""
        return float((self.logits.argmax(1) == self.y).mean())


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one picture.

    Attributes:
        number: its request's number, unique in a run.
        due_s: when it was due, in seconds since the camera began.
        latency_s: from then until the answer; None where it was lost.
        plan: digest of the plan that answered.
        right: the digit is the one in the picture.
        same: the answer is the undivided network's.
        trouble: why it was lost.
    """

    number: int
    due_s: float
    latency_s: float | None
    plan: str = ""
    right: bool = False
    same: bool = False
    trouble: str = ""


@dataclass(slots=True)
class Camera:
    """Sends pictures to a head.

    Attributes:
        ask: sends one picture to a head.
        pictures: what to send, again and again.
        answers: what came back so far, in order of arrival.
    """

    ask: Ask
    pictures: KnownPictures
    answers: list[Answer] = field(default_factory=list)
    sent: int = 0
    _began_s: float = field(default_factory=time.monotonic)

    def now_s(self) -> float:
        """Seconds since the camera began."""
        return time.monotonic() - self._began_s

    async def paced(self, period_s: float, stop: asyncio.Event) -> None:
        """A picture every `period_s` until `stop` is set; returns when all are answered or lost."""
        gate = asyncio.Semaphore(IN_FLIGHT)
        due_s = self.now_s()
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await gate.acquire()
                group.create_task(self._one(due_s, gate))
                due_s += period_s
                await _until(stop, due_s - self.now_s())

    async def one(self) -> Answer:
        """Send one picture now and wait for its answer."""
        return await self._one(self.now_s(), None)

    async def _one(self, due_s: float, gate: asyncio.Semaphore | None) -> Answer:
        number, self.sent = self.sent, self.sent + 1
        at = number % len(self.pictures.y)
        try:
            answer = self._judge(number, due_s, await self.ask(str(number), self.pictures.x[at]))
        except Exception as error:
            answer = Answer(number, due_s, None, trouble=" ".join(str(error).split())[:200])
        finally:
            if gate is not None:
                gate.release()
        self.answers.append(answer)
        return answer

    def _judge(self, number: int, due_s: float, reply: Reply) -> Answer:
        latency_s, at = self.now_s() - due_s, number % len(self.pictures.y)
        if reply.request_id != str(number):
            return Answer(number, due_s, None, trouble=f"request {number} got the answer of {reply.request_id!r}")
        same = bool(np.allclose(reply.logits, self.pictures.logits[at], RELATIVE, ABSOLUTE))
        right = bool(reply.logits.argmax() == self.pictures.y[at])
        return Answer(number, due_s, latency_s, reply.plan, right, same)


async def _until(stop: asyncio.Event, seconds: float) -> None:
    """Wait `seconds`, or until `stop` is set."""
    if seconds > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def latencies(answers: Sequence[Answer]) -> list[float]:
    """Seconds of the answers that came."""
    return [answer.latency_s for answer in answers if answer.latency_s is not None]

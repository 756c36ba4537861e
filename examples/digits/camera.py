"""The demo's client: a camera that sends a picture every so often, with Triton's stock gRPC client.

Every picture is sent once. Its latency counts from when it was due: a stall costs all pictures that waited behind it.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IN_FLIGHT = 3
"""Pictures that may be on their way at one time; one that is due beyond them waits."""
DEADLINE_S = 10.0
RELATIVE, ABSOLUTE = 1e-3, 1e-3


@dataclass(frozen=True, slots=True)
class TestSet:
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
        client: an async client of the Open Inference Protocol, `tritonclient.grpc.aio`'s.
        model: the model's name at the head.
        pictures: what to send, again and again.
        answers: what came back so far, in order of arrival.
    """

    client: Any
    model: str
    pictures: TestSet
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
        try:
            reply = await self._infer(number)
            answer = self._judge(number, due_s, reply)
        except Exception as error:
            answer = Answer(number, due_s, None, trouble=" ".join(str(error).split())[:200])
        finally:
            if gate is not None:
                gate.release()
        self.answers.append(answer)
        return answer

    async def _infer(self, number: int) -> Any:
        from tritonclient.grpc.aio import InferInput  # noqa: PLC0415 - it may not share a process with our own wire

        picture = self.pictures.x[number % len(self.pictures.y)][None]
        tensor = InferInput("pixels", list(picture.shape), "UINT8")
        tensor.set_data_from_numpy(picture)
        return await self.client.infer(self.model, [tensor], request_id=str(number), client_timeout=DEADLINE_S)

    def _judge(self, number: int, due_s: float, reply: Any) -> Answer:
        response, at = reply.get_response(), number % len(self.pictures.y)
        latency_s = self.now_s() - due_s
        if response.id != str(number):
            return Answer(number, due_s, None, trouble=f"request {number} got the answer of {response.id!r}")
        logits = reply.as_numpy(response.outputs[0].name)[0]
        same = bool(np.allclose(logits, self.pictures.logits[at], RELATIVE, ABSOLUTE))
        right = bool(logits.argmax() == self.pictures.y[at])
        return Answer(number, due_s, latency_s, response.parameters["plan"].string_param, right, same)


async def _until(stop: asyncio.Event, seconds: float) -> None:
    """Wait `seconds`, or until `stop` is set."""
    if seconds > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)


def latencies(answers: Sequence[Answer]) -> list[float]:
    """Seconds of the answers that came."""
    return [answer.latency_s for answer in answers if answer.latency_s is not None]

"""An open-loop load on a head: requests are sent when they are due, whatever became of those before."""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import numpy as np

from examples.digits.camera import KnownPictures
from tiersplit_wire.client import reply_of, request_of
from tiersplit_wire.connection import open_channel
from tiersplit_wire.v1 import inference_pb2 as pb
from tiersplit_wire.v1 import inference_pb2_grpc as rpc

RELATIVE, ABSOLUTE = 1e-3, 1e-3
DEADLINE_S = 20.0
MOST_IN_FLIGHT = 256
ROWS = 8
"""Pictures in a request: the batch size that the example is measured at."""
END_S = DEADLINE_S + 10


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request.

    Attributes:
        number: its place in the order of sending; the request's id.
        sent_s: monotonic second at which it was due and sent.
        latency_s: until its answer or its failure.
        plan: digest of the plan that answered; empty where it failed.
        failure: why there is no answer; empty where there is one.
        wrong: the answer is not the undivided network's, or it is that of another request.
    """

    number: int
    sent_s: float
    latency_s: float
    plan: str = ""
    failure: str = ""
    wrong: bool = False


@dataclass
class Load:
    """Sends `ROWS` pictures every `period_s` from a thread of its own.

    Attributes:
        head: HOST:PORT.
        model: the deployment's name.
        pictures: sent in turn.
        period_s: between two requests.
        answers: what came back so far.
        sent: how many were sent so far.
    """

    head: str
    model: str
    pictures: KnownPictures
    period_s: float = 0.2
    credentials: grpc.ChannelCredentials | None = None
    name: str = ""
    answers: list[Answer] = field(default_factory=list)
    sent: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Send nothing more."""
        self._stop.set()

    @property
    def failures(self) -> list[Answer]:
        """Requests without an answer."""
        return [answer for answer in self.answers if answer.failure]

    @property
    def wrong(self) -> list[Answer]:
        """Answers that are not those of the undivided network."""
        return [answer for answer in self.answers if answer.wrong]

    def after(self, moment_s: float) -> list[Answer]:
        """What became of requests that were sent at `moment_s` (monotonic) or later."""
        return [answer for answer in self.answers if answer.sent_s >= moment_s]

    def plans(self) -> Counter[str]:
        """How many answers each plan gave."""
        return Counter(answer.plan for answer in self.answers if answer.plan)

    def recent_plan(self, count: int = 5) -> str:
        """The plan of the last `count` answers, where they agree; else empty."""
        last = {answer.plan for answer in self.answers[-count:]}
        return last.pop() if len(self.answers) >= count and len(last) == 1 else ""

    def run(self) -> None:
        """Send until told to stop; returns when all are answered or lost."""
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        channel = open_channel(self.head, self.credentials, self.name)
        stub = rpc.GRPCInferenceServiceStub(channel)  # type: ignore[no-untyped-call]
        due_s, waiting = time.monotonic(), set[asyncio.Task[None]]()
        while not self._stop.is_set():
            if len(waiting) < MOST_IN_FLIGHT:
                task = asyncio.create_task(self._one(stub, self.sent))
                waiting.add(task)
                task.add_done_callback(waiting.discard)
            else:
                self.answers.append(Answer(self.sent, time.monotonic(), 0.0, failure="too many wait"))
            self.sent += 1
            due_s += self.period_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        if waiting:
            await asyncio.wait(waiting, timeout=END_S)
        await channel.close()

    async def _one(self, stub: rpc.GRPCInferenceServiceStub, number: int) -> None:
        began_s = time.monotonic()
        request = request_of(self.model, {"pixels": self.pictures.x[self._rows(number)]}, request_id=str(number))
        try:
            response = await stub.ModelInfer(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            why = f"{error.code().name}: {error.details()}"[:300]
            self.answers.append(Answer(number, began_s, time.monotonic() - began_s, failure=why))
            return
        took_s = time.monotonic() - began_s
        self.answers.append(self._judged(number, began_s, took_s, response))

    def _rows(self, number: int) -> slice:
        """Which pictures a request carries."""
        first = number * ROWS % (len(self.pictures.y) - ROWS)
        return slice(first, first + ROWS)

    def _judged(self, number: int, began_s: float, took_s: float, response: pb.ModelInferResponse) -> Answer:
        reply = reply_of(response)
        (logits,) = reply.outputs.values()
        expected = self.pictures.logits[self._rows(number)]
        same = response.id == str(number) and np.allclose(logits, expected, RELATIVE, ABSOLUTE)
        return Answer(number, began_s, took_s, str(reply.parameters["plan"]), wrong=not same)


@contextmanager
def loaded(*loads: Load) -> Iterator[None]:
    """The loads run meanwhile; at the end every request that was sent has been answered or has failed."""
    threads = [threading.Thread(target=load.run, name=f"load of {load.head}") for load in loads]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for load in loads:
            load.stop()
        for thread in threads:
            thread.join(END_S + 10)


def verdict(loads: Iterable[Load]) -> dict[str, int]:
    """Over all loads: how many requests were sent, and how many failed, were answered twice, or wrongly."""
    known = list(loads)
    answered = [Counter(answer.number for answer in load.answers) for load in known]
    return {
        "sent": sum(load.sent for load in known),
        "failed": sum(len(load.failures) for load in known)
        + sum(load.sent - len(seen) for load, seen in zip(known, answered, strict=True)),
        "duplicate": sum(count - 1 for seen in answered for count in seen.values()),
        "wrong": sum(len(load.wrong) for load in known),
    }


def longest_gap_s(load: Load) -> float:
    """The longest time in which no request that was sent got an answer: from the last one that did to the next."""
    good = sorted(answer.sent_s for answer in load.answers if not answer.failure)
    return max((after - before for before, after in itertools.pairwise(good)), default=float("inf"))

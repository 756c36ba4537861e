"""One connection toward the next tier: its stream, what it still owes an answer, and what it learns about the link."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from functools import partial

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from tiersplit_core.errors import UnavailableError
from tiersplit_stage.meter import Meter, ProbeBudget, Totals
from tiersplit_stage.readiness import watch_readiness
from tiersplit_wire.connection import open_channel
from tiersplit_wire.failures import error_from
from tiersplit_wire.v1 import activation_pb2 as pb

EXCHANGE = "/tiersplit.wire.v1.Activations/Exchange"
INSTANCE_KEY = "tiersplit-instance"

_OPENING_PADDING = (64, 16384)
_PROBE_IDLE_S, _DEAD_PROBE_S = 1.0, 1.0
_STUCK_S = 15.0
_CONNECT_S = 10.0
_BACKOFF_S = (0.1, 1.0)


_log = logging.getLogger(__name__)


class LostError(UnavailableError):
    """The link stopped moving or broke while a request was on it."""


class Stream:
    """A stream to one address; connects, and connects again, until it is closed.

    Args:
        address: HOST:PORT of a stage of the next tier, for messages.
        changed: called when the stream becomes usable or stops being so, and when its link surprised.
        budget_bps: what probing may use; 0 means 1% of the bandwidth.
        dial: opens a channel to it; None: without TLS.
        totals: of its link.
    """

    def __init__(
        self,
        address: str,
        changed: Callable[[], None],
        budget_bps: Callable[[], int],
        dial: Callable[[], grpc.aio.Channel] | None = None,
        totals: Totals | None = None,
    ) -> None:
        self.address = address
        self._dial = dial or partial(open_channel, address)
        self._totals = totals or Totals()
        self.meter = Meter(self._totals)
        self.instance = ""
        self.connected = False
        self.ready = False
        self.suspect = False
        self.draining = False
        self._changed = changed
        self._budget_bps = budget_bps
        self._answers: dict[bytes, asyncio.Future[pb.Result]] = {}
        self._queue: asyncio.Queue[tuple[bytes, bytes, bool]] = asyncio.Queue()
        self._budget = ProbeBudget()
        self._overdue: asyncio.TimerHandle | None = None
        self._last_activity = 0.0
        self._stuck_since: float | None = None
        self._tasks = [asyncio.ensure_future(self._live()), asyncio.ensure_future(self._probe())]
        self._call: grpc.aio.StreamStreamCall | None = None
        self.turn = -1

    @property
    def usable(self) -> bool:
        """Whether new requests may take it."""
        return self.connected and self.ready and not self.suspect and not self.draining

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer from it."""
        return len(self._answers)

    async def exchange(self, request_id: bytes, frame: bytes) -> pb.Result:
        """Send an activation set and wait for its result.

        Raises:
            LostError: the link stopped moving or broke.
            TiersplitError: what the next tier answered instead of a result.
        """
        if not self.connected:
            raise LostError(f"no connection to {self.address}")
        answer: asyncio.Future[pb.Result] = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        self._queue.put_nowait((request_id, frame, False))
        try:
            return await answer
        except (asyncio.CancelledError, LostError):
            # The caller went away, ran out of time or tries elsewhere: the next tier may drop the work.
            if self.connected:
                cancel = pb.UpstreamFrame(cancel=pb.Cancel(request_id=request_id))
                self._queue.put_nowait((b"", cancel.SerializeToString(), False))
            raise
        finally:
            self._answers.pop(request_id, None)

    async def retire(self, timeout_s: float) -> None:
        """Take no new requests, wait for the answers that are owed, at most `timeout_s`, and close."""
        self.draining = True
        self._changed()
        if self._answers:
            await asyncio.wait(list(self._answers.values()), timeout=timeout_s)
        await self.close()

    async def close(self) -> None:
        """Stop; whatever waits for an answer is told that the link is gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._broken("the link was closed")

    async def _live(self) -> None:
        backoff = _BACKOFF_S[0]
        while True:
            began = time.monotonic()
            reason = "the connection ended"
            try:
                async with self._dial() as channel:
                    await self._serve(channel)
            except (grpc.RpcError, OSError, asyncio.InvalidStateError, TimeoutError, DecodeError) as error:
                reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else repr(error)
            except Exception as error:
                _log.exception("the stream to %s failed; it is opened again", self.address)
                reason = repr(error)
            except asyncio.CancelledError:
                # A call that was given up because it never moves raises this too, though nobody cancelled the task.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                reason = "it did not move and was given up"
            finally:
                self._broken(reason)
            backoff = _BACKOFF_S[0] if time.monotonic() - began > _CONNECT_S else min(2 * backoff, _BACKOFF_S[1])
            await asyncio.sleep(backoff)

    async def _serve(self, channel: grpc.aio.Channel) -> None:
        call = channel.stream_stream(EXCHANGE, None, None)(wait_for_ready=True)
        async with asyncio.timeout(_CONNECT_S):
            metadata = await call.initial_metadata()
        self.instance = str(dict(metadata or ()).get(INSTANCE_KEY, ""))
        self._call, self._queue = call, asyncio.Queue()
        self.connected, self.suspect, self.draining, self._stuck_since = True, False, False, None
        beside = [asyncio.ensure_future(work) for work in (self._write(call), watch_readiness(channel, self._told))]
        self._changed()
        for padding in _OPENING_PADDING:
            self._send_probe(padding)
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                self._take(pb.DownstreamFrame.FromString(data))
        finally:
            for task in beside:
                task.cancel()
            call.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _told(self, ready: bool) -> None:
        if ready is not self.ready:
            self.ready = ready
            self._changed()

    async def _write(self, call: grpc.aio.StreamStreamCall) -> None:
        queue = self._queue
        while True:
            request_id, frame, probe = await queue.get()
            if request_id and not probe and request_id not in self._answers:
                continue
            if request_id:
                self._last_activity = time.monotonic()
                self.meter.sent(request_id, len(frame), self._last_activity, probe=probe)
                self._watch()
            await call.write(frame)

    def _take(self, frame: pb.DownstreamFrame) -> None:
        kind = frame.WhichOneof("kind")
        if kind == "receipt":
            self._receipt(frame.receipt.request_id)
        elif kind == "result":
            self._answer(frame.result.request_id, frame.result)
        elif kind == "failure":
            self._answer(frame.failure.request_id, error_from(frame.failure.code, frame.failure.reason))
        elif kind == "farewell":
            self.draining = True
            self._changed()

    def _answer(self, request_id: bytes, answer: pb.Result | Exception) -> None:
        waiting = self._answers.get(request_id)
        if waiting is None or waiting.done():
            self._totals.late += 1
        elif isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _receipt(self, request_id: bytes) -> None:
        self._last_activity = time.monotonic()
        doubted, given_up = self.meter.in_doubt, self.meter.given_up
        if self.meter.received(request_id, self._last_activity) is None:
            return
        self._stuck_since = None
        if self.suspect:
            self.suspect = False
            self._look_again(outage=given_up)
            self._changed()
        elif doubted or self.meter.in_doubt:
            self._confirm()
            self._changed()
        self._watch()

    def _look_again(self, *, outage: bool) -> None:
        """What the link was before it stood still says little about what it is now; after an outage, nothing."""
        if outage:
            self._budget = ProbeBudget()
        # The large one first: as the next transmission after a change it is believed without a second witness.
        for padding in reversed(_OPENING_PADDING):
            if outage or padding == ProbeBudget.TINY_BYTES or self._lends(padding):
                self._send_probe(padding)

    def _confirm(self) -> None:
        """Ask for a second witness of a surprise at once; what is under way already is one."""
        if self.meter.outstanding or not self._queue.empty():
            return
        size = self.meter.witness_bytes()
        if size is not None and self._lends(size):
            self._send_probe(size)

    def _lends(self, size: int) -> bool:
        return self._budget.lends(size, time.monotonic(), self.meter.bandwidth_bps, self._budget_bps())

    def _watch(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        at = self.meter.overdue_at() if self.suspect else self.meter.suspicious_at()
        if at is not None:
            self._overdue = asyncio.get_running_loop().call_at(at, self._stalled if self.suspect else self._suspect)

    def _suspect(self) -> None:
        """Nothing moved for long: whoever waits may try another way, while the controller does not hear of it yet."""
        self.suspect, self._stuck_since = True, time.monotonic()
        self._watch()
        self._fail_all(f"the link to {self.address} does not move")
        self._changed()

    def _stalled(self) -> None:
        """Nothing moved for too long: tell the controller, and keep listening."""
        now = time.monotonic()
        self._overdue = None
        self.meter.lost(now)
        self._changed()
        if self._stuck_since is not None and now - self._stuck_since > _STUCK_S and self._call is not None:
            self._call.cancel()  # a connection that never moves again is better replaced
        else:
            self._overdue = asyncio.get_running_loop().call_later(1.0, self._stalled)

    def _broken(self, reason: str) -> None:
        was = self.connected
        self.connected, self.ready, self._call = False, False, None
        if self._overdue is not None:
            self._overdue.cancel()
        if was and not self.draining:
            self.meter.lost(time.monotonic())
        self.meter.forget()
        self._fail_all(f"the link to {self.address} broke: {reason}")
        if was:
            self._changed()

    def _fail_all(self, reason: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(LostError(reason))

    async def _probe(self) -> None:
        reported = time.monotonic()
        while True:
            await asyncio.sleep(0.25)
            now = time.monotonic()
            if not self.connected:
                if now - reported >= _DEAD_PROBE_S:
                    reported = now
                    self.meter.lost(now)
                continue
            idle = not self.meter.outstanding and now - self._last_activity >= _PROBE_IDLE_S
            padding = self._budget.padding(now, self.meter.bandwidth_bps, self._budget_bps()) if idle else None
            if padding is not None:
                self._send_probe(padding)

    def _send_probe(self, padding: int) -> None:
        # Random bytes: nothing on the way can compress what is meant to take its time.
        probe = pb.Probe(request_id=os.urandom(16), padding=os.urandom(padding))
        self._queue.put_nowait((probe.request_id, pb.UpstreamFrame(probe=probe).SerializeToString(), True))

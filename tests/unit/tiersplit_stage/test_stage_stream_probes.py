"""What a stream asks of its link when a transmission surprises, or when the link moves again; in virtual time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.far_stage import FarStage
from tests.support.virtual_time import run_virtually
from tiersplit_stage import stream
from tiersplit_wire.v1 import activation_pb2 as pb

PAYLOAD = os.urandom(4000)
BANDWIDTH_BPS, LATENCY_S = 1.6e6, 0.005
CROSSING_S = 2 * LATENCY_S + 8 * len(PAYLOAD) / BANDWIDTH_BPS


async def ask(made: stream.Stream) -> None:
    request_id = os.urandom(16)
    tensor = pb.Tensor(name="x", payload=PAYLOAD)
    frame = pb.UpstreamFrame(activations=pb.ActivationSet(request_id=request_id, tensors=[tensor]))
    await made.exchange(request_id, frame.SerializeToString())


@asynccontextmanager
async def connected(noticed: list[bool]) -> AsyncIterator[tuple[stream.Stream, FarStage]]:
    """A stream that has opened and knows its link; `noticed` grows by whether it was in doubt when it said so."""
    far = FarStage(BANDWIDTH_BPS, LATENCY_S)
    made = stream.Stream("far", lambda: noticed.append(made.meter.in_doubt), lambda: 10**7, far.channel)
    try:
        await asyncio.sleep(0.2)
        assert made.usable
        for _ in range(8):
            await ask(made)
        assert not made.meter.in_doubt
        far.probes.clear()
        noticed.clear()
        yield made, far
    finally:
        await made.close()


def test_a_surprise_is_confirmed_by_a_probe_at_once_and_both_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[list[int], list[bool], float]:
        noticed: list[bool] = []
        async with connected(noticed) as (made, far):
            far.bandwidth_bps /= 5
            await ask(made)
            assert noticed == [True]
            await asyncio.sleep(6 * CROSSING_S)
            return far.probes, list(noticed), made.meter.bandwidth_bps or 0.0

    probes, noticed, bandwidth_bps = run_virtually(scenario(), [stream], monkeypatch)
    assert probes == [pytest.approx(len(PAYLOAD), rel=0.05)]
    assert noticed == [True, False]
    assert bandwidth_bps == pytest.approx(BANDWIDTH_BPS / 5, rel=0.1)


def test_a_link_that_moves_again_is_measured_at_once_and_known_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> tuple[list[int], float]:
        async with connected([]) as (made, far):
            far.up.clear()
            with pytest.raises(stream.LostError):
                await ask(made)
            assert not made.usable
            await asyncio.sleep(1.0)
            far.up.set()
            await asyncio.sleep(0.2)
            assert made.usable
            return far.probes, made.meter.bandwidth_bps or 0.0

    probes, bandwidth_bps = run_virtually(scenario(), [stream], monkeypatch)
    assert probes == [16384, 64]
    assert bandwidth_bps == pytest.approx(BANDWIDTH_BPS, rel=0.1)


def test_debts_of_probing_from_before_an_outage_do_not_keep_the_link_from_being_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> list[int]:
        async with connected([]) as (made, far):
            far.bandwidth_bps /= 5
            await ask(made)
            await asyncio.sleep(6 * CROSSING_S)
            far.up.clear()
            with pytest.raises(stream.LostError):
                await ask(made)
            await asyncio.sleep(1.0)
            far.probes.clear()
            far.up.set()
            await asyncio.sleep(0.6)
            return far.probes

    assert run_virtually(scenario(), [stream], monkeypatch) == [16384, 64]


def test_a_link_that_begins_slowly_after_an_outage_is_measured_again_within_half_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> list[float]:
        async with connected([]) as (made, far):
            far.up.clear()
            with pytest.raises(stream.LostError):
                await ask(made)
            await asyncio.sleep(1.0)
            far.bandwidth_bps /= 8
            far.up.set()
            await asyncio.sleep(0.9)
            begun = made.meter.bandwidth_bps or 0.0
            far.bandwidth_bps *= 8
            await asyncio.sleep(30.0)
            return [begun, made.meter.bandwidth_bps or 0.0]

    begun, later = run_virtually(scenario(), [stream], monkeypatch)
    assert begun == pytest.approx(BANDWIDTH_BPS / 8, rel=0.2)
    assert later == pytest.approx(BANDWIDTH_BPS, rel=0.2)

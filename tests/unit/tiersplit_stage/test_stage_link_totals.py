"""What a link tells Prometheus: its totals never fall, whatever becomes of its streams."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.far_stage import FarStage
from tests.support.virtual_time import run_virtually
from tiersplit_stage import stream
from tiersplit_stage.link import Link
from tiersplit_wire.v1 import activation_pb2 as pb

ADDRESSES = tuple(f"192.0.2.{i}:9000" for i in range(4))
FRAME_BYTES = 3000


def frame(i):
    tensors = [pb.Tensor(name="x", payload=bytes(FRAME_BYTES))]
    request_id = i.to_bytes(16, "big")
    activations = pb.ActivationSet(request_id=request_id, tensors=tensors)
    return request_id, pb.UpstreamFrame(activations=activations).SerializeToString()


def virtually(scenario):
    with pytest.MonkeyPatch.context() as patch:
        return run_virtually(scenario, [stream], patch)


async def replaced(members):
    """Totals after each step of a link whose stages are replaced while requests are on it."""
    far, seen = FarStage(1e6, 0.01), []
    far.compute_s = 0.3
    link = Link("edge", "cloud", lambda: seen.append(link.sent), lambda _: far.channel())
    async with asyncio.TaskGroup() as requests:
        for i, addresses in enumerate(members):
            await link.update(addresses)
            assert await link.wait_usable(1.0)
            requests.create_task(link.exchange(*frame(i)))
            await asyncio.sleep(0.1)
            seen.append(link.sent)
    seen.append(link.sent)
    await link.close()
    return [*seen, link.sent]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sets(st.sampled_from(ADDRESSES), min_size=1), min_size=2, max_size=6))
def test_totals_never_fall_when_stages_come_and_go(members):
    seen = virtually(replaced(members))
    assert all(old[0] <= new[0] and old[1] <= new[1] for old, new in itertools.pairwise(seen))
    assert seen[-1][0] >= len(members) * FRAME_BYTES


def test_what_a_stream_that_leaves_still_sends_counts():
    async def scenario():
        far = FarStage(1e5, 0.01)
        link = Link("edge", "cloud", lambda: None, lambda _: far.channel())
        await link.update(ADDRESSES[:1])
        assert await link.wait_usable(1.0)
        await asyncio.sleep(2.0)
        waiting = [asyncio.ensure_future(link.exchange(*frame(i))) for i in range(3)]
        await asyncio.sleep(0)
        await link.update(ADDRESSES[1:2])
        before = link.sent[0]
        await asyncio.gather(*waiting)
        after = link.sent[0]
        await link.close()
        return before, after

    before, after = virtually(scenario())
    assert after - before >= 3 * FRAME_BYTES

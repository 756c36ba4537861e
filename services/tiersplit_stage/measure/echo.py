"""A stage that computes nothing, in a process of its own: all that a request costs there is serving.

`python -m tiersplit_stage.measure.echo TIER [NEXT]` prints its address as a line of JSON. Each line on its standard
input names a plan to use from then on, or is empty; the answer is what it has sent since the last one. It ends with its
input.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from tiersplit_stage.emulation import Emulation
from tiersplit_stage.head import Head
from tiersplit_stage.inference import InferenceServicer
from tiersplit_stage.link import Link
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.plans import SegmentInfo, compile_plans
from tiersplit_stage.pool import BlobStore, Expected, SegmentPool, to_ort
from tiersplit_stage.servicer import ActivationsServicer
from tiersplit_stage.sessions import bound_heap
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker
from tiersplit_wire.connection import bind, make_server
from tiersplit_wire.v1 import route_pb2 as pb

MODEL, DATA, ANSWER = "echo", "data", "answer"
FIRST, SECOND = "first", "second"
NEAR, FAR = "near", "far"
"""Plans: both segments on the first tier; the second one on the second."""

_PASSED = "passed"
_LIMIT = 64
_LOOPBACK = "127.0.0.1:0"


class PassThrough(SegmentPool):
    """Segments that hand on what they get, and in the end answer with one number."""

    def __init__(self) -> None:
        super().__init__(BlobStore(Path()), 1)
        self._answer = to_ort(np.zeros((1, 1), np.float32))

    @property
    def loaded(self) -> frozenset[str]:
        """All that plans name."""
        return frozenset({_PASSED, ANSWER})

    def expected(self, segment: SegmentInfo) -> dict[str, Expected]:
        """Rows of any length."""
        return dict.fromkeys(segment.inputs, Expected(np.dtype(np.float32), (None, None)))

    def run(self, segment: SegmentInfo, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the segment computes."""
        return {_PASSED: values[DATA]} if segment.id == _PASSED else {ANSWER: self._answer}


def route() -> pb.Route:
    """Both plans."""
    return pb.Route(
        deployment=MODEL,
        model=pb.Model(name=MODEL, inputs=[_tensor(DATA)], outputs=[_tensor(ANSWER)]),
        segments=[
            pb.Segment(id=_PASSED, blob=_PASSED, inputs=[DATA], outputs=[_PASSED]),
            pb.Segment(id=ANSWER, blob=ANSWER, inputs=[_PASSED], outputs=[ANSWER]),
        ],
        plans=[_plan(NEAR, FIRST), _plan(FAR, SECOND)],
        tiers=[pb.TierEndpoints(tier=FIRST), pb.TierEndpoints(tier=SECOND)],
    )


def _tensor(name: str) -> pb.ModelTensor:
    return pb.ModelTensor(name=name, tensor=name, datatype="FP32", shape=[-1, -1])


def _plan(name: str, last: str) -> pb.RoutePlan:
    places = [pb.PlanSegment(segment=_PASSED, tier=FIRST), pb.PlanSegment(segment=ANSWER, tier=last)]
    return pb.RoutePlan(digest=name, segments=places)


async def serve(tier: str, following: str) -> None:
    """Serve until standard input ends.

    Args:
        tier: `FIRST` answers clients, `SECOND` the first one.
        following: address of the second one, for the first.
    """
    metrics = StageMetrics()
    pipeline = Pipeline(tier, PassThrough(), Worker(_LIMIT), Stopwatch(Emulation(1.0)), metrics)
    plans, server = compile_plans(route(), tier), make_server()
    head = Head(pipeline, metrics, _LIMIT, lambda: None)
    if tier == FIRST:
        pipeline.link = Link(FIRST, SECOND, lambda: None)
        await pipeline.link.update([following])
        head.update(plans, NEAR, NEAR)
        head.verified = set(plans)
        servicer = InferenceServicer(head, metrics, MODEL, "")
        server.add_generic_rpc_handlers((servicer.handlers(),))
    else:
        activations = ActivationsServicer(pipeline, metrics, tier, _LIMIT)
        activations.plans = {plan.key: plan for plan in plans.values()}
        server.add_generic_rpc_handlers((activations.handlers(),))
    address = bind(server, _LOOPBACK)
    await server.start()
    _say({"address": address})
    await _follow_orders(head, pipeline)
    await server.stop(0)


async def _follow_orders(head: Head, pipeline: Pipeline) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            head.use(line.strip())
        if pipeline.link is not None:
            await pipeline.link.wait_usable(1.0)
        seen = pipeline.link.take_observations() if pipeline.link is not None else []
        sent = [(found.size_bytes, found.seconds) for found in seen if found.idle_before and not found.lost]
        _say({"sent": sent})


def _say(value: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    bound_heap()
    uvloop.run(serve(sys.argv[1], "".join(sys.argv[2:])))

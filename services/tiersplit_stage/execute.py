"""What the compute thread does for one request: decode what is needed, run segments, encode what travels on."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tiersplit_core.codec.frame import EncodedTensor, encode_tensor
from tiersplit_stage.plans import SegmentInfo, StagePlan
from tiersplit_stage.pool import SegmentPool, to_ort
from tiersplit_stage.stopwatch import Ran, Stopwatch
from tiersplit_wire.convert import activations_frame, proto_to_array
from tiersplit_wire.v1 import activation_pb2 as pb

Value = NDArray[Any] | pb.Tensor
"""A tensor that a request brings: decoded, or as it came over the wire."""


@dataclass(slots=True)
class Outcome:
    """What one stage made of a request.

    Attributes:
        outputs: the model's outputs that were computed here, by tensor name.
        forward: serialised `UpstreamFrame` for the next tier; None where the plan ends here.
        compute_s: seconds in segments.
        codec_s: seconds spent on decoding and encoding.
        segments: how long each ran, by segment id.
    """

    outputs: dict[str, NDArray[Any]] = field(default_factory=dict)
    forward: bytes | None = None
    compute_s: float = 0.0
    codec_s: float = 0.0
    segments: dict[str, Ran] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One request at one stage.

    Attributes:
        request_id: 16 bytes.
        plan: the plan that runs it.
        position: the segment that comes next.
        values: every tensor that came with it.
        rows: batch size.
        deadline: monotonic second; None: none.
        admitted: the bounded queue let it in before.
    """

    request_id: bytes
    plan: StagePlan
    position: int
    values: Mapping[str, Value]
    rows: int
    deadline: float | None
    admitted: bool = False


def execute(pool: SegmentPool, job: Job, stopwatch: Stopwatch) -> Outcome:
    """Run this tier's segments of `job`.

    Args:
        pool: holds the sessions.
        job: the request; `check_values` and `check_shapes` have passed.
        stopwatch: times each segment.

    Raises:
        FrameError: a tensor cannot be decoded.
        OperationError: a segment failed.
    """
    outcome = Outcome()
    own = job.plan.own(job.position)
    mine = [job.plan.segments[i] for i in own]
    started = time.perf_counter()
    live: dict[str, Any] = {name: to_ort(_array(job.values[name])) for name in reads(mine)}
    outcome.codec_s = time.perf_counter() - started
    for segment in mine:
        live.update(_timed(pool, segment, live, outcome, stopwatch, job.rows))
    started = time.perf_counter()
    computed = {name for segment in mine for name in segment.outputs}
    outcome.outputs = {name: live[name].numpy() for name in computed & job.plan.outputs}
    if own.stop < len(job.plan.segments):
        outcome.forward = _forward(job, own.stop, {name: live[name] for name in computed})
    outcome.codec_s += time.perf_counter() - started
    return outcome


def relay(job: Job) -> Outcome:
    """The frame for the next tier from one that runs nothing of the plan: tensors pass as they came."""
    return Outcome(forward=_forward(job, job.position, {}))


def _forward(job: Job, position: int, computed: Mapping[str, Any]) -> bytes:
    tensors: list[EncodedTensor | pb.Tensor] = []
    names = sorted(job.plan.needed_from(position))
    for name in names:
        value: Value = computed[name].numpy() if name in computed else job.values[name]
        if not isinstance(value, pb.Tensor):
            tensors.append(encode_tensor(name, value, job.plan.crossing(name)[0]))
        else:
            tensors.append(value)
    header = pb.ActivationSet(
        request_id=job.request_id,
        plan=job.plan.key,
        next_segment=position,
        rows=job.rows,
        remaining_us=remaining_us(job.deadline),
    )
    return activations_frame(header, tensors, [job.plan.crossing(name)[1] for name in names])


def remaining_us(deadline: float | None) -> int:
    """Microseconds until `deadline` (at least 1); 0 where there is none."""
    return 0 if deadline is None else max(1, int((deadline - time.monotonic()) * 1e6))


def _timed(
    pool: SegmentPool,
    segment: SegmentInfo,
    live: Mapping[str, Any],
    outcome: Outcome,
    stopwatch: Stopwatch,
    rows: int,
) -> dict[str, Any]:
    found, ran = stopwatch.time(segment.id, rows, lambda: pool.run(segment, live))
    outcome.segments[segment.id] = ran
    outcome.compute_s += ran.taken_s
    return found


def reads(segments: Iterable[SegmentInfo]) -> dict[str, SegmentInfo]:
    """The tensors that must be there before `segments` run, and which of them reads each first."""
    computed: set[str] = set()
    found: dict[str, SegmentInfo] = {}
    for segment in segments:
        for name in segment.inputs:
            if name not in computed:
                found.setdefault(name, segment)
        computed.update(segment.outputs)
    return found


def _array(value: Value) -> NDArray[Any]:
    return proto_to_array(value) if isinstance(value, pb.Tensor) else value

"""What a request brings is checked against its plan before any of it is decoded."""

import re
from collections.abc import Sequence

import numpy as np

from tiersplit_core.errors import FrameError
from tiersplit_stage.execute import Job, reads
from tiersplit_stage.intake import max_rows
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.pool import Expected, SegmentPool
from tiersplit_wire.convert import check_proto
from tiersplit_wire.v1 import activation_pb2 as pb

_GROWING = re.compile(r"(?:(\d+)\*)?batch")
"""An axis that grows with the batch, as segments name it."""


def check_values(job: Job) -> None:
    """Refuse a request that lacks a tensor which the rest of its plan reads, or whose tensors are malformed.

    Raises:
        FrameError: names the tensor, or how many rows the plan takes.
    """
    most = max_rows(job.plan.origin.model)
    if job.rows > most:
        raise FrameError(f"the plan takes at most {most} rows, not {job.rows}", "activations.rows")
    missing = sorted(job.plan.needed_from(job.position) - set(job.values))
    if missing:
        raise FrameError(f"the plan needs {missing[0]!r} from segment {job.position} on", "activations.tensors")
    for value in job.values.values():
        if isinstance(value, pb.Tensor):
            check_proto(value)


def check_shapes(pool: SegmentPool, job: Job, segments: Sequence[SegmentInfo]) -> None:
    """Refuse tensors that `segments`, which are to run here, cannot read.

    Raises:
        FrameError: names the tensor and what was expected.
        OperationError: a segment is not loaded.
    """
    for name, segment in reads(segments).items():
        value = job.values[name]
        expected = pool.expected(segment).get(name)
        if isinstance(value, pb.Tensor) and expected is not None and not _fits(value, expected, job.rows):
            shape, given = list(expected.shape), f"{value.dtype} {list(value.shape)}"
            raise FrameError(f"{job.rows} rows of {expected.dtype or 'any type'} {shape} expected, not {given}", name)


def _fits(given: pb.Tensor, expected: Expected, rows: int) -> bool:
    if expected.dtype is not None and np.dtype(given.dtype) != expected.dtype:
        return False
    return len(given.shape) == len(expected.shape) and all(
        _within(size, wanted, rows) for size, wanted in zip(given.shape, expected.shape, strict=True)
    )


def _within(size: int, expected: int | str | None, rows: int) -> bool:
    """Whether an axis may have this size; one that grows with data has a batch's at most."""
    if isinstance(expected, int):
        return size == expected
    found = _GROWING.fullmatch(expected or "")
    return found is None or size <= int(found[1] or 1) * rows

"""What a frame brings is checked against the plan before it is decoded."""

import asyncio
from types import SimpleNamespace

import lz4.frame
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stages import TinyModel
from tiersplit_core.errors import FrameError
from tiersplit_stage import arriving
from tiersplit_stage.arriving import check_shapes, check_values
from tiersplit_stage.emulation import Emulation
from tiersplit_stage.execute import Job
from tiersplit_stage.metrics import StageMetrics
from tiersplit_stage.pipeline import Pipeline
from tiersplit_stage.plans import compile_plans
from tiersplit_stage.pool import BlobStore, Expected, SegmentPool
from tiersplit_stage.stopwatch import Stopwatch
from tiersplit_stage.worker import Worker
from tiersplit_wire.convert import array_to_proto
from tiersplit_wire.v1 import activation_pb2 as pb


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """The plan `011` at its second tier, and a pool that holds its segments."""
    model = TinyModel(tmp_path_factory.mktemp("arriving") / "bundle")
    plan = compile_plans(model.route(1, ["011"], "011", {}, tiers=("edge", "cloud")), "cloud")["011"]
    pool = SegmentPool(BlobStore(model.bundle), 1)
    for segment in plan.own_segments:
        pool.load(segment)
    return plan, pool


def job_of(plan, rows, **tensors):
    return Job(b"r" * 16, plan, 1, tensors, rows, None)


def small(rows, width=8, dtype=np.float32):
    return array_to_proto("y", np.zeros((rows, width), dtype), 64)


def check(cloud, job):
    plan, pool = cloud
    check_values(job)
    check_shapes(pool, job, plan.own_segments)


def test_what_the_plan_reads_passes(cloud):
    check(cloud, job_of(cloud[0], 2, y=small(2)))
    check(cloud, job_of(cloud[0], 2, y=np.zeros((2, 8), np.float32)))


def bomb(compress, encoding, shape):
    """A tensor whose few bytes unfold to as many as it says."""
    message = pb.Tensor(name="y", dtype="float32", shape=shape, bits=32, encoding=encoding, packing=pb.PACKING_HW)
    message.payload = compress(bytes(4 * int(np.prod(shape))))
    return message


@pytest.mark.parametrize(
    ("compress", "encoding"),
    [(zstandard.compress, pb.ENCODING_ZSTD), (lz4.frame.compress, pb.ENCODING_LZ4)],
    ids=["zstd", "lz4"],
)
def test_a_small_frame_that_would_unfold_to_more_rows_than_it_has_is_never_decoded(cloud, compress, encoding):
    plan, pool = cloud
    pipeline = Pipeline("cloud", pool, Worker(4), Stopwatch(Emulation(1.0)), StageMetrics())
    job = job_of(plan, 2, y=bomb(compress, encoding, (1 << 16, 8)))
    pipeline.worker.run = None  # whatever is decoded is decoded there
    with pytest.raises(FrameError, match=r"y: 2 rows of float32 \['batch', .*\] expected, not float32 \[65536, 8\]"):
        asyncio.run(pipeline.run(job))


@pytest.mark.parametrize(
    ("rows", "tensor", "said"),
    [
        (2, small(3), "2 rows of float32"),
        (2, small(2, dtype=np.float64), "not float64"),
        (2, array_to_proto("y", np.zeros(2, np.float32), 64), r"not float32 \[2\]"),
        (65, small(65), "at most 64 rows"),
    ],
    ids=["more rows", "another type", "another rank", "more rows than the model takes"],
)
def test_what_the_plan_cannot_read_is_refused(cloud, rows, tensor, said):
    with pytest.raises(FrameError, match=said):
        check(cloud, job_of(cloud[0], rows, y=tensor))


@given(
    expected=st.lists(st.one_of(st.integers(1, 9), st.just("batch"), st.just("3*batch"), st.none()), max_size=4),
    rows=st.integers(1, 5),
    data=st.data(),
)
def test_a_shape_passes_where_its_fixed_axes_are_equal_and_those_that_grow_are_within_the_batch(expected, rows, data):
    given_shape = [data.draw(st.integers(0, 20)) for _ in expected]
    wanted = all(
        size <= {"batch": rows, "3*batch": 3 * rows}.get(axis, 20) if isinstance(axis, str | None) else size == axis
        for axis, size in zip(expected, given_shape, strict=True)
    )
    segment = SimpleNamespace(inputs=("y",), outputs=())
    pool = SimpleNamespace(expected=lambda _: {"y": Expected(None, tuple(expected))})
    job = SimpleNamespace(values={"y": pb.Tensor(name="y", dtype="int8", shape=given_shape)}, rows=rows)
    if wanted:
        arriving.check_shapes(pool, job, [segment])
    else:
        with pytest.raises(FrameError):
            arriving.check_shapes(pool, job, [segment])

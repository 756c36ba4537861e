"""Measuring segments as they will run: a session each, one after another, the values handed on between them."""

import tempfile
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tiersplit_bundle.bundle import Bundle, BundleSegment
from tiersplit_core.errors import BundleError, OutOfMemoryError
from tiersplit_core.profile.layers import Timing
from tiersplit_stage.measure.job import Job, Program
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.settings import Say, Settings, write_inputs
from tiersplit_stage.measure.timings import timing_of

_PAUSE_S = 0.02
"""A stage rests while the other stages and the links have a request; run without rest, small networks are 20 to 30%
faster than any request will find them."""


def measure_segments(
    bundle: Bundle, settings: Settings, say: Say, ids: Collection[str] | None = None
) -> dict[int, dict[str, Timing]]:
    """Seconds per segment digest at each batch size.

    All sessions live in one process, or in as few as the memory allows, and run in turn, each after a rest, so that a
    segment finds the caches as cold as a request does.
    An emulated tier waits after each segment as a stage does, so the seconds contain how exactly the system waits.

    Args:
        bundle: holds the segments' files.
        settings: how to measure.
        say: told after each batch size.
        ids: which segments; None: all. Others run too where these need what they compute.

    Raises:
        BundleError: a segment is missing, or what it reads is computed nowhere.
        OutOfMemoryError: one segment alone takes more than the tier has.
        OperationError: the measuring process failed.
    """
    chain = running_order(bundle, ids)
    wanted = {segment.digest for segment in chain if ids is None or segment.id in ids}
    found: dict[int, dict[str, Timing]] = {}
    for batch in sorted(set(settings.batches)):
        seconds = _run_chain(bundle, chain, settings, batch)
        found[batch] = {name: timing_of(taken) for name, taken in seconds.items() if name in wanted}
        say(f"segments at batch {batch}")
    return found


def running_order(bundle: Bundle, ids: Collection[str] | None = None) -> tuple[BundleSegment, ...]:
    """The segments `ids` (None: all) and those that compute what they read, each after its sources.

    Raises:
        BundleError: a segment is missing, or what it reads is computed nowhere.
    """
    known = {segment.id: segment for segment in bundle.segments}
    for name in ids or ():
        if name not in known:
            raise BundleError(f"the bundle has no segment {name!r}; cut it with `tiersplit materialise`", "segments")
    wanted = list(known.values()) if ids is None else [known[name] for name in known if name in set(ids)]
    if not wanted:
        raise BundleError("the bundle has no segments; cut them with `tiersplit materialise`", "segments")
    available = {spec.name for spec in bundle.graph.inputs}
    # A quantised variant helps as well as the segment that it stands for, and the tier may have no room for that.
    helpers = sorted(known.values(), key=lambda segment: _stored_bytes(bundle, segment))
    return _without_idle(_ordered(wanted, helpers, available), wanted)


def _stored_bytes(bundle: Bundle, segment: BundleSegment) -> int:
    return sum(bundle.descriptor(digest).size for digest in (segment.digest, *segment.weights))


def _ordered(
    wanted: Sequence[BundleSegment], known: Sequence[BundleSegment], available: set[str]
) -> list[BundleSegment]:
    """Run what can run, wanted ones first; take a helper, the first of `known`, only where no wanted one can."""
    order: list[BundleSegment] = []
    waiting = list(wanted)
    while waiting:
        ready = _first_ready(waiting, available)
        helpers = [segment for segment in known if segment not in order and not available.issuperset(segment.outputs)]
        ready = ready or _first_ready(helpers, available)
        if ready is None:
            missing = sorted(set(waiting[0].inputs) - available)[0]
            raise BundleError(f"no segment of the bundle computes {missing!r}", f"segment {waiting[0].id}")
        order.append(ready)
        available |= set(ready.outputs)
        waiting = [segment for segment in waiting if segment != ready]
    return order


def _without_idle(order: Sequence[BundleSegment], wanted: Collection[BundleSegment]) -> tuple[BundleSegment, ...]:
    """The order without helpers of whose values nobody reads any."""
    needed: set[str] = set()
    kept = []
    for segment in reversed(order):
        if segment in wanted or needed.intersection(segment.outputs):
            kept.append(segment)
            needed = needed.difference(segment.outputs).union(segment.inputs)
    return tuple(reversed(kept))


def _first_ready(segments: Sequence[BundleSegment], available: set[str]) -> BundleSegment | None:
    return next((segment for segment in segments if available.issuperset(segment.inputs)), None)


def _run_chain(
    bundle: Bundle, chain: Sequence[BundleSegment], settings: Settings, batch: int
) -> dict[str, tuple[float, ...]]:
    programs = [program_of(bundle, segment) for segment in chain]
    with tempfile.TemporaryDirectory(prefix="tiersplit-measure-") as work:
        return _run_groups(programs, write_inputs(bundle, batch, Path(work)), settings, Path(work))


def _run_groups(
    programs: Sequence[Program], values: dict[str, str], settings: Settings, work: Path
) -> dict[str, tuple[float, ...]]:
    """Seconds per program: of all in one process, or of the halves one after the other where that takes too much."""
    found: dict[str, tuple[float, ...]] = {}
    waiting = deque([programs])
    while waiting:
        group = waiting.popleft()
        read = {name for later in waiting for program in later for name in program.inputs}
        outputs = dict.fromkeys(name for program in group for name in program.outputs if name in read)
        keep = {name: str(work / f"kept-{len(found)}-{i}.npy") for i, name in enumerate(outputs)}
        try:
            found |= _run_group(group, keep, values, settings)
        except OutOfMemoryError:
            if len(group) == 1:
                raise
            waiting.extendleft((group[len(group) // 2 :], group[: len(group) // 2]))
        else:
            values |= keep
    return found


def _run_group(
    programs: Sequence[Program], keep: Mapping[str, str], values: Mapping[str, str], settings: Settings
) -> dict[str, tuple[float, ...]]:
    job = Job(
        tuple(programs),
        values,
        settings.threads,
        settings.budget_s,
        slowdown=settings.slowdown,
        pause_s=_PAUSE_S,
        keep=keep,
        memory_bytes=settings.room_bytes,
    )
    return dict(run_job(job, settings.timeout_s * settings.slowdown).seconds)


def program_of(bundle: Bundle, segment: BundleSegment) -> Program:
    """What runs a segment, its blobs verified; errors as `Bundle.segment_path`."""
    weights = tuple(str(bundle.blob_path(digest)) for digest in segment.weights)
    return Program(segment.digest, str(bundle.segment_path(segment)), segment.inputs, segment.outputs, weights)

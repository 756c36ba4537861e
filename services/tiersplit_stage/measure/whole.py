"""Measuring the layers of a model: the whole model under ONNX Runtime's profiler, one process per batch size."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import OperationError
from tiersplit_core.profile.batches import interpolate
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile
from tiersplit_stage.measure.job import Job, Program
from tiersplit_stage.measure.machine import describe_machine
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.settings import Say, Settings, write_inputs
from tiersplit_stage.measure.timings import layer_timings, timing_of

MeasureBatch = Callable[[int, Path], tuple[BatchProfile, int]]
"""Measures one batch size in a working directory; gives what it saw and the idle runtime's bytes."""


def measure_layers(bundle: Bundle, settings: Settings, say: Say) -> TierProfile:
    """The layers' seconds and the memory of the whole model at each batch size.

    Batch sizes that would need more memory than the tier has are left out, and `say` is told.

    Args:
        bundle: what is measured.
        settings: how.
        say: told after each batch size.

    Raises:
        OperationError: a measuring process failed.
    """
    return measure_batches(bundle, settings, lambda batch, work: _measure_batch(bundle, settings, batch, work), say)


def measure_batches(bundle: Bundle, settings: Settings, measure: MeasureBatch, say: Say) -> TierProfile:
    """A profile of what `measure` sees at each batch size that memory allows."""
    seen: dict[int, BatchProfile] = {}
    idle = 0
    for batch in sorted(set(settings.batches)):
        reason = too_large(settings, _expected_bytes(seen, batch))
        if reason:
            say(f"batch {batch} and above are left out: {reason}")
            break
        with tempfile.TemporaryDirectory(prefix="tiersplit-measure-") as work:
            seen[batch], idle = measure(batch, Path(work))
        say(f"batch {batch}")
    if not seen:
        raise OperationError(f"no batch size of {list(settings.batches)} fits the memory of tier {settings.tier!r}")
    return TierProfile(
        tier=settings.tier,
        kind=ProfileKind.MEASURED,
        graph=bundle.graph_digest,
        threads=settings.threads,
        machine=describe_machine(),
        batches=seen,
        slowdown=settings.slowdown,
        base_bytes=idle,
    )


def _measure_batch(bundle: Bundle, settings: Settings, batch: int, work: Path) -> tuple[BatchProfile, int]:
    graph = bundle.graph
    program = Program(
        "whole",
        str(bundle.model_path),
        tuple(spec.name for spec in graph.inputs),
        tuple(dict.fromkeys(tensor for _, tensor in graph.output_names)),
    )
    return run_whole(bundle, settings, program, batch, work)


def run_whole(bundle: Bundle, settings: Settings, program: Program, batch: int, work: Path) -> tuple[BatchProfile, int]:
    """What a program that runs every layer takes at one batch size, and the idle runtime's bytes.

    Args:
        bundle: whose model it is.
        settings: how to measure.
        program: the model, in whatever form.
        batch: samples.
        work: an empty directory.

    Raises:
        OperationError: the measuring process failed.
    """
    write_inputs(bundle, batch, work / "inputs.safetensors")
    job = Job((program,), str(work / "inputs.safetensors"), settings.threads, settings.budget_s, kernels=True)
    answer = run_job(job, settings.timeout_s)
    whole = timing_of(answer.seconds[program.name], settings.slowdown)
    layers = layer_timings(bundle.graph, answer.kernels, whole.median_s, tuple(bundle.graph.index))
    # The inputs were there before: a stage receives them and holds them, so they count.
    return BatchProfile(layers, whole, {}, answer.peak_bytes - answer.idle_bytes), answer.idle_bytes


def too_large(settings: Settings, needed_bytes: float) -> str:
    """Why what needs so many bytes is not run; empty where they are there."""
    free = psutil.virtual_memory().available
    if settings.memory_bytes is not None and needed_bytes > settings.memory_bytes:
        return f"about {needed_bytes:.0f} bytes are more than the {settings.memory_bytes} of the tier"
    return f"about {needed_bytes:.0f} bytes are more than the {free} that are free" if needed_bytes > free else ""


def _expected_bytes(seen: dict[int, BatchProfile], batch: int) -> float:
    """As far as smaller batch sizes tell; nothing speaks against the first."""
    return interpolate({size: float(found.memory_bytes) for size, found in seen.items()}, batch) if seen else 0.0

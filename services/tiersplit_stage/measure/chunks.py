"""Measuring a model that is larger than its tier: one chunk of layers after another, each in a process of its own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from safetensors.numpy import load_file, save_file

from tiersplit_bundle.bundle import Bundle, BundleSegment
from tiersplit_core.profile.layers import BatchProfile, TierProfile, Timing
from tiersplit_stage.measure.job import Answer, Job, Program
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.segments import running_order
from tiersplit_stage.measure.settings import Say, Settings, write_inputs
from tiersplit_stage.measure.timings import layer_timings, timing_of
from tiersplit_stage.measure.whole import measure_batches


def measure_chunks(bundle: Bundle, settings: Settings, chunks: Sequence[str], say: Say) -> TierProfile:
    """As `measure_layers`, with never more than one chunk in memory.

    The whole model's seconds are the sum over the chunks; its memory is that of the largest chunk.

    Args:
        bundle: holds the chunks as segments.
        settings: how to measure.
        chunks: ids of segments that together run every layer once.
        say: told after each batch size.

    Raises:
        BundleError: a chunk is missing.
        OperationError: a measuring process failed.
    """
    order = running_order(bundle, chunks)
    # The limit is what the chunks were made for; the memory of the largest one is no reason to leave out a batch size.
    within = replace(settings, memory_bytes=None)
    return measure_batches(
        bundle, within, lambda batch, work: _measure_batch(bundle, settings, order, batch, work), say
    )


def _measure_batch(
    bundle: Bundle, settings: Settings, order: Sequence[BundleSegment], batch: int, work: Path
) -> tuple[BatchProfile, int]:
    values = work / "values.safetensors"
    write_inputs(bundle, batch, values)
    layers: dict[str, Timing] = {}
    wholes: list[Timing] = []
    peak = idle = 0
    for i, chunk in enumerate(order):
        answer = _run_chunk(bundle, settings, chunk, values, work)
        wholes.append(timing_of(answer.seconds[chunk.id], settings.slowdown))
        layers |= layer_timings(bundle.graph, answer.kernels, wholes[-1].median_s, chunk.layers)
        peak, idle = max(peak, answer.peak_bytes - answer.idle_bytes), answer.idle_bytes
        _hand_on(values, work / "kept.safetensors", order[i + 1 :])
    whole = Timing(
        sum(timing.median_s for timing in wholes),
        sum(timing.spread_s for timing in wholes),
        min(timing.runs for timing in wholes),
    )
    return BatchProfile({name: layers[name] for name in bundle.graph.index}, whole, {}, peak), idle


def _run_chunk(bundle: Bundle, settings: Settings, chunk: BundleSegment, values: Path, work: Path) -> Answer:
    program = Program(chunk.id, str(bundle.segment_path(chunk)), chunk.inputs, chunk.outputs)
    read = work / "read.safetensors"
    everything = load_file(str(values))
    save_file({name: everything[name] for name in chunk.inputs}, str(read))
    job = Job(
        (program,),
        str(read),
        settings.threads,
        settings.budget_s,
        kernels=True,
        keep=chunk.outputs,
        kept=str(work / "kept.safetensors"),
    )
    return run_job(job, settings.timeout_s)


def _hand_on(values: Path, kept: Path, rest: Sequence[BundleSegment]) -> None:
    needed = {name for chunk in rest for name in chunk.inputs}
    known = {**load_file(str(values)), **load_file(str(kept))}
    save_file({name: array for name, array in known.items() if name in needed}, str(values))

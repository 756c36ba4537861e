"""Measuring the layers of a model: the model under ONNX Runtime's profiler, a process or several per batch size."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from math import fsum

import psutil

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import OutOfMemoryError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm
from tiersplit_stage.measure.attribution import work
from tiersplit_stage.measure.chunks import Asked, Seen, cannot_hold, measure_model
from tiersplit_stage.measure.job import Program
from tiersplit_stage.measure.machine import describe_machine
from tiersplit_stage.measure.segments import program_of
from tiersplit_stage.measure.settings import Say, Settings


def measure_layers(bundle: Bundle, settings: Settings, say: Say) -> TierProfile:
    """The layers' seconds and the memory of the whole model at each batch size.

    A model that does not fit is measured in chunks that do. Where layers by themselves take more than the tier has,
    `say` is told, and batch sizes at which more of them do are left out.

    Args:
        bundle: what is measured.
        settings: how.
        say: told after each batch size.

    Raises:
        OutOfMemoryError: the tier can hold none of the layers.
        OperationError: a measuring process failed.
    """
    seen = dict(seen_per_batch(bundle, settings, RunForm.FLOAT, say))
    return TierProfile(
        tier=settings.tier,
        kind=ProfileKind.MEASURED,
        graph=bundle.graph_digest,
        threads=settings.threads,
        machine=describe_machine(),
        batches={batch: _batch_profile(bundle.graph, found) for batch, found in seen.items()},
        slowdown=settings.slowdown,
        base_bytes=next(reversed(seen.values())).idle_bytes,
    )


def seen_per_batch(bundle: Bundle, settings: Settings, form: RunForm, say: Say) -> Iterator[tuple[int, Seen]]:
    """What is seen of the model in one form, from the smallest batch size to the first that the tier cannot hold.

    Args:
        bundle: holds the model in that form.
        settings: how to measure.
        form: how layers run.
        say: told after each batch size.

    Raises:
        OutOfMemoryError: at the smallest batch size.
        OperationError: a measuring process failed.
    """
    program = program_in(bundle, form)
    apart: Collection[str] | None = None
    for batch in sorted(set(settings.batches)):
        limit = limit_bytes(settings)
        try:
            seen = measure_model(bundle, settings, Asked(form, program, batch, limit, apart))
        except OutOfMemoryError as error:
            if apart is None:
                raise
            say(left_out(form, batch, error))
            return
        apart = seen.unheld.keys()
        say(_told(settings.tier, form, batch, limit, seen))
        yield batch, seen


def left_out(form: RunForm, batch: int, error: Exception) -> str:
    """That nothing is measured in a form from a batch size on."""
    return f"{_at(form, batch)} and above left out: {error}"


def _told(tier: str, form: RunForm, batch: int, limit: int, seen: Seen) -> str:
    chunks = f" in {seen.chunks} chunks" if seen.chunks > 1 else ""
    apart = f"; layers left out: {cannot_hold(tier, form, seen.unheld, limit)}" if seen.unheld else ""
    return _at(form, batch) + chunks + apart


def _at(form: RunForm, batch: int) -> str:
    return f"batch {batch}" if form is RunForm.FLOAT else f"{form} at batch {batch}"


def program_in(bundle: Bundle, form: RunForm) -> Program:
    """What runs the whole model in a form, its blobs verified."""
    if form is not RunForm.FLOAT:
        return program_of(bundle, bundle.forms[form])
    inputs = tuple(spec.name for spec in bundle.graph.inputs)
    outputs = tuple(dict.fromkeys(tensor for _, tensor in bundle.graph.output_names))
    return Program("whole", str(bundle.model_path), inputs, outputs)


def limit_bytes(settings: Settings) -> int:
    """What a measuring process may hold beyond the idle runtime."""
    free = int(psutil.virtual_memory().available)
    return free if settings.memory_bytes is None else min(free, settings.memory_bytes)


def _batch_profile(graph: LayerGraph, seen: Seen) -> BatchProfile:
    """Layers that the tier cannot hold get the seconds that others take for as much work."""
    s_per_work = seen.whole.median_s / sum(work(graph, name) for name in seen.layers)
    estimates = {name: Timing(work(graph, name) * s_per_work) for name in seen.unheld}
    layers = {name: seen.layers.get(name) or estimates[name] for name in graph.index}
    # The inputs were there before: a stage receives them and holds them, so they count.
    return BatchProfile(
        layers=layers,
        whole=replace(seen.whole, median_s=fsum(timing.median_s for timing in layers.values())),
        memory_bytes=seen.peak_bytes,
        chunks=seen.chunks,
        unheld=seen.unheld,
    )

"""Seconds per kernel from ONNX Runtime's own profiler, each with the layer whose work it does."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from tiersplit_core.errors import OperationError
from tiersplit_stage.measure.attribution import attribute
from tiersplit_stage.measure.job import Job, Kernel, Program
from tiersplit_stage.measure.onnx_nodes import Node, read_nodes
from tiersplit_stage.sessions import open_with, release_unused, run_options, session_options

_SUFFIX = "_kernel_time"
_ROUNDING_S = 0.5e-6
"""The profiler cuts off fractions of a microsecond: half of one is missing on average."""

_MAX_RUNS = 50
_MAX_EVENTS = 900_000
"""The profiler drops events after a million."""

_EVENT_BYTES = 4096
"""What an event takes, as text and once it is read."""


def profile_kernels(job: Job, values: Mapping[str, Any], run_s: float) -> tuple[Kernel, ...]:
    """Run the job's first program under the profiler as often as its budget allows, 1 to 50 times.

    Args:
        job: the job.
        values: the tensors that the program reads.
        run_s: seconds of one run, as measured without the profiler.

    Raises:
        OperationError: the profiler's output is not what this version of the runtime is known to write.
    """
    program = job.programs[0]
    with tempfile.TemporaryDirectory(prefix="tiersplit-profile-") as work:
        options = _profiling_options(job.threads, Path(work))
        session = open_with(options, Path(program.path), [Path(blob) for blob in program.weights])
        optimised = read_nodes(Path(work) / "optimised.onnx")
        runs = _runs(job, run_s, len(optimised))
        feed = {name: values[name] for name in program.inputs}
        for _ in range(runs + 1):
            session.run_with_ort_values(list(program.outputs), feed, run_options(session))
        written = Path(session.end_profiling())
        del session
        release_unused()  # the events take their place
        events = json.loads(written.read_text())
    return _kernels(program, optimised, [event for event in events if _is_kernel(event)], runs)


def _profiling_options(threads: int, work: Path) -> ort.SessionOptions:
    options = session_options(threads)
    options.enable_profiling = True
    options.profile_file_prefix = str(work / "events")
    options.optimized_model_filepath = str(work / "optimised.onnx")
    # Beside the model, not in it: a protobuf ends at 2 GB, and only the nodes are read back.
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", "weights.bin")
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    return options


def _runs(job: Job, run_s: float, kernels: int) -> int:
    affordable = int(job.budget_s / max(run_s, 1e-9))
    events = min(_MAX_EVENTS, _MAX_EVENTS if job.memory_bytes is None else job.memory_bytes // _EVENT_BYTES)
    return max(1, min(affordable, _MAX_RUNS, events // max(1, kernels) - 1))


def _is_kernel(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and str(event.get("name", "")).endswith(_SUFFIX)


def _kernels(
    program: Program, optimised: Sequence[Node], events: Sequence[Mapping[str, Any]], runs: int
) -> tuple[Kernel, ...]:
    """Group events by run (the first does not count): in each run kernels come in the order of the optimised model."""
    layers = dict(enumerate(attribute(read_nodes(Path(program.path)), optimised)))
    names = [str(event["name"]).removesuffix(_SUFFIX) for event in events]
    size = len(events) // (runs + 1)
    if not size or len(events) != size * (runs + 1):
        raise OperationError(f"{len(events)} kernel events of {runs + 1} runs are no whole number per run")
    if not _in_order(names[:size], optimised):
        layers = _by_name(names[:size], optimised, layers)
    return tuple(
        Kernel(layers.get(i), tuple(_seconds(events[run * size + i]) for run in range(1, runs + 1)))
        for i in range(size)
    )


def _in_order(names: Sequence[str], nodes: Sequence[Node]) -> bool:
    """Whether kernels ran as the nodes stand; the runtime makes names up for nodes without one (`HardSigmoid_463`)."""
    return len(names) == len(nodes) and all(
        not node.name or node.name == name for name, node in zip(names, nodes, strict=True)
    )


def _by_name(names: Sequence[str], nodes: Sequence[Node], layers: Mapping[int, str | None]) -> dict[int, str | None]:
    """Where kernels of nested graphs run in between, the order says nothing and only names do."""
    known = {node.name: layers[i] for i, node in enumerate(nodes)}
    return {i: known.get(name) for i, name in enumerate(names)}


def _seconds(event: Mapping[str, Any]) -> float:
    return float(event["dur"]) * 1e-6 + _ROUNDING_S

"""Inside the measuring process: load the programs, run them as a stage does, time them, watch the memory."""

import statistics
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import grpc  # noqa: F401 - a stage holds it: the memory of the idle runtime is measured with it
import numpy as np
import onnxruntime as ort

from tiersplit_stage.emulation import Emulation
from tiersplit_stage.measure.job import Answer, Job, Program
from tiersplit_stage.measure.kernels import profile_kernels
from tiersplit_stage.measure.resident import bound_memory, peak_bytes, reset_peak, resident_bytes
from tiersplit_stage.processors import Quota, quota
from tiersplit_stage.sessions import open_session, release_unused, run_options, trim_heap
from tiersplit_stage.stopwatch import steady_s

Values = dict[str, Any]
Sessions = Mapping[str, ort.InferenceSession]
_WARM_UP = 2
_FEW_RUNS = 3
"""Counted runs where even the least number of runs would take twice the budget."""


def measure(job: Job) -> Answer:
    """Run `job` in this process, which should be a fresh one: memory is what the whole process holds."""
    release_unused()
    idle = resident_bytes()
    if job.memory_bytes is not None:
        bound_memory(job.memory_bytes, job.threads)
    values = {name: ort_value(np.load(job.values[name])) for name in _needed(job.programs)}
    base = resident_bytes()
    reset_peak()
    sessions = {program.name: _opened(program, job.threads) for program in job.programs}
    load_peak, loaded = peak_bytes(), resident_bytes()
    reset_peak()
    seconds, last = _repeat(job, sessions, values)
    peak = peak_bytes()
    sessions.clear()
    for name, path in job.keep.items():
        np.save(path, last.pop(name).numpy())
    last.clear()
    total_s = sum(statistics.median(found) for found in seconds.values())
    kernels = profile_kernels(job, values, total_s) if job.kernels else ()
    return Answer(seconds, idle, base, loaded, load_peak, peak, kernels)


def _needed(programs: Sequence[Program]) -> list[str]:
    """The tensors that no program computes."""
    made = set(chain.from_iterable(program.outputs for program in programs))
    return sorted(set(chain.from_iterable(program.inputs for program in programs)) - made)


def _opened(program: Program, threads: int) -> ort.InferenceSession:
    return open_session(Path(program.path), threads, [Path(blob) for blob in program.weights])


def ort_value(array: np.ndarray[Any, Any]) -> Any:
    """An `OrtValue` that reads the array's own memory."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _repeat(job: Job, sessions: Sessions, values: Values) -> tuple[dict[str, tuple[float, ...]], Values]:
    """Warm up, then run until the budget is spent."""
    done_with = _last_reads(job)
    emulation, granted = Emulation(job.slowdown), quota()
    for _ in range(_WARM_UP):
        started = time.perf_counter()
        _run_once(job, sessions, values, done_with, emulation, granted)
        first_s = time.perf_counter() - started
        if first_s > job.budget_s / 2:
            break
    least = job.min_runs if first_s * job.min_runs <= 2 * job.budget_s else min(_FEW_RUNS, job.min_runs)
    seconds: dict[str, list[float]] = {program.name: [] for program in job.programs}
    last: Values = {}
    started = time.perf_counter()
    for run in range(job.max_runs):
        # A stage has sent its results away before it runs again: two runs' results never stand side by side.
        last.clear()
        last, taken = _run_once(job, sessions, values, done_with, emulation, granted)
        for name, value in taken.items():
            seconds[name].append(value)
        if run + 1 >= least and time.perf_counter() - started >= job.budget_s:
            break
    return {name: tuple(found) for name, found in seconds.items()}, last


def _run_once(
    job: Job,
    sessions: Sessions,
    values: Values,
    done_with: Sequence[frozenset[str]],
    emulation: Emulation,
    granted: Quota | None,
) -> tuple[Values, dict[str, float]]:
    live = dict(values)
    seconds: dict[str, float] = {}
    for program, gone in zip(job.programs, done_with, strict=True):
        feed = {name: live[name] for name in program.inputs}
        options = run_options(sessions[program.name])
        time.sleep(job.pause_s)
        started, spent_s = time.perf_counter(), time.process_time()
        found = sessions[program.name].run_with_ort_values(list(program.outputs), feed, options)
        if options is not None:
            trim_heap()  # as a stage does after such a run
        taken = steady_s(granted, time.perf_counter() - started, time.process_time() - spent_s)
        seconds[program.name] = emulation.stretch(program.name, 0, taken)
        live.update(zip(program.outputs, found, strict=True))
        live = {name: value for name, value in live.items() if name not in gone}
    return live, seconds


def _last_reads(job: Job) -> list[frozenset[str]]:
    """Per program, the tensors that nobody needs once it ran."""
    needed, gone = set(job.keep), []
    for program in reversed(job.programs):
        gone.append(frozenset(program.inputs) - needed)
        needed.update(program.inputs)
    return gone[::-1]

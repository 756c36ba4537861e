"""What a measuring process is asked and what it answers: plain values that travel as one line of JSON each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

OUT_OF_MEMORY = 3
"""Exit code of a measuring process that needed more memory than it may have."""


@dataclass(frozen=True, slots=True)
class Program:
    """One ONNX file that is run.

    Attributes:
        name: what it is called in the answer.
        path: the file.
        inputs: tensors it reads, from the job's values or from programs before it.
        outputs: tensors it computes.
        weights: blobs that it reads.
    """

    name: str
    path: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement: programs that run one after another, many times, in a process of their own.

    Attributes:
        programs: in running order.
        values: NumPy file of each tensor that the programs may need from outside, at the batch size.
        threads: intra-op threads.
        budget_s: seconds of running after which no further run begins, once `min_runs` are done.
        min_runs: runs that are counted at least.
        max_runs: runs that are counted at most.
        slowdown: the factor of an emulated tier; programs are stretched as a stage stretches its segments.
        pause_s: seconds of rest before each program runs, so that it finds caches as cold as a request does.
        kernels: whether the first program is then run again under ONNX Runtime's profiler.
        keep: tensors that are written to NumPy files in the end, and where.
        memory_bytes: what the process may take beyond the idle runtime; it gives up where it needs more. None: all.
    """

    programs: tuple[Program, ...]
    values: Mapping[str, str]
    threads: int
    budget_s: float
    min_runs: int = 5
    max_runs: int = 200
    slowdown: float = 1.0
    pause_s: float = 0.0
    kernels: bool = False
    keep: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The job that `to_json` wrote."""
        programs = tuple(
            Program(p["name"], p["path"], tuple(p["inputs"]), tuple(p["outputs"]), tuple(p["weights"]))
            for p in value["programs"]
        )
        return cls(**{**value, "programs": programs})


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel of the profiled program: its layer (None: unknown) and its seconds in each run."""

    layer: str | None
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was seen.

    Attributes:
        seconds: per program, its seconds in each run.
        idle_bytes: resident memory of the runtime alone.
        base_bytes: the same with the input values.
        loaded_bytes: resident memory with all programs loaded.
        load_peak_bytes: high-water mark while they were loaded.
        peak_bytes: high-water mark while they ran.
        kernels: of the profiled program.
    """

    seconds: Mapping[str, tuple[float, ...]]
    idle_bytes: int
    base_bytes: int
    loaded_bytes: int
    load_peak_bytes: int
    peak_bytes: int
    kernels: tuple[Kernel, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The answer that `to_json` wrote."""
        kernels = tuple(Kernel(k["layer"], tuple(k["seconds"])) for k in value["kernels"])
        seconds = {name: tuple(found) for name, found in value["seconds"].items()}
        return cls(**{**value, "seconds": seconds, "kernels": kernels})

"""Measuring every layer of a model at one batch size: at once, or chunk by chunk where memory is short."""

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import fsum
from pathlib import Path

from tiersplit_bundle.bundle import Bundle
from tiersplit_core.errors import OutOfMemoryError
from tiersplit_core.profile.chunks import Chunk, Footprint, chunks, halves
from tiersplit_core.profile.layers import Timing
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.units import format_bytes
from tiersplit_stage.measure.cutting import ModelFile
from tiersplit_stage.measure.files import beside
from tiersplit_stage.measure.job import Answer, Job, Program
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.settings import Settings, write_inputs, write_value
from tiersplit_stage.measure.timings import layer_timings, timing_of

_TOLD = 5
"""Layers that are named where many cannot be held."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured.

    Attributes:
        form: how layers run.
        program: the whole model in that form.
        batch: samples.
        limit_bytes: what a process may hold beyond the idle runtime.
        apart: the layers that alone may be too large; None: any may.
    """

    form: RunForm
    program: Program
    batch: int
    limit_bytes: int
    apart: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a model at one batch size.

    Attributes:
        layers: seconds of each layer that the tier can hold.
        whole: seconds of them together.
        peak_bytes: the most that a process held beyond the idle runtime.
        idle_bytes: the idle runtime.
        chunks: how many processes it took.
        unheld: the other layers, and the bytes that each takes by itself.
    """

    layers: Mapping[str, Timing]
    whole: Timing
    peak_bytes: int
    idle_bytes: int
    chunks: int
    unheld: Mapping[str, int]


def measure_model(bundle: Bundle, settings: Settings, asked: Asked) -> Seen:
    """What the layers take, with never more in memory than a process may hold.

    Chunks as few as possible run one after another, each in a process of its own with the values that those before it
    computed. A chunk that turns out to need more than was expected is divided and measured again. What would read the
    values of a layer that the tier cannot hold reads random ones.

    Args:
        bundle: whose model it is.
        settings: how to measure.
        asked: what.

    Raises:
        OutOfMemoryError: the tier can hold none of the layers, or not one that it must.
        OperationError: a measuring process failed.
    """
    with beside(bundle.root) as folder:
        return _Measuring(bundle, settings, asked, folder).run()


def cannot_hold(tier: str, form: RunForm, unheld: Mapping[str, int], limit_bytes: int) -> str:
    """That layers by themselves take more than the tier has for them: their names and bytes, and what it has."""
    told = ", ".join(f"{name} ({format_bytes(size)})" for name, size in list(unheld.items())[:_TOLD])
    more = f" and {len(unheld) - _TOLD} more" if len(unheld) > _TOLD else ""
    return f"the {format_bytes(limit_bytes)} that tier {tier!r} has cannot hold {told}{more} as {form}"


@dataclass
class _Measuring:
    bundle: Bundle
    settings: Settings
    asked: Asked
    folder: Path
    layers: dict[str, Timing] = field(default_factory=dict)
    wholes: list[Timing] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    unheld: dict[str, int] = field(default_factory=dict)
    budget_s: float = 0.0

    def run(self) -> Seen:
        self._leave_out(self.held.too_large(self.asked.limit_bytes))
        self.values = write_inputs(self.bundle, self.asked.batch, self._folder("inputs"))
        waiting = deque(chunks(self.held, self.asked.limit_bytes))
        self.budget_s = self.settings.budget_s / len(waiting)
        while waiting:
            waiting.extendleft(reversed(self._measured(waiting.popleft())))
        return self._seen()

    @cached_property
    def model(self) -> ModelFile:
        return ModelFile(Path(self.asked.program.path), self.bundle.graph)

    @cached_property
    def held(self) -> Footprint:
        """As they are, layers are counted as the planner counts them."""
        stored = {} if self.asked.form is RunForm.FLOAT else self.model.stored
        return Footprint(self.bundle.graph, self.asked.batch, self.asked.form, stored)

    def _leave_out(self, unheld: Mapping[str, int]) -> None:
        self.unheld |= unheld
        apart, asked = self.asked.apart, self.asked
        if len(self.unheld) == len(self.bundle.graph.layers) or (apart is not None and self.unheld.keys() - set(apart)):
            raise OutOfMemoryError(cannot_hold(self.settings.tier, asked.form, self.unheld, asked.limit_bytes))

    def _measured(self, chunk: Chunk) -> tuple[Chunk, ...]:
        """Measure a chunk; what is to be measured instead where it needs too much."""
        try:
            answer = self._answer(chunk)
        except OutOfMemoryError:
            if len(chunk) > 1:
                return halves(self.held, chunk)
            # It was expected to fit: what it takes is not known, but that it is more.
            self._leave_out({chunk[0]: self.asked.limit_bytes + 1})
            return ()
        (seconds,) = answer.seconds.values()
        self.answers.append(answer)
        self.wholes.append(timing_of(seconds, self.settings.slowdown))
        self.layers |= layer_timings(self.bundle.graph, answer.kernels, self.wholes[-1].median_s, chunk)
        return ()

    def _answer(self, chunk: Chunk) -> Answer:
        """What a process says that runs the chunk; the values that it computed are kept for others."""
        everything = len(chunk) == len(self.bundle.graph.layers)
        folder = self._folder(f"chunk-{self.bundle.graph.index[chunk[0]]}-{len(chunk)}")
        program = self.asked.program if everything else self.model.cut(chunk, folder)
        self._draw(program, folder)
        keep = {} if everything else {name: str(folder / f"{i}.npy") for i, name in enumerate(program.outputs)}
        job = Job(
            (program,),
            {name: self.values[name] for name in program.inputs},
            self.settings.threads,
            self.budget_s,
            kernels=True,
            keep=keep,
            memory_bytes=self.settings.room_bytes,
        )
        answer = run_job(job, self.settings.timeout_s)
        self.values |= keep
        return answer

    def _draw(self, program: Program, folder: Path) -> None:
        """Random values for what nobody could compute."""
        specs = {spec.name: spec for layer in self.bundle.graph.layers for spec in layer.tensors}
        for i, name in enumerate(name for name in program.inputs if name not in self.values):
            self.values[name] = write_value(specs[name], {}, self.asked.batch, folder / f"drawn-{i}.npy")

    def _folder(self, name: str) -> Path:
        made = self.folder / name
        made.mkdir()
        return made

    def _seen(self) -> Seen:
        whole = Timing(
            fsum(timing.median_s for timing in self.wholes),
            fsum(timing.spread_s for timing in self.wholes),
            min(timing.runs for timing in self.wholes),
        )
        idle = self.answers[-1].idle_bytes
        peak = max(answer.peak_bytes - answer.idle_bytes for answer in self.answers)
        layers = {name: self.layers[name] for name in self.bundle.graph.index if name in self.layers}
        return Seen(layers, whole, peak, idle, len(self.answers), self.unheld)

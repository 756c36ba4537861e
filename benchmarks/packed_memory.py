"""A memory limit that only 2 and 4 bits can meet: profiled, planned, cut and run; and one that nothing can meet.

ResNet-50 must run wholly on the edge: the other tier has no memory. The edge is profiled within its limit, in chunks
where a form does not fit it. What the planner promises is compared with a process that loads and runs the cut segment
as a stage does.
"""

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from support.report import publish
from support.resident import resident_of
from support.split import import_resnet50

from tiersplit_bundle import Bundle
from tiersplit_core.cost.problem import Link, Problem, ProblemLayer, Tier
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.segments import plan_segments, segments_of
from tiersplit_core.planning.solution import Solution
from tiersplit_core.planning.variants import with_form
from tiersplit_core.profile.batches import form_seconds, layer_seconds
from tiersplit_core.profile.layers import TierProfile
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import BIT_WIDTHS
from tiersplit_import.segments import materialise
from tiersplit_stage.measure.forms import with_forms
from tiersplit_stage.measure.settings import Settings
from tiersplit_stage.measure.whole import measure_layers

MB = 1_000_000
LIMIT, TOO_LITTLE = 24 * MB, 12 * MB
SAMPLES = 8
SOLVERS = {RunForm.FLOAT: "auto", RunForm.INT8: "autosplit", RunForm.PACKED: "autosplit"}
SHORTFALL = re.compile(r"(\d+) bytes[^:]*are missing$")
NOTE = (
    "Weights and samples are random, which costs as many bytes as trained ones. A limit is the planner's: weights "
    "and tensors, without the idle runtime; resident bytes are counted without it, too. The most while it ran is more "
    "than what stays: packed weights of the layer that runs are real numbers for that moment. A run by the profile is "
    "wall time, a run of the cut segment processor time: on a busy machine the first is longer."
)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "data.npz", x=np.random.default_rng(0).standard_normal((SAMPLES, 3, 224, 224), np.float32))
        path = import_resnet50(folder, ["--calibration", str(folder / "data.npz")])
        profile = profiled(Bundle.open(path))
        answers = {form: planned(Bundle.open(path), form, LIMIT, profile) for form in RunForm}
        packed = Plan(answers[RunForm.PACKED].plan.placement, answers[RunForm.PACKED].plan.widths, RunForm.PACKED)
        whole = Plan(packed.placement)
        int8 = Plan(packed.placement, dict.fromkeys(packed.placement, (8, 8)), RunForm.INT8)
        seen = measured(path, {RunForm.FLOAT: whole, RunForm.INT8: int8, RunForm.PACKED: packed})
        nothing = planned(Bundle.open(path), RunForm.PACKED, TOO_LITTLE, profile)
    rows = [*profile_rows(profile), *(row for form in RunForm for row in rows_of(form, answers[form], seen[form]))]
    rows += [*seconds_rows(answers[RunForm.PACKED], seen[RunForm.PACKED]), too_little(nothing)]
    publish("packed_memory", rows, f"{NOTE} Packed layers by bits of weights: {counts(packed)}.")


def profiled(bundle: Bundle) -> TierProfile:
    """The edge's profile, in all forms, with no more in memory at a time than it has for layers."""
    settings = Settings("edge", batches=(1,), memory_bytes=LIMIT)
    return with_forms(measure_layers(bundle, settings, say), bundle, settings, tuple(bundle.forms), say)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def planned(bundle: Bundle, form: RunForm, limit: int, profile: TierProfile) -> Solution:
    """The answer where the edge has `limit` bytes for layers that may run in a form."""
    problem = edge_problem(bundle.graph, limit, layer_seconds(profile, 1))
    if form is not RunForm.FLOAT:
        seconds = form_seconds(profile, form, 1)
        problem = with_form(problem, bundle.quantization, form, seconds, BIT_WIDTHS, BIT_WIDTHS)
    return solve(problem, SOLVERS[form])


def edge_problem(graph: LayerGraph, limit: int, seconds: Mapping[str, float]) -> Problem:
    """All layers on the edge, with the seconds that were measured there."""
    layers = tuple(
        ProblemLayer(
            name=layer.name,
            inputs=layer.inputs,
            output_bytes=layer.output_bytes,
            weight_bytes=layer.weight_bytes,
            seconds=dict.fromkeys(("edge", "cloud"), seconds[layer.name]),
        )
        for layer in graph.layers
    )
    tiers, link = (Tier("edge", limit), Tier("cloud", 0)), Link("edge", "cloud", 1e6, 0.01)
    return Problem(layers, graph.outputs, graph.input_bytes, tiers, (link,))


def measured(path: Path, plans):
    """What a process holds that runs each plan's one segment."""
    specs = segments_of(Bundle.open(path).graph, list(plans.values()))
    materialise(path, specs)
    return {form: resident_of(path, plan_segments(plan, specs)[0][0]) for form, plan in plans.items()}


def profile_rows(profile: TierProfile):
    """Whether every layer has seconds in every form, and in how many chunks the model was measured as it is."""
    seen = profile.batches[1]
    complete = not seen.unheld and all(timings.keys() == seen.layers.keys() for timings in seen.forms.values())
    forms = ", ".join((RunForm.FLOAT, *seen.forms))
    target = f"every layer as {', '.join(RunForm)} in {LIMIT} bytes"
    yield verdict(
        "profile: measured", target, forms if complete else f"not all as {forms}", len(seen.forms) == 2 and complete
    )
    yield {"what": "profile: chunks of the model as it is", "measured": seen.chunks}
    held_mb = round(seen.memory_bytes / MB, 1)
    yield {"what": "profile: the most resident while a chunk ran as it is", "measured": held_mb, "unit": "MB"}


def seconds_rows(answer: Solution, seen):
    """What a run takes by the profile, and what it takes."""
    predicted = 1e3 * sum(stage.compute_s for stage in answer.stages)
    yield {"what": "packed: a run by the profile", "measured": round(predicted, 1), "unit": "ms"}
    yield {"what": "packed: a run of the cut segment", "measured": round(seen["ms"], 1), "unit": "ms"}


def rows_of(form: RunForm, answer: Solution, seen):
    """A form's answer at the limit, and what it holds."""
    meets = form is RunForm.PACKED
    promised = f"{answer.stages[0].memory_bytes} bytes" if answer.plan else f"infeasible: {answer.constraint}"
    target = f"{'a plan' if meets else 'infeasible'} at {LIMIT} bytes"
    yield verdict(f"{form}: the planner's answer", target, promised, (answer.plan is not None) is meets)
    target = f"{'≤' if meets else '>'} {LIMIT / MB:g} MB"
    held = verdict(
        f"{form}: resident after the first run", target, round(seen["mb"], 1), (seen["mb"] <= LIMIT / MB) is meets
    )
    yield {**held, "unit": "MB"}
    yield {"what": f"{form}: the most resident while it ran", "measured": round(seen["peak_mb"], 1), "unit": "MB"}
    yield {"what": f"{form}: on disk", "measured": round(seen["disk_mb"], 1), "unit": "MB"}


def too_little(answer: Solution):
    """The row of the limit that nothing can meet."""
    told = answer.plan is None and SHORTFALL.search(answer.constraint or "") is not None
    found = f"infeasible: {answer.constraint}" if answer.plan is None else "a plan"
    return verdict(f"packed at {TOO_LITTLE} bytes", "infeasible, with the shortfall in bytes", found, told)


def verdict(what, target, found, passed):
    """A row that is right or wrong."""
    return {"what": what, "target": target, "measured": found, "passed": bool(passed)}


def counts(plan: Plan) -> str:
    """How many layers have weights of which bits."""
    bits = [weight_bits for weight_bits, _ in plan.widths.values()]
    return ", ".join(f"{bits.count(one)} at {one}" for one in sorted(set(bits)))


if __name__ == "__main__":
    main()

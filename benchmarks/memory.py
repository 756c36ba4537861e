"""Predicted against measured resident memory of stages: ResNet-50 divided at several places, batch 1, 8 and 32.

The prediction knows the graph, the plan, and how much the idle runtime holds (from the profile). What is measured is
the high-water mark of a process with a stage's session options that has loaded the stage's segments and runs them.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from tiersplit_bundle import Bundle, BundleSegment
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.profile.holding import held_bytes
from tiersplit_core.profile.memory import predict_stage_bytes, weight_bytes
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model
from tiersplit_import.segments import materialise
from tiersplit_stage.measure.job import Job, Program
from tiersplit_stage.measure.process import run_job
from tiersplit_stage.measure.segments import running_order
from tiersplit_stage.measure.settings import write_inputs

MODEL, SHAPE = "torchvision.models:resnet50", "input:FP32:-1x3x224x224"
SPLITS = ((0.05, 0.2), (0.3, 0.6), (0.5, 0.9), (0.0, 1.0))
BATCHES = (1, 8, 32)
TARGET = 0.2


def main():
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "model.bundle"
        options = ImportOptions(inputs=(parse_input(SHAPE),), random_weights=True)
        import_model(MODEL, path, options, lambda text: print(text, file=sys.stderr))
        rows = [row for shares in SPLITS for row in measure_split(path, shares, Path(work))]
    errors = np.array([abs(row["predicted"] - row["measured"]) / row["measured"] for row in rows])
    print(json.dumps({"name": "memory", "rows": [summary(errors)], "note": note(rows)}))


def measure_split(path, shares, work):
    """Each stage of one plan over three tiers, at each batch size."""
    graph = Bundle.open(path).graph
    names = tuple(graph.index)
    cuts = [round(share * len(names)) for share in shares]
    plan = Plan({name: "abc"[sum(i >= cut for cut in cuts)] for i, name in enumerate(names)})
    specs = segments_of(graph, [plan])
    bundle = materialise(path, specs)
    order = running_order(bundle, [spec.id for spec in specs])
    for batch in BATCHES:
        values = write_inputs(bundle, batch, work)
        for segment in order:
            yield measure_stage(bundle, segment, batch, values, work)


def measure_stage(bundle: Bundle, segment: BundleSegment, batch, values, work):
    kept = {name: str(work / f"{len(values) + i}.npy") for i, name in enumerate(segment.outputs)}
    program = Program(segment.id, str(bundle.segment_path(segment)), segment.inputs, segment.outputs)
    seen = run_job(Job((program,), values, 1, 0.5, min_runs=3, keep=kept), 600)
    values |= kept
    weights = weight_bytes(bundle.graph, segment.layers)
    held = held_bytes(bundle.graph, segment.layers, batch)
    row = {
        "layers": f"{segment.layers[0]} … {segment.layers[-1]}",
        "batch": batch,
        "predicted": predict_stage_bytes(weights, held, seen.idle_bytes),
        "measured": seen.peak_bytes,
        "idle": seen.idle_bytes,
        "loaded": seen.loaded_bytes,
    }
    print(json.dumps({**row, "weights": weights, "held": held, "load_peak": seen.load_peak_bytes}), file=sys.stderr)
    return row


def summary(errors):
    percent = errors * 100
    low, high = np.mean(percent) + np.array([-1, 1]) * 1.96 * np.std(percent, ddof=1) / np.sqrt(len(percent))
    return {
        "what": "predicted memory of a stage against measured, resnet50, largest error",
        "target": "within 20%",
        "measured": round(float(percent.max()), 1),
        "unit": "%",
        "p50": round(float(np.percentile(percent, 50)), 1),
        "p95": round(float(np.percentile(percent, 95)), 1),
        "p99": round(float(np.percentile(percent, 99)), 1),
        "ci95": [round(float(low), 1), round(float(high), 1)],
        "repeats": len(errors),
        "passed": bool(errors.max() <= TARGET),
    }


def note(rows):
    above = [abs(r["predicted"] - r["measured"]) / (r["measured"] - r["idle"]) for r in rows]
    return (
        f"{len(rows)} stages: {len(SPLITS)} plans over three tiers at batch {', '.join(map(str, BATCHES))}. Of what is "
        f"held beyond the idle runtime, the median error is {100 * float(np.median(above)):.0f}%."
    )


if __name__ == "__main__":
    main()

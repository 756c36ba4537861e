"""ResNet-50's segments in each run form and bit width: megabytes on disk and resident, processor milliseconds."""

import statistics
import tempfile
from pathlib import Path

import numpy as np
from support.report import publish, row
from support.resident import RUNS, resident_of
from support.split import TIERS, import_resnet50, split_plan

from tiersplit_bundle import Bundle
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import SegmentSpec, segments_of
from tiersplit_core.quantization.forms import RunForm
from tiersplit_import.segments import materialise

CUTS = ("layer2.0.relu", "layer3.2.relu")
PARTS = ("head", "middle", "tail")
FORMS = ((RunForm.INT8, 8), (RunForm.INT8, 4), (RunForm.INT8, 2), (RunForm.PACKED, 4), (RunForm.PACKED, 2))
ROUNDS, SAMPLES, TARGET = 3, 8, 1.8
NOTE = (
    f"One thread, batch 1, random weights and samples; divided behind {' and '.join(CUTS)}. Every variant in a process "
    f"of its own, {ROUNDS} rounds over all of them in turns; a run is the median of {RUNS}. Resident is over the idle "
    "runtime. Times are the processor's, so that others who want it count little."
)


def main() -> None:
    """Each variant is measured in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        path, variants = prepare(Path(name))
        rounds = [{about: resident_of(path, segment) for about, segment in variants.items()} for _ in range(ROUNDS)]
    rows = [row for about in variants for row in rows_of(about, [seen[about] for seen in rounds])]
    known = f"Its processor's integer dot products: {dot_products() or 'none, so that the target is not judged'}."
    publish("run_forms", [*rows, *(speed_row(part, rounds) for part in PARTS)], f"{NOTE} {known}")


def prepare(folder: Path):
    """The bundle with every segment as it is and in each form, ids by (part, form, bits)."""
    samples = np.random.default_rng(0).standard_normal((SAMPLES, 3, 224, 224)).astype(np.float32)
    np.savez(folder / "data.npz", x=samples)
    path = import_resnet50(folder, ["--calibration", str(folder / "data.npz")])
    graph = Bundle.open(path).graph
    placement = split_plan(Bundle.open(path), CUTS, TIERS).placement
    plans = [Plan(placement, dict.fromkeys(placement, (bits, 8)), form) for form, bits in FORMS]
    specs = segments_of(graph, [Plan(placement), *plans])
    materialise(path, specs)
    parts = dict(zip((spec.id for spec in specs if not spec.base), PARTS, strict=True))
    return path, {(parts[spec.base or spec.id], *form_of(spec)): spec.id for spec in specs}


def form_of(spec: SegmentSpec) -> tuple[RunForm, int]:
    """How a segment runs, and the bits of its weights."""
    return spec.form, min((bits for _, (bits, _) in spec.widths), default=32)


def rows_of(about, seen):
    """The figures of one variant over the rounds."""
    part, form, bits = about
    figures = (("on disk", "disk_mb", "MB"), ("resident after the first run", "mb", "MB"), ("a run", "ms", "ms"))
    what = f"{part}, {form}, {bits} bits"
    rows = []
    for title, key, unit in figures:
        values = [one[key] for one in seen]
        rows.append(row(f"{what}: {title}", values if key == "ms" else [statistics.median(values)], unit))
    return rows


def speed_row(part, rounds):
    """A part's int8 form against its float form, in each round."""
    values = [seen[part, RunForm.FLOAT, 32]["ms"] / seen[part, RunForm.INT8, 8]["ms"] for seen in rounds]
    passed = statistics.median(values) >= TARGET if dot_products() else None
    return row(f"{part}, int8 against float, same segment and threads", values, "×", f"≥ {TARGET}", passed)


def dot_products():
    """The processor's instructions for integer dot products."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return ", ".join(sorted({flag for flag in flags if "vnni" in flag or flag in {"amx_int8", "asimddp"}}))


if __name__ == "__main__":
    main()

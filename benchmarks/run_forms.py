"""ResNet-50's head in each run form and bit width: megabytes on disk and resident, processor milliseconds."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.report import publish

LAST_LAYER = "layer2.3.relu"
FORMS = (("int8", 8), ("int8", 6), ("int8", 4), ("int8", 2), ("packed", 4), ("packed", 2))
RUNS, SAMPLES, TARGET = 30, 8, 1.8


def main() -> None:
    """Each variant is measured in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        path, float_id, variants = prepare(Path(name))
        found = {about: measured(path, segment) for about, segment in {"float": float_id, **variants}.items()}
    rows = [row for about, seen in found.items() for row in rows_of(about, seen)]
    speed = found["float"]["ms"] / found["int8, 8 bits"]["ms"]
    what = "int8 head against float head, same segment and threads"
    known = dot_products()
    verdict = {"passed": speed >= TARGET if known else None, "reason": f"integer dot products: {known or 'none here'}"}
    rows.append({"what": what, "target": f"≥ {TARGET}", "measured": round(speed, 2), "unit": "×", **verdict})
    publish("run_forms", rows, "One thread, batch 1, random weights and samples; resident is over the idle runtime.")


def prepare(folder):
    """The bundle with the head's float segment and its variants, ids by what they are."""
    import numpy as np  # noqa: PLC0415 - the measured child stays lean
    from support.split import import_resnet50, split_plan  # noqa: PLC0415

    from tiersplit_bundle import Bundle, extend, media  # noqa: PLC0415
    from tiersplit_core.planning.segments import segments_of  # noqa: PLC0415
    from tiersplit_core.quantization.forms import RunForm  # noqa: PLC0415
    from tiersplit_import.quantise import Widths  # noqa: PLC0415
    from tiersplit_import.run_forms import variant_blobs  # noqa: PLC0415
    from tiersplit_import.segments import materialise  # noqa: PLC0415

    samples = np.random.default_rng(0).standard_normal((SAMPLES, 3, 224, 224)).astype(np.float32)
    np.savez(folder / "data.npz", x=samples)
    path = import_resnet50(folder, ["--calibration", str(folder / "data.npz")])
    bundle = Bundle.open(path)
    head = segments_of(bundle.graph, [split_plan(bundle, (LAST_LAYER,), ("edge", "cloud"))])[0]
    bundle, ids = materialise(path, [head]), {}
    for form, bits in FORMS:
        blobs = variant_blobs(bundle, head, RunForm(form), dict.fromkeys(head.layers, Widths(bits, 8)))
        bundle = extend(bundle, blobs)
        ids[f"{form}, {bits} bits"] = blobs[-1].annotations[media.SEGMENT_ID]
    return path, head.id, ids


def measured(path, segment):
    """What the child saw."""
    command = [sys.executable, __file__, "--child", str(path), segment]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600).stdout)


def child(path: Path, name: str) -> None:
    """Load and run one segment as a stage does, in a process with nothing else in it."""
    import numpy as np  # noqa: PLC0415
    import psutil  # noqa: PLC0415

    from tiersplit_bundle import Bundle  # noqa: PLC0415
    from tiersplit_stage.plans import SegmentInfo  # noqa: PLC0415
    from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort  # noqa: PLC0415
    from tiersplit_stage.sessions import bound_heap, release_unused  # noqa: PLC0415

    bound_heap()
    release_unused()
    bundle = Bundle.open(path)
    held = next(segment for segment in bundle.segments if segment.id == name)
    values = {"input": to_ort(np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32))}
    resident, before = psutil.Process().memory_info, psutil.Process().memory_info().rss
    pool = SegmentPool(BlobStore(path), 1)
    info = SegmentInfo(held.id, held.digest, held.weights, held.inputs, held.outputs)
    pool.load(info)
    pool.run(info, values)
    after, taken = resident().rss, []
    for _ in range(RUNS):
        started = time.process_time()  # one thread: what the run takes, whoever else wants the processor
        pool.run(info, values)
        taken.append(1e3 * (time.process_time() - started))
    disk = sum(bundle.descriptor(digest).size for digest in (held.digest, *held.weights))
    sys.stdout.write(json.dumps({"disk_mb": disk / 1e6, "mb": (after - before) / 1e6, "ms": statistics.median(taken)}))


def rows_of(about, seen):
    """Three figures of one variant."""
    figures = (
        ("on disk", "disk_mb", "MB"),
        ("resident after the first run", "mb", "MB"),
        ("a run, processor time", "ms", "ms"),
    )
    return [{"what": f"{about}: {what}", "measured": round(seen[key], 2), "unit": unit} for what, key, unit in figures]


def dot_products():
    """The processor's instructions for integer dot products."""
    flags = Path("/proc/cpuinfo").read_text().split()
    return ", ".join(sorted({flag for flag in flags if "vnni" in flag or flag in {"amx_int8", "asimddp"}}))


if __name__ == "__main__":
    child(Path(sys.argv[2]), sys.argv[3]) if "--child" in sys.argv else main()

"""One segment in a process with nothing else in it: bytes on disk and resident, processor seconds of a run.

`resident_of` starts that process, which loads and runs the segment as a stage does.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 10
_TIMEOUT_S = 600


def resident_of(bundle: Path, segment: str):
    """What the process saw: `disk_mb`, `mb` resident and `peak_mb` over the idle runtime, `ms` of a run.

    `mb` is after the first run, `peak_mb` the most while it ran.
    """
    command = [sys.executable, __file__, str(bundle), segment]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_TIMEOUT_S).stdout)


def main(path: Path, name: str) -> None:
    """Load and run one segment."""
    import numpy as np  # noqa: PLC0415 - whoever starts the process needs none of these
    import psutil  # noqa: PLC0415

    from tiersplit_bundle import Bundle  # noqa: PLC0415
    from tiersplit_stage.plans import SegmentInfo  # noqa: PLC0415
    from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort  # noqa: PLC0415
    from tiersplit_stage.sessions import bound_heap, release_unused  # noqa: PLC0415

    bound_heap()
    release_unused()
    bundle, random = Bundle.open(path), np.random.default_rng(1)
    held = next(segment for segment in bundle.segments if segment.id == name)
    info = SegmentInfo(held.id, held.digest, held.weights, held.inputs, held.outputs)
    resident, before = psutil.Process().memory_info, psutil.Process().memory_info().rss
    pool = SegmentPool(BlobStore(path), 1)
    pool.load(info)
    shapes = {key: (1, *expected.shape[1:]) for key, expected in pool.expected(info).items()}
    values = {key: to_ort(random.standard_normal(shape).astype(np.float32)) for key, shape in shapes.items()}
    forget_peak()
    pool.run(info, values)
    peak, after, taken = peak_bytes(), resident().rss, []
    for _ in range(RUNS):
        started = time.process_time()  # one thread: what the run takes, whoever else wants the processor
        pool.run(info, values)
        taken.append(1e3 * (time.process_time() - started))
    disk = sum(bundle.descriptor(digest).size for digest in (held.digest, *held.weights))
    seen = {"disk_mb": disk / 1e6, "mb": (after - before) / 1e6, "peak_mb": (peak - before) / 1e6}
    sys.stdout.write(json.dumps({**seen, "ms": statistics.median(taken)}))


def forget_peak() -> None:
    """From now on the kernel's high-water mark of this process is counted anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most resident bytes since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

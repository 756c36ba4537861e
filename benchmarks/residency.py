"""Twenty cycles of loading and dropping ResNet-50's segments: does the memory come back?"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CYCLES, LIMIT_MB = 20, 20.0
CUTS = ("layer2.0.relu", "layer3.2.relu")


def main() -> None:
    from support.split import import_resnet50, make_route, split_plan  # noqa: PLC0415 - the measured child stays lean

    from tiersplit_bundle import Bundle  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        path = import_resnet50(Path(name))
        tiers = ("edge", "mdc", "cloud")
        route = make_route(path, [split_plan(Bundle.open(path), CUTS, tiers)], dict.fromkeys(tiers, "127.0.0.1:1"))
        command = [sys.executable, __file__, "--child", str(path)]
        found = subprocess.run(command, input=route.SerializeToString(), stdout=subprocess.PIPE, check=True)
    seen = json.loads(found.stdout)
    growth = max(seen["after"]) - seen["before"]
    row = {
        "what": f"{CYCLES} cycles of loading, running, dropping resnet50's 3 segments: resident memory over the start",
        "target": f"≤ {LIMIT_MB:.0f} MB",
        "measured": round(growth, 1),
        "unit": "MB",
        "passed": growth <= LIMIT_MB,
        "repeats": CYCLES,
        "loaded_mb": round(max(seen["loaded"]) - seen["before"], 1),
        "after_each_cycle_mb": [round(value - seen["before"], 1) for value in seen["after"]],
    }
    print(json.dumps({"name": "residency", "rows": [row]}))


def child(path: Path) -> None:
    """What a stage does, in a process with nothing else in it."""
    import numpy as np  # noqa: PLC0415
    import psutil  # noqa: PLC0415

    from tiersplit_stage.plans import compile_plans  # noqa: PLC0415
    from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort  # noqa: PLC0415
    from tiersplit_stage.sessions import bound_heap  # noqa: PLC0415
    from tiersplit_wire.v1 import route_pb2 as pb  # noqa: PLC0415

    bound_heap()
    process = psutil.Process()
    (plan,) = compile_plans(pb.Route.FromString(sys.stdin.buffer.read()), "edge").values()
    image = np.ones((1, 3, 224, 224), np.float32)

    def cycle(loaded: list[float]) -> float:
        pool = SegmentPool(BlobStore(path), 1)
        live = {"input": to_ort(image)}
        for segment in plan.segments:
            pool.load(segment)
        for segment in plan.segments:
            live.update(pool.run(segment, live))
        loaded.append(process.memory_info().rss / 1e6)
        live.clear()
        pool.drop(pool.loaded)
        return process.memory_info().rss / 1e6

    before = cycle([])  # libraries are loaded and buffers made by the first one
    loaded: list[float] = []
    after = [cycle(loaded) for _ in range(CYCLES)]
    print(json.dumps({"before": before, "after": after, "loaded": loaded}))


if __name__ == "__main__":
    child(Path(sys.argv[2])) if "--child" in sys.argv else main()

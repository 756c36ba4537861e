"""A real model in segments and real stages on loopback, for the benchmarks of this folder."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.stages import Controller, StageProcess  # noqa: E402
from tiersplit_bundle import Bundle, media  # noqa: E402
from tiersplit_core.planning.plan import Plan  # noqa: E402
from tiersplit_core.planning.segments import plan_segments, segments_of  # noqa: E402
from tiersplit_stage.plans import SegmentInfo  # noqa: E402
from tiersplit_wire.v1 import route_pb2 as pb  # noqa: E402

NAME = "resnet50"
TIERS = ("edge", "mdc", "cloud")


def import_resnet50(folder: Path, options: Sequence[str] = ()) -> Path:
    """A bundle of torchvision's ResNet-50 with random weights (they cost the same seconds as trained ones)."""
    path = folder / "resnet50.bundle"
    command = [sys.executable, "-m", "tiersplit_cli", "import", "torchvision.models:resnet50", "--random-weights"]
    command += ["--bundle", str(path), "--input", "input:FP32:-1x3x224x224"]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def split_plan(bundle: Bundle, cuts: Sequence[str], tiers: Sequence[str]) -> Plan:
    """The plan that leaves a tier for the next after each layer of `cuts`."""
    placement, at = {}, 0
    for layer in bundle.graph.layers:
        placement[layer.name] = tiers[at]
        at += layer.name in cuts
    return Plan(placement)


def make_route(path: Path, plans: Sequence[Plan], endpoints: Mapping[str, str], epoch: int = 1) -> pb.Route:
    """Cut the plans' segments (in a process of its own) and describe them; the first plan is selected."""
    bundle = Bundle.open(path)
    specs = segments_of(bundle.graph, plans)
    held = {segment.id: segment for segment in _cut(path, plans).segments}
    route = pb.Route(deployment=NAME, epoch=epoch, selected=plans[0].digest)
    route.golden_blobs.extend(entry.digest for entry in bundle.layers if entry.media_type == media.GOLDEN)
    route.model.name, route.model.version = NAME, "1"
    route.model.inputs.add(name="input", tensor="input", datatype="FP32", shape=[-1, 3, 224, 224])
    for key, tensor in bundle.graph.output_names:
        route.model.outputs.add(name=key, tensor=tensor, datatype="FP32", shape=[-1, 1000])
    for spec in specs:
        found = held[spec.id]
        route.segments.add(
            id=found.id, blob=found.digest, weights=found.weights, inputs=found.inputs, outputs=found.outputs
        )
    for plan in plans:
        made = route.plans.add(digest=plan.digest)
        for segment, tier in plan_segments(plan, specs):
            made.segments.add(segment=segment, tier=tier)
    for tier, address in endpoints.items():
        route.tiers.add(tier=tier, addresses=[address])
    return route


def _cut(path: Path, plans: Sequence[Plan]) -> Bundle:
    import json  # noqa: PLC0415

    script = (
        "import json, sys\n"
        "from tiersplit_bundle import Bundle\n"
        "from tiersplit_core.planning.plan import Plan\n"
        "from tiersplit_core.planning.segments import segments_of\n"
        "from tiersplit_import.segments import materialise\n"
        "plans = [Plan(placement) for placement in json.load(sys.stdin)]\n"
        "materialise(sys.argv[1], segments_of(Bundle.open(sys.argv[1]).graph, plans))\n"
    )
    placements = json.dumps([dict(plan.placement) for plan in plans])
    subprocess.run([sys.executable, "-c", script, str(path)], input=placements, text=True, check=True)
    return Bundle.open(path)


def infos(route: pb.Route) -> list[SegmentInfo]:
    """A route's segments as the pool takes them."""
    return [SegmentInfo(s.id, s.blob, tuple(s.weights), tuple(s.inputs), tuple(s.outputs)) for s in route.segments]


@contextlib.contextmanager
def serving(
    folder: Path, bundle: Path, tiers: Sequence[str], cores: Sequence[int | None]
) -> Iterator[tuple[Controller, dict[str, StageProcess]]]:
    """A controller and one stage per tier, each on its core where one is given."""
    controller = Controller()
    stages: dict[str, StageProcess] = {}
    try:
        for tier, core in zip(tiers, cores, strict=True):
            stages[tier] = StageProcess(
                tier, bundle, folder, controller.address, head=tier == tiers[0], deployment=NAME, core=core
            )
        yield controller, stages
    finally:
        for stage in stages.values():
            stage.stop()
        controller.close()


def summary(milliseconds: Sequence[float]) -> dict[str, float | list[float] | int]:
    """Percentiles and the 95% interval of the median (order statistics)."""
    ordered = np.sort(np.asarray(milliseconds, float))
    n = len(ordered)
    spread = 0.98 * np.sqrt(n)
    low, high = max(0, int(n / 2 - spread)), min(n - 1, int(np.ceil(n / 2 + spread)))
    percentiles = {
        name: round(float(np.percentile(ordered, q)), 4) for name, q in (("p50", 50), ("p95", 95), ("p99", 99))
    }
    return {**percentiles, "ci95": [round(float(ordered[low]), 4), round(float(ordered[high]), 4)], "repeats": n}


def ratio_interval(values: Sequence[float]) -> list[float]:
    """95% interval of the median of a few ratios by bootstrap."""
    random = np.random.default_rng(0)
    drawn = np.median(random.choice(np.asarray(values), (2000, len(values))), axis=1)
    return [round(float(q), 4) for q in np.percentile(drawn, (2.5, 97.5))]


def pin(cores: set[int]) -> None:
    """Keep this process (and threads it starts from now on) on these cores."""
    os.sched_setaffinity(0, cores)

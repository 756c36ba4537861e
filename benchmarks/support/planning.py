"""Placement problems of real networks, and statistics, for the benchmarks of the planner and the surface."""

import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]

from tiersplit_bundle.bundle import Bundle  # noqa: E402
from tiersplit_core.graph.ir import LayerGraph  # noqa: E402
from tiersplit_core.planning.problem import Link, Problem, ProblemLayer, Tier  # noqa: E402
from tiersplit_core.planning.problem_json import problem_from_text  # noqa: E402

MODELS = {"densenet201": 224, "efficientnet_b4": 380, "resnet50": 224}
MACS_PER_SECOND = {"edge": 5e9, "mdc": 2e10, "cloud": 2e11}
BYTES_PER_SECOND = {"edge": 4e9, "mdc": 1e10, "cloud": 1e11}
LAUNCH_S = 5e-6


def problem_of(name: str) -> Problem:
    """The problem of a network: three tiers, simulated seconds, links on which the best plan is divided."""
    if name == "bert-l-12":
        return problem_from_text((ROOT / "benchmarks" / "graphs" / "bert-l-12-operators.json").read_text())
    return simulated(graph_of(name))


def graph_of(name: str) -> LayerGraph:
    """The layer graph of a torchvision model, imported in a process of its own."""
    size = MODELS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bundle"
        command = [sys.executable, "-m", "tiersplit_cli", "import", f"torchvision.models:{name}", "--random-weights"]
        command += ["--bundle", str(path), "--input", f"input:FP32:-1x3x{size}x{size}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return Bundle.open(path).graph


def simulated(graph: LayerGraph) -> Problem:
    """Seconds by a roofline of compute and memory traffic."""
    layers = []
    for layer in graph.layers:
        read = sum(graph.input_bytes if name == "input" else graph[name].output_bytes for name in layer.inputs)
        traffic = read + layer.output_bytes + layer.weight_bytes
        seconds = {
            tier: max(layer.macs / MACS_PER_SECOND[tier], traffic / BYTES_PER_SECOND[tier]) + LAUNCH_S
            for tier in MACS_PER_SECOND
        }
        layers.append(ProblemLayer(layer.name, layer.inputs, layer.output_bytes, layer.weight_bytes, seconds))
    return Problem(
        layers=tuple(layers),
        outputs=graph.outputs,
        input_bytes=graph.input_bytes,
        tiers=tuple(Tier(name) for name in MACS_PER_SECOND),
        links=(Link("edge", "mdc", 2e7, 0.005), Link("mdc", "cloud", 8e7, 0.02)),
    )


def with_tiers(problem: Problem, count: int) -> Problem:
    """The problem with 2 to 6 tiers, whose seconds fall geometrically from the first to the last tier's."""
    names = [f"tier{i}" for i in range(count)]
    ends = problem.tiers[0].name, problem.tiers[-1].name

    def seconds(layer: ProblemLayer) -> dict[str, float]:
        slow, fast = (max(layer.seconds[end], 1e-9) for end in ends)
        return {name: float(slow * (fast / slow) ** (i / (count - 1))) for i, name in enumerate(names)}

    links = [
        replace(problem.links[i % len(problem.links)], source=a, target=b) for i, (a, b) in enumerate(pairs(names))
    ]
    layers = [replace(layer, seconds=seconds(layer)) for layer in problem.layers]
    return replace(problem, layers=tuple(layers), tiers=tuple(map(Tier, names)), links=tuple(links))


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(names))


def with_bandwidth(problem: Problem, factor: float) -> Problem:
    return replace(problem, links=tuple(replace(li, bandwidth_bps=li.bandwidth_bps * factor) for li in problem.links))


def interval(values: Sequence[float]) -> list[float]:
    """The 95% interval of the mean by Student's t."""
    from scipy.stats import t  # noqa: PLC0415

    half = t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    middle = statistics.fmean(values)
    return [middle - half, middle + half]


def row(
    what: str, target: str, measured: float, unit: str, passed: bool, samples: Sequence[float] = ()
) -> dict[str, Any]:
    """One row of the results."""
    made: dict[str, Any] = {"what": what, "target": target, "measured": measured, "unit": unit, "passed": bool(passed)}
    if len(samples) > 1:
        for percent in (50, 95, 99):
            made[f"p{percent}"] = float(np.percentile(samples, percent))
        made["ci95"] = interval(samples)
        made["repeats"] = len(samples)
    return made


def machine() -> str:
    return f"{platform.processor() or platform.machine()}, {platform.system()} {platform.release()}"

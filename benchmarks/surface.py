"""The surface of two bandwidths and three loads: seconds to make it, and how it compares with planning again."""

import json
import time
from dataclasses import replace

import numpy as np
from support.planning import machine, problem_of, row

from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Problem
from tiersplit_core.planning.surface import Conditions, Surface, SurfaceBox, build_surface

NAMES = ("densenet201", "efficientnet_b4", "bert-l-12", "resnet50")
REPEATS, POINTS, LOOK_UPS = 5, 200, 5000
LOADS = (1.0, 4.0)
SPREAD = 30.0


def main() -> None:
    rows = [measured for name in NAMES for measured in of_network(name)]
    print(json.dumps({"name": "surface", "rows": rows, "machine": machine()}))


def of_network(name: str) -> list[dict]:
    problem = problem_of(name)
    ranges = tuple((link.bandwidth_bps / SPREAD, link.bandwidth_bps * SPREAD) for link in problem.links)
    box = SurfaceBox(ranges, (LOADS,) * 3)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        surface = build_surface({1: problem}, box)
        seconds.append(time.perf_counter() - started)
    what = f"{name}: surface of 2 bandwidths and 3 loads, {surface.solves} exact plans, {len(surface.entries)} kept"
    worst = float(np.median(seconds))
    return [
        row(what, "≤ 5 s", worst, "s", worst <= 5, seconds),
        row(f"{name}: ε, proven {surface.scope}", "printed", surface.epsilon, "", True),
        against_planning(name, problem, surface),
        look_up(name, surface),
    ]


def against_planning(name: str, problem: Problem, surface: Surface) -> dict:
    """At the corners of the box, on the breakpoints of each link, and at random points."""
    generator = np.random.default_rng(0)
    worst = 0.0
    points = corners(surface) + on_breakpoints(problem, surface) + [draw(surface, generator) for _ in range(POINTS)]
    for conditions in points:
        found = surface.objective_s(surface.best(conditions).plan.digest, conditions)
        worst = max(worst, found / solve(under(problem, conditions)).objective_s - 1)
    what = f"{name}: largest relative loss against planning again, {len(points)} vertices and random points"
    return row(what, "≤ ε", worst, "", worst <= surface.epsilon + 1e-9)


def corners(surface: Surface) -> list[Conditions]:
    ranges = [*surface.box.bandwidth_bps, *surface.box.load]
    links = len(surface.links)
    grid = np.array(np.meshgrid(*ranges)).reshape(len(ranges), -1).T.tolist()
    return [Conditions(tuple(point[:links]), tuple(point[links:])) for point in grid]


def on_breakpoints(problem: Problem, surface: Surface) -> list[Conditions]:
    given = [link.bandwidth_bps for link in problem.links]
    found = []
    for k in range(len(given)):
        for load in surface.box.load[0]:
            at = Conditions(tuple(given), (load,) * 3)
            found += [
                replace(at, bandwidth_bps=(*given[:k], point.bandwidth_bps, *given[k + 1 :]))
                for point in surface.breakpoints(k, at)
            ]
    return found


def draw(surface: Surface, generator: np.random.Generator) -> Conditions:
    bandwidth = [float(np.exp(generator.uniform(np.log(a), np.log(b)))) for a, b in surface.box.bandwidth_bps]
    return Conditions(tuple(bandwidth), tuple(float(generator.uniform(a, b)) for a, b in surface.box.load))


def under(problem: Problem, conditions: Conditions) -> Problem:
    load = dict(zip([tier.name for tier in problem.tiers], conditions.load, strict=True))
    layers = [replace(la, seconds={t: s * load[t] for t, s in la.seconds.items()}) for la in problem.layers]
    pairs = zip(problem.links, conditions.bandwidth_bps, strict=True)
    return replace(problem, layers=tuple(layers), links=tuple(replace(li, bandwidth_bps=b) for li, b in pairs))


def look_up(name: str, surface: Surface) -> dict:
    generator = np.random.default_rng(1)
    seconds = []
    for conditions in [draw(surface, generator) for _ in range(LOOK_UPS)]:
        started = time.perf_counter()
        surface.best(conditions)
        seconds.append(1e6 * (time.perf_counter() - started))
    median = float(np.median(seconds))
    return row(f"{name}: look-up of the best plan", "≤ 20 µs", median, "µs", median <= 20, seconds)


if __name__ == "__main__":
    main()

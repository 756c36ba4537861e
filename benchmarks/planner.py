"""The exact planner: against enumeration, against networkx, and at extreme bandwidths."""

import json
import statistics
import time
from itertools import pairwise, product

import networkx as nx
import numpy as np
from support.planning import machine, problem_of, row, with_bandwidth, with_tiers

from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import INPUT, Link, Objective, Problem, ProblemLayer, Tier

REPEATS = 9
FASTER = {"densenet201": 10.0, "efficientnet_b4": 10.0, "bert-l-12": 10.0, "resnet50": 4.0}
BANDWIDTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
RANDOM_PROBLEMS = 300


def main() -> None:
    problems = {name: problem_of(name) for name in FASTER}
    rows = [against_enumeration()]
    for name, problem in problems.items():
        rows += against_networkx(name, problem)
    rows += [at_extremes(name, problem) for name, problem in problems.items()]
    print(json.dumps({"name": "planner", "rows": rows, "machine": machine()}))


def against_enumeration() -> dict:
    generator = np.random.default_rng(0)
    worst = 0.0
    for _ in range(RANDOM_PROBLEMS):
        problem = random_problem(generator)
        ours, reference = solve(problem), solve(problem, "exhaustive")
        if ours.status != reference.status:
            worst = float("inf")
        elif reference.objective_s:
            worst = max(worst, abs(ours.objective_s / reference.objective_s - 1))
    what = f"largest relative difference to enumeration, {RANDOM_PROBLEMS} random DAGs, 2 to 4 tiers, both objectives"
    return row(what, "0 (≤ 1e-9)", worst, "", worst <= 1e-9)


def random_problem(generator: np.random.Generator) -> Problem:
    tiers = [f"t{i}" for i in range(generator.integers(2, 5))]
    names, layers = [INPUT], []
    for i in range(generator.integers(2, 8)):
        count = min(int(generator.integers(1, 4)), len(names))
        sources = tuple(str(name) for name in generator.choice(names, count, replace=False))
        seconds = {tier: float(10 ** generator.uniform(-3, 0)) for tier in tiers}
        sizes = [int(size) for size in generator.integers(0, 10**6, 2)]
        layers.append(ProblemLayer(f"l{i}", sources, *sizes, seconds))
        names.append(f"l{i}")
    weights = sum(layer.weight_bytes for layer in layers)
    limits = [int(weights * generator.uniform(0.4, 2)) if generator.random() < 0.3 else None for _ in tiers]
    links = [
        Link(a, b, float(10 ** generator.uniform(5, 8)), float(generator.uniform(0, 0.1))) for a, b in pairwise(tiers)
    ]
    return Problem(
        layers=tuple(layers),
        outputs=(names[-1],),
        input_bytes=int(generator.integers(0, 10**6)),
        tiers=tuple(map(Tier, tiers, limits)),
        links=tuple(links),
        objective=Objective.THROUGHPUT if generator.random() < 0.3 else Objective.LATENCY,
        raw_input_tier=tiers[0] if generator.random() < 0.3 else None,
        result_tier=tiers[0] if generator.random() < 0.3 else None,
    )


def against_networkx(name: str, problem: Problem) -> list[dict]:
    """Both from the same problem to the answer, one after the other in every repeat."""
    solve(problem)
    ours, theirs = [], []
    for _ in range(REPEATS):
        started = time.perf_counter()
        answer = solve(problem)
        middle = time.perf_counter()
        value = cut_with_networkx(problem)
        theirs.append(time.perf_counter() - middle)
        ours.append(middle - started)
    difference = abs(answer.objective_s / value - 1)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    milliseconds = [1e3 * seconds for seconds in ours]
    median = statistics.median(milliseconds)
    size = f"{name}, {len(problem.layers)} layers, 3 tiers"
    return [
        row(
            f"{size}: times faster than building and solving the same cut with networkx "
            f"(median {1e3 * statistics.median(theirs):.0f} ms; relative difference {difference:.1e})",
            f"≥ {FASTER[name]:.0f}×",
            ratio,
            "×",
            ratio >= FASTER[name] and difference <= 1e-9,
            ratios,
        ),
        row(f"{size}: exact plan in process", "median ≤ 10 ms", median, "ms", median <= 10, milliseconds),
    ]


def cut_with_networkx(problem: Problem) -> float:  # noqa: C901 - in one piece as a reader of its documentation would
    """The least latency by networkx: the layered cut, built and solved as its documentation does."""
    graph, links = nx.DiGraph(), len(problem.links)
    tiers = [tier.name for tier in problem.tiers]
    readers: dict[str, list[str]] = {}
    size = {INPUT: problem.input_bytes}
    for layer in problem.layers:
        size[layer.name] = layer.output_bytes
        for name in layer.inputs:
            readers.setdefault(name, []).append(layer.name)
        nodes = ["t", *((layer.name, k) for k in range(links)), "s"]
        for k, tier in enumerate(tiers):
            graph.add_edge(nodes[k + 1], nodes[k], capacity=layer.seconds[tier])
    for k, link in enumerate(problem.links):
        graph.add_edge("s", ("link", k), capacity=link.latency_s)
        for layer in problem.layers:
            if k + 1 < links:
                graph.add_edge((layer.name, k), (layer.name, k + 1))
            for name in layer.inputs:
                if name != INPUT:
                    graph.add_edge((layer.name, k), (name, k))
            if layer.name not in readers:
                graph.add_edge(("link", k), (layer.name, k))
        for name, behind in readers.items():
            source, cost = ("s" if name == INPUT else (name, k)), 8 * size[name] / link.bandwidth_bps
            sent = (behind[0], k) if len(behind) == 1 else ("sent", name, k)
            paid = graph.edges[source, sent].get("capacity", 0.0) if graph.has_edge(source, sent) else 0.0
            graph.add_edge(source, sent, capacity=cost + paid)
            if len(behind) > 1:
                for reader in behind:
                    graph.add_edge(sent, (reader, k))
    value, _ = nx.minimum_cut(graph, "s", "t")
    return float(value)


def at_extremes(name: str, problem: Problem) -> dict:
    gaps, unproven = [], 0
    for count, factor in product(range(2, 7), BANDWIDTHS):
        answer = solve(with_bandwidth(with_tiers(problem, count), factor))
        gaps.append(answer.gap if answer.gap is not None else float("inf"))
        unproven += answer.status != "optimal"
    what = f"{name}: largest proven gap at 1e-5 to 1e3 times the bandwidth, 2 to 6 tiers ({len(gaps)} plans)"
    return row(what, "≤ 1e-9", max(gaps), "", max(gaps) <= 1e-9 and not unproven)


if __name__ == "__main__":
    main()

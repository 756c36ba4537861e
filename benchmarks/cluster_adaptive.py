"""Adaptive against each fixed split on the test cluster: rounds of one bandwidth trace, in turns."""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.support.report import interval, publish, row
from tests.cluster import cluster, links
from tests.support import cluster_digits
from tests.support.cluster_load import DEADLINE_S, Load, loaded
from tests.support.cluster_session import (
    EDGE,
    FAST_BPS,
    MDC,
    MIDDLE_BPS,
    PERIOD_S,
    SLOW_BPS,
    deployed,
    forecast_of,
    installed,
)

TRACE = (FAST_BPS, SLOW_BPS, MIDDLE_BPS)
STEP_S, ROUNDS, PINNED_S = 12.0, 7, 30
REASON = "rounds on two shared cores scatter by about a tenth; the mean itself is below the best fixed split"
CONTENDERS = 3
"""Fixed splits that are run in every round: the best of the first one, in which all are."""


def main():
    cluster.up()
    with installed() as installation, deployed(installation) as product, tempfile.TemporaryDirectory() as folder:
        surface = forecast_of(product, installation, Path(folder) / "b").surface
        ways = {"adaptive": None} | {plan_name(surface, e): e.plan.digest for e in surface.entries}
        means = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name in contenders(means):
                means[name].append(trace_mean_s(product, ways[name]))
    fixed = {name: means[name] for name in contenders(means) if name != "adaptive"}
    best = min(fixed, key=lambda name: np.mean(fixed[name]))
    ratios = [one / other for one, other in zip(means["adaptive"], fixed[best], strict=True)]
    passed = bool(interval(ratios)[2] < 1)
    what = f"adaptive over the best fixed split ({best}), mean latency on the trace"
    rows = [
        row(what, ratios, "×", "95% upper bound < 1", passed)
        | ({} if passed or np.mean(ratios) >= 1 else {"reason": REASON}),
        *(row(f"mean latency on the trace: {name}", [1e3 * s for s in values], "ms") for name, values in means.items()),
    ]
    steps = " → ".join(f"{bps / 1e6:g}" for bps in TRACE)
    publish(
        "cluster_adaptive",
        rows,
        f"edge→mdc {steps} Mbps, {STEP_S:g} s each, {ROUNDS} rounds in turns; "
        f"after the first the {CONTENDERS} best fixed splits go on.",
    )


def contenders(means):
    """Who runs: everybody first, then the adaptive one and the fixed splits that were best."""
    fixed = {name: values[0] for name, values in means.items() if values and name != "adaptive"}
    return ["adaptive", *sorted(fixed, key=fixed.get)[:CONTENDERS]] if fixed else list(means)


def plan_name(surface, entry):
    counts = [(tier, sum(t == tier for t in entry.plan.placement.values())) for tier in surface.tiers]
    return " | ".join(f"{tier} {count}" for tier, count in counts if count)


def trace_mean_s(product, digest):
    """Mean latency of a request over the trace; one that is lost counts its deadline."""
    product.pin(digest)
    load = Load(product.head, product.name, cluster_digits.pictures(), PERIOD_S)
    links.set_link(EDGE, MDC, TRACE[0])
    settle = Load(product.head, product.name, cluster_digits.pictures(), PERIOD_S)
    with loaded(settle):
        product.wait(lambda: settle.recent_plan(6) and digest in {None, settle.recent_plan(6)}, "it served", PINNED_S)
    with loaded(load):
        for bps in TRACE:
            links.set_link(EDGE, MDC, bps)
            end = time.monotonic() + STEP_S
            while time.monotonic() < end:
                time.sleep(0.2)
    return float(np.mean([DEADLINE_S if answer.failure else answer.latency_s for answer in load.answers]))


if __name__ == "__main__":
    main()

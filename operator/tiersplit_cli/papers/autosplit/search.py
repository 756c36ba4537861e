"""What AUTO-SPLIT finds for a simulated network, for every error threshold E of equation 4.

The paper's edge runs layers at the bit widths B = {2, 4, 6, 8} alone: with an error threshold of 0% it answers
CLOUD-ONLY although QDMP's plan with 16 bits on the edge is faster (§5.2). So it is here; `tiersplit plan --solver
autosplit` may leave layers of the edge as they are, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tiersplit_cli.papers.autosplit.simulated import SIXTEEN_BIT_PASSES, UPLINK_MBPS, Simulated, simulated
from tiersplit_core.planning.autosplit.choice import that_matter
from tiersplit_core.planning.autosplit.joint import JointSearch, joint_search
from tiersplit_core.planning.autosplit.solutions import Candidate, width_search
from tiersplit_core.planning.guidelines import Outcome, outcome_of
from tiersplit_core.planning.options import SolverOptions

UNBOUNDED = float("inf")
NOT_TRAINED = "untrained weights: E is D(U6), the error at 6 bits throughout, in place of a loss of accuracy"
REFERENCE_BITS = 6


@dataclass(frozen=True, slots=True)
class Interval:
    """The thresholds E, from `low` up to but without `high`, for which one outcome is the fastest."""

    outcome: Outcome
    low: float
    high: float


@cache
def candidates_of(model: str, mbps: float = UPLINK_MBPS, passes: int = SIXTEEN_BIT_PASSES) -> tuple[Candidate, ...]:
    """The list S of Algorithm 1 with every layer of the edge at one of B's widths."""
    on = simulated(model, mbps, passes)
    found = joint_search(on.arrays, SolverOptions())
    widths = found.search.widths
    exists = widths.exists.copy()
    exists[exists.sum(axis=1) > 1, 0] = False
    quantised = width_search(on.arrays, replace(widths, exists=exists))
    narrowed = JointSearch(quantised, found.splits, found.potential, found.provable)
    return tuple(kept for kept in narrowed.candidates if _is_quantised(on, kept))


def _is_quantised(on: Simulated, found: Candidate) -> bool:
    able = np.array([bool(layer.variants) for layer in on.problem.layers])
    head = found.split.members
    return bool(np.all((found.choice[head] > 0) | ~able[head]))


@cache
def frontier(model: str, mbps: float = UPLINK_MBPS, passes: int = SIXTEEN_BIT_PASSES) -> tuple[Candidate, ...]:
    """The candidates that some threshold E chooses, fastest first; the last one has no error."""
    return tuple(that_matter(candidates_of(model, mbps, passes)))


def fastest_within(found: Sequence[Candidate], error: float) -> Candidate:
    """The fastest of a frontier whose error is no more than E."""
    return next(candidate for candidate in found if candidate.distortion <= error)


def most_exact_within(found: Sequence[Candidate], seconds: float) -> Candidate | None:
    """Of a frontier's answers that take no more than so many seconds the one of least error; None where none does."""
    return next((candidate for candidate in reversed(found) if candidate.objective_s <= seconds), None)


def reached(found: Sequence[Candidate], unit: float, seconds: float) -> str:
    """From which E on, in units of `unit`, D(U8), answers take no more than so many seconds."""
    first = most_exact_within(found, seconds)
    return "at no E" if first is None else f"from E = {first.distortion / unit:.3g} D(U8)"


def reference_error(on: Simulated) -> float:
    """The E that stands for the paper's thresholds of accuracy, 5% for classifiers and 10% for detectors (§5.3).

    Nobody trained the weights, so accuracy cannot be measured. In its place: the network's error at 6 bits throughout.
    """
    return on.error_of(REFERENCE_BITS)


@cache
def chosen(model: str, mbps: float = UPLINK_MBPS, passes: int = SIXTEEN_BIT_PASSES) -> Candidate:
    """AUTO-SPLIT's answer at `reference_error`."""
    return fastest_within(frontier(model, mbps, passes), reference_error(simulated(model, mbps, passes)))


def outcome(found: Candidate) -> Outcome:
    """Where the network runs."""
    return outcome_of(found.split.tiers.tolist())


def last_layer(on: Simulated, found: Candidate) -> str | None:
    """The last layer of the head; None where there is none."""
    return on.graph.layers[found.split.members[-1]].name if len(found.split.members) else None


def intervals(found: Sequence[Candidate]) -> list[Interval]:
    """The outcomes of a frontier by rising E."""
    kept: list[Interval] = []
    high = UNBOUNDED
    for candidate in found:
        now = outcome(candidate)
        if kept and kept[-1].outcome is now:
            kept[-1] = Interval(now, candidate.distortion, kept[-1].high)
        else:
            kept.append(Interval(now, candidate.distortion, high))
        high = candidate.distortion
    return kept[::-1]


def outcomes_by_error(found: Sequence[Candidate], unit: float) -> str:
    """Each outcome of a frontier with the thresholds E, in units of `unit`, D(U8), at which it is the fastest."""
    ranges: dict[Outcome, list[str]] = {}
    for one in intervals(found):
        high = "∞" if one.high == UNBOUNDED else f"{one.high / unit:.3g}"
        ranges.setdefault(one.outcome, []).append(f"[{one.low / unit:.3g}, {high})")
    return "E in D(U8): " + ", ".join(f"{name} for {' and '.join(spans)}" for name, spans in ranges.items())

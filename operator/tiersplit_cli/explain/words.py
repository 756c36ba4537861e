"""The explanation in sentences."""

from collections.abc import Sequence

from tiersplit_cli.explain.neighbours import Neighbour
from tiersplit_cli.explain.reason import RANGE, Explanation
from tiersplit_cli.explain.splits import Piece
from tiersplit_cli.explain.sweep import Sweep
from tiersplit_core.planning.guidelines import advice, advice_sentence, outcome_of
from tiersplit_core.planning.problem import Objective, Problem
from tiersplit_core.planning.solution import Status
from tiersplit_core.units import format_bandwidth, format_bytes, format_seconds


def plan_label(problem: Problem, tiers: Sequence[int]) -> str:
    """A plan in a few words: `all on edge`, or `edge 12 | cloud 5` with the number of layers on each tier."""
    counts = [(tier.name, sum(place == i for place in tiers)) for i, tier in enumerate(problem.tiers)]
    used = [(name, count) for name, count in counts if count]
    return f"all on {used[0][0]}" if len(used) == 1 else " | ".join(f"{name} {count}" for name, count in used)


def sentences(explanation: Explanation) -> tuple[str, ...]:
    """What the plan is, what it costs, why not its neighbours, when it would change, and what guidelines say."""
    return (
        _what(explanation),
        _parts(explanation),
        *_why_not(explanation),
        *(_changes(explanation, sweep) for sweep in explanation.sweeps),
        *guideline_sentences(explanation),
    )


def guideline_sentences(explanation: Explanation) -> list[str]:
    """What AUTO-SPLIT's guidelines make of the model, beside what the plan does."""
    plan = outcome_of(explanation.plan.tiers)
    return [advice_sentence(given, plan) for given in advice(explanation.facts)]


def _what(explanation: Explanation) -> str:
    solution, problem = explanation.solution, explanation.arrays.problem
    proof = "proven optimal" if solution.status is Status.OPTIMAL else "the best found"
    if solution.status is Status.FEASIBLE and solution.gap is not None:
        proof += f", at most {solution.gap:.2%} above the optimum"
    parts = [f"{name} runs {_layers(explanation, name)}" for name in (stage.tier for stage in solution.stages)]
    aim = "one request takes" if problem.objective is Objective.LATENCY else "one request leaves every"
    return f"{'; '.join(parts)}. {aim.capitalize()} {format_seconds(explanation.plan.objective_s)} ({proof})."


def _layers(explanation: Explanation, tier: str) -> str:
    stage = next(stage for stage in explanation.solution.stages if stage.tier == tier)
    total = explanation.arrays.layers
    if len(stage.layers) == total:
        return f"all {total} layers"
    if len(stage.layers) == 1:
        return f"the layer {stage.layers[0]}"
    return f"{len(stage.layers)} of {total} layers ({stage.layers[0]} … {stage.layers[-1]})"


def _parts(explanation: Explanation) -> str:
    sent = [f"{format_bytes(t.payload_bytes)} over {t.source} → {t.target}" for t in explanation.solution.transmissions]
    pieces = ", ".join(f"{piece.what} {format_seconds(piece.seconds)}" for piece in explanation.plan.pieces)
    crossing = f" It sends {', '.join(sent)}." if sent else " Nothing crosses a link."
    return f"Its seconds: {pieces}.{crossing}"


def _why_not(explanation: Explanation) -> list[str]:
    return [neighbour_sentence(other) for other in explanation.neighbours]


def neighbour_sentence(other: Neighbour) -> str:
    """Why a neighbour is not the plan."""
    gain = ", ".join(f"{what} {_signed(seconds)}" for what, seconds in other.differences)
    why = f" ({gain})" if gain else ""
    if not other.cost.allowed:
        return f"Not {other.change}: it does not fit the memory, or the input would leave the first tier."
    if abs(other.extra_s) <= 1e-12:
        return f"Equally good: {other.change}{why}."
    return f"Not {other.change}: {_signed(other.extra_s)}{why}."


def _signed(seconds: float) -> str:
    return f"{'+' if seconds >= 0 else '−'}{format_seconds(abs(seconds))}"


def current_interval(explanation: Explanation, sweep: Sweep) -> int:
    """The position in `sweep.intervals` of the link's present bandwidth."""
    now = explanation.arrays.problem.links[sweep.link].bandwidth_bps
    for i, interval in enumerate(sweep.intervals):
        if now <= interval.high_bps:
            return i
    return len(sweep.intervals) - 1


def _changes(explanation: Explanation, sweep: Sweep) -> str:
    problem = explanation.arrays.problem
    link = problem.links[sweep.link]
    here = current_interval(explanation, sweep)
    name, now = f"{link.source}:{link.target}", format_bandwidth(link.bandwidth_bps)
    found = []
    if here > 0:
        below = sweep.intervals[here - 1]
        found.append(f"below {format_bandwidth(below.high_bps)} to {plan_label(problem, below.line.tiers)}")
    if here < len(sweep.intervals) - 1:
        above = sweep.intervals[here + 1]
        found.append(f"above {format_bandwidth(above.low_bps)} to {plan_label(problem, above.line.tiers)}")
    if not found:
        return (
            f"{name} is at {now}; no bandwidth from a {RANGE:.0f}th of that to {RANGE:.0f} times it changes the plan."
        )
    exact = "" if sweep.exact else " (approximately)"
    return f"{name} is at {now}; the plan would change {' and '.join(found)}{exact}."


def piece_words(pieces: Sequence[Piece]) -> str:
    """Pieces in a row: `edge 3 ms + edge → cloud 12 ms`."""
    return " + ".join(f"{piece.what} {format_seconds(piece.seconds)}" for piece in pieces)

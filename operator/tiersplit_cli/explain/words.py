"""The explanation in sentences."""

from collections.abc import Sequence

from tiersplit_cli.explain.accuracy import accuracy_sentences
from tiersplit_cli.explain.narrow import Narrow, NarrowLayer, NarrowValue
from tiersplit_cli.explain.neighbours import Neighbour
from tiersplit_cli.explain.reason import RANGE, Explanation
from tiersplit_cli.explain.splits import Piece
from tiersplit_cli.explain.sweep import PlanKey, Sweep
from tiersplit_control.words import bits_text
from tiersplit_core.planning.guidelines import advice, advice_sentence, outcome_of
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Objective, Problem
from tiersplit_core.planning.solution import Status
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.units import format_bandwidth, format_bytes, format_seconds


def plan_label(problem: Problem, key: PlanKey) -> str:
    """A plan in a few words: `all on edge`, or `edge 12 W8A8 | cloud 5` with the number of layers on each tier."""
    tiers, bits = key[0], [_bits_on(problem, key, tier) for tier in range(len(problem.tiers))]
    counts = [(tier.name, sum(place == i for place in tiers)) for i, tier in enumerate(problem.tiers)]
    used = [(name, count, said) for (name, count), said in zip(counts, bits, strict=True) if count]
    if len(used) == 1:
        return f"all on {used[0][0]}{used[0][2]}"
    return " | ".join(f"{name} {count}{said}" for name, count, said in used)


def _bits_on(problem: Problem, key: PlanKey, tier: int) -> str:
    """The widths of a tier's quantised layers, such as ` W8A8`; empty where all run as they are."""
    chosen = {
        layer.name: (layer.variants[v - 1].weight_bits, layer.variants[v - 1].activation_bits)
        for layer, place, v in zip(problem.layers, *key, strict=True)
        if place == tier and v
    }
    return f" {bits_text(Plan({}, chosen))}" if chosen else ""


def sentences(explanation: Explanation) -> tuple[str, ...]:
    """What the plan is, what it costs, why not its neighbours, when it would change, and what guidelines say."""
    return (*plan_sentences(explanation), *_why_not(explanation), *context_sentences(explanation))


def plan_sentences(explanation: Explanation) -> list[str]:
    """What the plan is, what it costs, its bit widths and its accuracy."""
    narrow = [] if explanation.narrow is None else narrow_sentences(explanation.narrow)
    return [_what(explanation), _parts(explanation), *narrow, *accuracy_sentences(explanation.planned)]


def context_sentences(explanation: Explanation) -> list[str]:
    """When the plan would change, and what guidelines say."""
    return [*(_changes(explanation, sweep) for sweep in explanation.sweeps), *guideline_sentences(explanation)]


def narrow_sentences(narrow: Narrow) -> list[str]:
    """How many layers have fewer bits, what travels with how many, and what that saves."""
    quantised = [layer for layer in narrow.layers if layer.widths is not None]
    kinds = [sorted({layer.widths[i] for layer in quantised if layer.widths}) for i in (0, 1)]
    weights, activations = (", ".join(map(str, bits)) for bits in kinds)
    form = "" if narrow.form is None else f" as {narrow.form.value}"
    allowed = "" if narrow.limit is None else f", of {narrow.limit:.3g} that are allowed"
    return [
        f"On {narrow.tier} {len(quantised)} of {len(narrow.layers)} layers run{form}, with weights in {weights} bits "
        f"and activations in {activations} bits; their distortion is {narrow.distortion:.3g}{allowed}.",
        f"{narrow.tier} needs {format_bytes(narrow.memory_bytes)}; the same layers as they are would need "
        f"{format_bytes(narrow.wide_memory_bytes)}.",
        *(_travels(value) for value in narrow.values),
    ]


def _travels(value: NarrowValue) -> str:
    size = format_bytes(value.payload_bytes)
    if value.bits is None:
        return f"{value.name} crosses {value.link} as it is, in {size}."
    return (
        f"{value.name} crosses {value.link} in {value.bits} bits: {size} instead of {format_bytes(value.wide_bytes)}."
    )


def layer_lines(narrow: Narrow) -> list[str]:
    """A line per layer: its bits, its run form and its distortion, in columns."""
    name = max(len(layer.name) for layer in narrow.layers)
    rows = [(layer.name, bits_of(layer), form_of(narrow, layer), f"{layer.distortion:.2e}") for layer in narrow.layers]
    return [f"  {said:<{name}}  {bits:<7} {form:<6}  distortion {error}" for said, bits, form, error in rows]


def bits_of(layer: NarrowLayer) -> str:
    """A layer's widths as in `W4 A8`; `as it is` where it has none."""
    return "as it is" if layer.widths is None else "W{} A{}".format(*layer.widths)


def form_of(narrow: Narrow, layer: NarrowLayer) -> str:
    """How a layer runs: int8, packed or float; a dash where nothing says it."""
    if layer.widths is None:
        return RunForm.FLOAT.value
    return "–" if narrow.form is None else narrow.form.value


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
        why = "it does not fit the memory, a tier cannot run it, or the input would leave the first tier"
        return f"Not {other.change}: {why}."
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
        found.append(f"below {format_bandwidth(below.high_bps)} to {plan_label(problem, below.line.key)}")
    if here < len(sweep.intervals) - 1:
        above = sweep.intervals[here + 1]
        found.append(f"above {format_bandwidth(above.low_bps)} to {plan_label(problem, above.line.key)}")
    if not found:
        return (
            f"{name} is at {now}; no bandwidth from a {RANGE:.0f}th of that to {RANGE:.0f} times it changes the plan."
        )
    exact = "" if sweep.exact else " (approximately)"
    return f"{name} is at {now}; the plan would change {' and '.join(found)}{exact}."


def piece_words(pieces: Sequence[Piece]) -> str:
    """Pieces in a row: `edge 3 ms + edge → cloud 12 ms`."""
    return " + ".join(f"{piece.what} {format_seconds(piece.seconds)}" for piece in pieces)

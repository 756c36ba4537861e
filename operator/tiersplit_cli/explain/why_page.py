"""The explanation as a page and as plain values."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tiersplit_cli.explain import page, pictures
from tiersplit_cli.explain.narrow import Narrow, NarrowLayer
from tiersplit_cli.explain.reason import Explanation
from tiersplit_cli.explain.style import look, to_png, to_svg
from tiersplit_cli.explain.sweep import Sweep
from tiersplit_cli.explain.words import (
    context_sentences,
    current_interval,
    form_of,
    piece_words,
    plan_label,
    plan_sentences,
    sentences,
)
from tiersplit_cli.planned import planned_to_json
from tiersplit_control.words import accuracy_text
from tiersplit_core.planning.guidelines import advice
from tiersplit_core.units import format_bandwidth, format_bytes, format_seconds

_SPLITS = "Seconds per split point"


def write_html(path: Path, explanation: Explanation) -> None:
    """Write the page atomically; it needs no other file and no network."""
    page.write_page(path, explanation_page(explanation))


def write_png(path: Path, explanation: Explanation) -> None:
    """Write all pictures as one PNG, atomically."""
    with look():
        content = to_png(pictures.picture(explanation))
    page.write_atomically(path, content)


def explanation_page(explanation: Explanation) -> page.Page:
    """The whole page: the plan in words, the pictures, the numbers."""
    problem = explanation.arrays.problem
    words = plan_sentences(explanation)
    body = page.tiles(_tiles(explanation))
    body += page.section("In words", page.bullets([*words, *context_sentences(explanation)]))
    if explanation.narrow is not None:
        body += _bits_section(explanation.narrow)
    body += page.section("Why not another split point", _svg(pictures.one(explanation, "splits"), _SPLITS, "splits"))
    for i, sweep in enumerate(explanation.sweeps):
        body += _sweep_section(explanation, sweep, f"s{i}")
    if explanation.regions:
        drawing = _svg(pictures.one(explanation, "regions"), "Best plan per pair of bandwidths", "regions")
        body += page.section("When both bandwidths change", drawing)
    body += page.section("Why not its neighbours", _neighbour_table(explanation))
    label = plan_label(problem, explanation.key)
    return page.Page(f"Why this plan: {label}", words[0], body)


def _svg(figure: Figure, label: str, prefix: str) -> str:
    with look():
        svg = to_svg(figure, label, prefix)
    return f'<div class="scroll"><div style="min-width:720px">{svg}</div></div>'


def _sweep_section(explanation: Explanation, sweep: Sweep, prefix: str) -> str:
    link = explanation.arrays.problem.links[sweep.link]
    name = f"{link.source}:{link.target}"
    figure = pictures.one(explanation, "sweep", sweep)
    drawing = _svg(figure, f"Best plan over the bandwidth of {name}", prefix)
    return page.section(f"At which bandwidth of {name} it would change", drawing, _sweep_table(explanation, sweep))


def _tiles(explanation: Explanation) -> dict[str, str]:
    shown = {
        f"objective: {explanation.arrays.problem.objective.value}": format_seconds(explanation.plan.objective_s),
        "status": explanation.solution.status.value,
    }
    shown |= {piece.what: format_seconds(piece.seconds) for piece in explanation.plan.pieces}
    if (narrow := explanation.narrow) is not None:
        wide = format_bytes(narrow.wide_memory_bytes)
        shown[f"memory of {narrow.tier}, {wide} without fewer bits"] = format_bytes(narrow.memory_bytes)
    known, accuracy = explanation.planned.given.accuracies, explanation.planned.accuracy
    if known is not None and accuracy is not None:
        shown[f"{known.metric}, the model {accuracy_text(known.whole)}"] = accuracy_text(accuracy)
    return shown


def _bits_section(narrow: Narrow) -> str:
    drawing = _svg(pictures.bits_picture(narrow), "Bits and distortion per layer", "bits")
    return page.section("Bit widths", drawing, _values_table(narrow), _layers_table(narrow))


def _values_table(narrow: Narrow) -> str:
    rows = [
        (
            value.name,
            value.link,
            "as it is" if value.bits is None else str(value.bits),
            format_bytes(value.payload_bytes),
            format_bytes(value.wide_bytes),
        )
        for value in narrow.values
    ]
    if not rows:
        return page.paragraph("Nothing crosses a link.")
    return page.table(("what travels", "link", "bits", "payload", "as it is"), rows, numeric=(2, 3, 4))


def _layers_table(narrow: Narrow) -> str:
    head = ("layer", "runs", "bits of weights", "of activations", "distortion", "weights", "as they are", "takes")
    rows = [_layer_row(narrow, layer) for layer in narrow.layers]
    return page.table((*head, "as it is"), rows, numeric=(2, 3, 4, 5, 6, 7, 8))


def _layer_row(narrow: Narrow, layer: NarrowLayer) -> tuple[str, ...]:
    weights, activations = ("–", "–") if layer.widths is None else map(str, layer.widths)
    sizes = (layer.weight_bytes, layer.wide_weight_bytes)
    return (
        layer.name,
        form_of(narrow, layer),
        weights if layer.wide_weight_bytes else "–",
        activations,
        f"{layer.distortion:.2e}" if layer.distortion else "–",
        *(format_bytes(size) if size else "–" for size in sizes),
        format_seconds(layer.seconds),
        format_seconds(layer.wide_seconds),
    )


def _sweep_table(explanation: Explanation, sweep: Sweep) -> str:
    problem = explanation.arrays.problem
    rows = [
        (f"{_edge(interval.low_bps)} to {_edge(interval.high_bps)}", plan_label(problem, interval.line.key))
        for interval in sweep.intervals
    ]
    rows[0] = (f"below {_edge(sweep.intervals[0].high_bps)}", rows[0][1])
    rows[-1] = (f"above {_edge(sweep.intervals[-1].low_bps)}", rows[-1][1])
    if len(rows) == 1:
        rows = [("any", rows[0][1])]
    return page.table(("bandwidth", "best plan (layers per tier)"), rows, here=current_interval(explanation, sweep))


def _edge(bandwidth_bps: float) -> str:
    return format_bandwidth(bandwidth_bps)


def _neighbour_table(explanation: Explanation) -> str:
    here = ("the plan", format_seconds(explanation.plan.objective_s), "–", piece_words(explanation.plan.pieces))
    rows = [here]
    for other in explanation.neighbours:
        extra = f"+{format_seconds(other.extra_s)}" if other.cost.allowed else "not allowed"
        parts = piece_words(other.cost.pieces)
        rows.append((other.change, format_seconds(other.cost.objective_s), extra, parts))
    return page.table(("plan", "objective", "more", "its seconds"), rows, numeric=(1, 2), here=0)


def explanation_to_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation as plain JSON values: the plan's answer, the words and every number of the pictures."""
    problem = explanation.arrays.problem
    return {
        "plan": planned_to_json(explanation.planned),
        "label": plan_label(problem, explanation.key),
        "words": list(sentences(explanation)),
        "neighbours": [
            {
                "change": other.change,
                "objective_s": other.cost.objective_s,
                "extra_s": other.extra_s,
                "allowed": other.cost.allowed,
                "differences_s": dict(other.differences),
            }
            for other in explanation.neighbours
        ],
        "split_points": [
            {
                "layers_on_first_tier": split.position,
                "objective_s": split.objective_s,
                "allowed": split.allowed,
                "parts": [{"what": piece.what, "seconds": piece.seconds} for piece in split.pieces],
            }
            for split in explanation.splits
        ],
        "bandwidth": [_sweep_to_json(explanation, sweep) for sweep in explanation.sweeps],
        "guidelines": [
            {"outcome": given.outcome.value, "because": given.sentence} for given in advice(explanation.facts)
        ],
    } | ({} if explanation.narrow is None else {"bits": _narrow_to_json(explanation.narrow)})


def _narrow_to_json(narrow: Narrow) -> dict[str, Any]:
    value = asdict(narrow)
    return value | {"form": None if narrow.form is None else narrow.form.value}


def _sweep_to_json(explanation: Explanation, sweep: Sweep) -> dict[str, Any]:
    problem = explanation.arrays.problem
    link = problem.links[sweep.link]
    return {
        "from": link.source,
        "to": link.target,
        "bandwidth_bps": link.bandwidth_bps,
        "exact": sweep.exact,
        "breakpoints_bps": list(sweep.breakpoints_bps),
        "intervals": [
            {
                "low_bps": interval.low_bps,
                "high_bps": interval.high_bps,
                "label": plan_label(problem, interval.line.key),
                "placement": explanation.arrays.placement_of(np.array(interval.line.tiers)),
            }
            for interval in sweep.intervals
        ],
    }

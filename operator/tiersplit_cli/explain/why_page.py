"""The explanation as a page and as plain values."""

from pathlib import Path
from typing import Any

import numpy as np

from tiersplit_cli.explain import page, pictures
from tiersplit_cli.explain.reason import Explanation
from tiersplit_cli.explain.style import look, to_png, to_svg
from tiersplit_cli.explain.sweep import Sweep
from tiersplit_cli.explain.words import current_interval, piece_words, plan_label, sentences
from tiersplit_core.planning.answer import answer_to_json
from tiersplit_core.planning.guidelines import advice
from tiersplit_core.units import format_bandwidth, format_seconds


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
    words = sentences(explanation)
    after = 2 + len(explanation.neighbours)
    body = page.tiles(_tiles(explanation))
    body += page.section("In words", page.bullets([*words[:2], *words[after:]]))
    body += page.section("Why not another split point", _svg(explanation, "splits", "Seconds per split point"))
    for i, sweep in enumerate(explanation.sweeps):
        link = problem.links[sweep.link]
        name = f"{link.source}:{link.target}"
        drawing = _svg(explanation, "sweep", f"Best plan over the bandwidth of {name}", sweep, f"s{i}")
        body += page.section(f"At which bandwidth of {name} it would change", drawing, _sweep_table(explanation, sweep))
    if explanation.regions:
        body += page.section(
            "When both bandwidths change", _svg(explanation, "regions", "Best plan per pair of bandwidths")
        )
    body += page.section("Why not its neighbours", _neighbour_table(explanation))
    label = plan_label(problem, explanation.plan.tiers)
    return page.Page(f"Why this plan: {label}", words[0], body)


def _svg(explanation: Explanation, which: str, label: str, sweep: Sweep | None = None, prefix: str = "") -> str:
    with look():
        svg = to_svg(pictures.one(explanation, which, sweep), label, prefix or which)
    return f'<div class="scroll"><div style="min-width:720px">{svg}</div></div>'


def _tiles(explanation: Explanation) -> dict[str, str]:
    shown = {
        f"objective: {explanation.arrays.problem.objective.value}": format_seconds(explanation.plan.objective_s),
        "status": explanation.solution.status.value,
    }
    return shown | {piece.what: format_seconds(piece.seconds) for piece in explanation.plan.pieces}


def _sweep_table(explanation: Explanation, sweep: Sweep) -> str:
    problem = explanation.arrays.problem
    rows = [
        (f"{_edge(interval.low_bps)} to {_edge(interval.high_bps)}", plan_label(problem, interval.line.tiers))
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
        "plan": answer_to_json(explanation.solution),
        "label": plan_label(problem, explanation.plan.tiers),
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
    }


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
                "label": plan_label(problem, interval.line.tiers),
                "placement": explanation.arrays.placement_of(np.array(interval.line.tiers)),
            }
            for interval in sweep.intervals
        ],
    }

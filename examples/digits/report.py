"""The story as the HTML report, and as the tables that end the demo."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.table import Table

from examples.digits.compare import Way
from examples.digits.deployment import Decision
from examples.digits.screen import milliseconds, plain_table
from examples.digits.story import Served, Story, served, summary
from examples.digits.trace import LINK, PATIENCE_S, Step
from tiersplit_cli.explain.report import (
    BandwidthPoint,
    DemoReport,
    LatencyLine,
    LatencyPoint,
    MoveRow,
    PlanBand,
    write_demo_report,
)

DELAY_S = PATIENCE_S
"""A picture that was due before a decision may be answered after it, by the other plan: a head that loses its link
falls back at once, and the controller says so a moment later."""


def write_report(path: Path, story: Story) -> None:
    """Write the page."""
    write_demo_report(path, report_of(story))


def report_of(story: Story) -> DemoReport:
    """The story as the report's values."""
    bands = served(story.answers)
    counts = summary(story)["requests"]
    first = bands[0].start_s if bands else 0.0
    begins = [max(played.began_s - first, 0.0) for played in story.played]
    return DemoReport(
        title="A digit reader that moves while the bandwidth changes",
        subtitle=(
            f"A residual network, trained on real handwritten digits, divided over {', '.join(story.tiers)}. "
            f"The link from {LINK[0]} to {LINK[1]} carries what the trace says."
        ),
        facts=story.facts,
        tiers=story.tiers,
        bandwidth=tuple(
            BandwidthPoint(begin, {" to ".join(LINK): played.step.bandwidth_bps})
            for begin, played in zip(begins, story.played, strict=True)
        ),
        plans=tuple(
            PlanBand(band.start_s - first, band.end_s - first, story.label(band.plan), why(story, band))
            for band in bands
        ),
        requests=tuple(
            LatencyPoint(answer.due_s - first, answer.latency_s)
            for answer in sorted(story.answers, key=lambda answer: answer.due_s)
        ),
        lines=tuple(_line(way, begins, bands[-1].end_s - first) for way in _shown(story)),
        moves=_moves(story, bands, first),
        mean_s=story.way.mean_s,
        accuracy=story.accuracy,
        whole_accuracy=story.whole_accuracy,
        sent=counts["sent"],
        lost=counts["lost"],
        wrong=counts["wrong"],
    )


def _shown(story: Story) -> list[Way]:
    """The ways that the report draws: the oracle, both ends, and the best split among the fixed plans."""
    ends = [f"{story.tiers[0]}-only", f"{story.tiers[-1]}-only"]
    splits = [way for way in story.fixed if way.name not in ends]
    best = [Way("best fixed split", way.seconds, way.mean_s, way.served) for way in splits[:1]]
    return [story.oracle, *(way for way in story.fixed if way.name in ends), *best]


def _line(way: Way, begins: Sequence[float], end: float) -> LatencyLine:
    points: list[LatencyPoint] = []
    for begin, over, seconds in zip(begins, [*begins[1:], end], way.seconds, strict=True):
        points += [LatencyPoint(begin, seconds), LatencyPoint(over, seconds)]
    return LatencyLine(way.name, tuple(points), way.mean_s, way.served)


def _moves(story: Story, bands: Sequence[Served], first: float) -> tuple[MoveRow, ...]:
    rows = []
    for before, after in pairwise(bands):
        decision = _decision(story, after)
        at_s = after.start_s if decision is None else decision.at_s
        began = max((played.began_s for played in story.played if played.began_s <= at_s), default=at_s)
        names = story.label(before.plan), story.label(after.plan)
        rows.append(MoveRow(after.start_s - first, *names, why(story, after), at_s - began))
    return tuple(rows)


def why(story: Story, band: Served) -> str:
    """The controller's own words when it last chose this plan before it served."""
    decision = _decision(story, band)
    return "" if decision is None else decision.reason


def _decision(story: Story, band: Served) -> Decision | None:
    before = (each for each in reversed(story.decisions) if each.at_s <= band.start_s + DELAY_S)
    return next((each for each in before if each.plan == band.plan), None)


def comparison_table(story: Story) -> Table:
    """Latency per step and over the trace, for every way to serve it."""
    steps: list[Step] = [played.step for played in story.played]
    ways = [story.way, story.oracle, *story.fixed]
    rows = [
        [
            way.name,
            *(_cell(way, step, seconds) for step, seconds in zip(steps, way.seconds, strict=True)),
            milliseconds(way.mean_s),
        ]
        for way in ways
    ]
    return plain_table("Mean latency on the same trace", ["", *(step.label for step in steps), "mean"], rows, strong=0)


def _cell(way: Way, step: Step, seconds: float) -> str:
    return "no answer" if way.served < 1 and step.bandwidth_bps == 0 else milliseconds(seconds)


def outcome_table(story: Story, report: Path) -> Table:
    """What the demo showed, in a few lines."""
    counts = summary(story)["requests"]
    best = story.fixed[0]
    rows = [
        ["requests answered", f"{counts['answered']} of {counts['sent']}"],
        ["lost / twice / wrong", f"{counts['lost']} / {counts['duplicate']} / {counts['wrong']}"],
        ["accuracy, split", f"{story.accuracy:.1%} (undivided: {story.whole_accuracy:.1%})"],
        ["mean latency on the trace", milliseconds(story.way.mean_s)],
        ["against the oracle", f"{story.way.mean_s / story.oracle.mean_s:.2f}×"],
        [f"best fixed plan ({best.name})", f"{best.mean_s / story.way.mean_s:.2f}× as slow"],
        ["changes of plan", str(story.moves)],
        ["report", str(report)],
    ]
    return plain_table("What it came to", ["", ""], rows)


def footnote() -> str:
    """How requests count that cannot be answered."""
    return f"[dim]While the link is down a fixed split cannot answer; such a request counts {PATIENCE_S:.0f} s.[/]"

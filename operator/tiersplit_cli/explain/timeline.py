"""The timeline of a run that adapted: what the links did, what was decided, what the requests felt."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tiersplit_cli.explain import page
from tiersplit_cli.explain.report import DemoReport, LatencyLine, LatencyPoint
from tiersplit_cli.explain.style import (
    ACCENT,
    INK,
    LINKS,
    MUTED,
    PAPER,
    REGIONS,
    light_grid,
    look,
    new_figure,
    to_svg,
)
from tiersplit_core.units import format_bandwidth, format_seconds

_LINE_STYLES = {
    "oracle": (ACCENT, (0, (1, 1.4)), 1.8),
    "edge-only": ("#d9822b", (0, (6, 2)), 1.6),
    "cloud-only": ("#3b5ba5", "solid", 1.6),
    "best fixed split": ("#a0478f", (0, (8, 2, 2, 2)), 1.8),
}
_LINK_COLOURS = (INK, ACCENT, *LINKS)


def timeline_page(data: DemoReport) -> page.Page:
    """The whole report as a page."""
    body = (
        page.tiles(_tiles(data))
        + page.section("What happened", _picture(data))
        + page.section("Latency on the same trace", _latency_table(data))
        + page.section("Every change of plan, and why", _moves_table(data))
        + page.section("What ran", page.facts(data.facts))
    )
    return page.Page(data.title, data.subtitle, body)


def timeline_figure(data: DemoReport) -> Figure:
    """Three rows over one axis of seconds: bandwidth, plan, latency of each request."""
    with look():
        figure = new_figure(11.2, 7.8)
        rows = figure.subplots(3, 1, sharex=True, height_ratios=(2.1, 0.55, 3.6))
        _draw_bandwidth(rows[0], data)
        _draw_plans(rows[1], data)
        _draw_latency(rows[2], data)
        rows[2].set_xlabel("seconds since the first request")
        rows[2].set_xlim(0, _end(data))
        for axes in rows:
            _shade(axes, data)
        _draw_legend(figure, rows[2])
    return figure


def _picture(data: DemoReport) -> str:
    with look():
        svg = to_svg(timeline_figure(data), "Timeline of bandwidth, plan and latency of each request", "timeline")
    return f'<div class="scroll"><div style="min-width:760px">{svg}</div></div>'


def _end(data: DemoReport) -> float:
    ends = [band.end_s for band in data.plans] + [point.at_s for point in data.requests]
    return max([*ends, *(point.at_s for point in data.bandwidth), 1e-3])


def _plan_colours(data: DemoReport) -> dict[str, str]:
    names = list(dict.fromkeys(band.label for band in data.plans))
    return {name: REGIONS[i % len(REGIONS)] for i, name in enumerate(names)}


def _shade(axes: Axes, data: DemoReport) -> None:
    for point in data.bandwidth[1:]:
        axes.axvline(point.at_s, color="#c3cad3", linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    colours = _plan_colours(data)
    for band in data.plans:
        axes.axvspan(band.start_s, band.end_s, color=colours[band.label], alpha=0.07, linewidth=0, zorder=0)


def _draw_bandwidth(axes: Axes, data: DemoReport) -> None:
    names = list(data.bandwidth[0].bandwidth_bps) if data.bandwidth else []
    times = [point.at_s for point in data.bandwidth] + [_end(data)]
    seen = [value for point in data.bandwidth for value in point.bandwidth_bps.values() if value > 0]
    floor = min(seen, default=1.0) / 6
    for i, name in enumerate(names):
        values = [max(point.bandwidth_bps[name], floor) for point in data.bandwidth]
        axes.step(times, [*values, values[-1]], where="post", color=_LINK_COLOURS[i], linewidth=2.0)
    _name_the_links(axes, data, names, floor)
    axes.set_yscale("log")
    axes.set_ylim(floor / 1.4, max(seen, default=10.0) * 3)
    axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bandwidth(value)))
    axes.set_title("Bandwidth of the links")
    light_grid(axes)
    _name_the_steps(axes, data, names, floor)


def _name_the_links(axes: Axes, data: DemoReport, names: Sequence[str], floor: float) -> None:
    """Write each link's name at the end of its line, apart from one another."""
    ends = {name: max(data.bandwidth[-1].bandwidth_bps[name], floor) for name in names}
    above = 0.0
    for name in sorted(names, key=lambda name: ends[name]):
        at = max(ends[name], above)
        above = at * 3
        colour = _LINK_COLOURS[list(names).index(name)]
        axes.annotate(
            name,
            (1.0, at),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9.5,
            color=colour,
            fontweight="bold",
        )


def _name_the_steps(axes: Axes, data: DemoReport, names: Sequence[str], floor: float) -> None:
    """Write each new bandwidth where the trace changes; `down` where a link is gone."""
    last: dict[str, float] = {}
    for point in data.bandwidth:
        for i, name in enumerate(names):
            value = point.bandwidth_bps[name]
            if last.get(name) != value:
                label = format_bandwidth(value) if value > 0 else "down"
                near = any(value < other < 4 * value for other in point.bandwidth_bps.values())
                axes.annotate(
                    label,
                    (point.at_s, max(value, floor)),
                    xytext=(5, -12 if near else 5),
                    textcoords="offset points",
                    fontsize=9,
                    color=_LINK_COLOURS[i],
                )
            last[name] = value


def _draw_plans(axes: Axes, data: DemoReport) -> None:
    colours = _plan_colours(data)
    for band in data.plans:
        width = band.end_s - band.start_s
        axes.broken_barh([(band.start_s, width)], (0, 1), color=colours[band.label], edgecolor=PAPER, linewidth=1.5)
        if width > _end(data) * 0.011 * len(band.label):
            middle = band.start_s + width / 2
            axes.text(middle, 0.5, band.label, ha="center", va="center", color=PAPER, fontsize=9.5, fontweight="bold")
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(axis="x", length=0)
    axes.set_title("Plan that served")


def _draw_latency(axes: Axes, data: DemoReport) -> None:
    for line in data.lines:
        _draw_line(axes, line)
    served = [(point.at_s, point.latency_s) for point in data.requests if point.latency_s is not None]
    times, seconds = [at_s for at_s, _ in served], [latency_s for _, latency_s in served]
    axes.scatter(times, seconds, s=7, color=INK, alpha=0.55, linewidths=0, zorder=3, label="tiersplit, each request")
    lost = [point.at_s for point in data.requests if point.latency_s is None]
    if lost:
        axes.scatter(lost, [axes.get_ylim()[1]] * len(lost), marker="x", color=ACCENT, label="lost")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title("Latency of each request, against the same requests served in other ways")
    light_grid(axes)


def _draw_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = [len(labels) - 1, *range(len(labels) - 1)]
    chosen = figure.legend(
        [handles[i] for i in order], [labels[i] for i in order], loc="outside lower center", ncols=3, frameon=False
    )
    for handle in chosen.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


def _draw_line(axes: Axes, line: LatencyLine) -> None:
    colour, dash, width = _LINE_STYLES.get(line.name, (MUTED, "solid", 1.4))
    times = [point.at_s for point in line.points]
    seconds = [np.nan if point.latency_s is None else point.latency_s for point in line.points]
    mean = "cannot serve all" if line.mean_s is None else f"mean {format_seconds(line.mean_s)}"
    axes.plot(times, seconds, color=colour, linestyle=dash, linewidth=width, label=f"{line.name} ({mean})", zorder=2)


def _tiles(data: DemoReport) -> dict[str, str]:
    return {
        "requests answered": f"{data.sent - data.lost} of {data.sent}",
        "requests lost": str(data.lost),
        "answers that differ from the whole model": str(data.wrong),
        "mean latency": format_seconds(data.mean_s),
        "accuracy": f"{data.accuracy:.2%}",
        "changes of plan": str(len(data.moves)),
    }


def _latency_table(data: DemoReport) -> str:
    head = ("served by", "mean", "median", "95%", "requests it could serve", "mean against tiersplit")
    rows = [_row("tiersplit, adapting", data.requests, data.mean_s, _share(data.requests), data)]
    rows += [_row(line.name, line.points, line.mean_s, line.served, data) for line in data.lines]
    return page.table(head, rows, numeric=(1, 2, 3, 4, 5), here=0)


def _share(points: Sequence[LatencyPoint]) -> float:
    return sum(point.latency_s is not None for point in points) / max(len(points), 1)


def _row(
    name: str, points: Sequence[LatencyPoint], mean_s: float | None, served: float, data: DemoReport
) -> tuple[str, ...]:
    seconds = [point.latency_s for point in points if point.latency_s is not None]
    median, high = np.percentile(seconds, (50, 95)) if seconds else (None, None)
    ratio = "–" if mean_s is None or data.mean_s <= 0 else f"{mean_s / data.mean_s:.2f}×"
    return (name, _seconds(mean_s), _seconds(median), _seconds(high), f"{served:.0%}", ratio)


def _seconds(value: float | None) -> str:
    return "–" if value is None else format_seconds(float(value))


def _moves_table(data: DemoReport) -> str:
    if not data.moves:
        return page.paragraph("The plan never changed.")
    head = ("at", "from", "to", "reason", "took")
    rows = [
        (f"{move.at_s:.1f} s", move.source, move.target, move.reason, format_seconds(move.seconds))
        for move in data.moves
    ]
    return page.table(head, rows, numeric=(0, 4))

"""The explanation's pictures: split points, envelopes over bandwidth, regions of two bandwidths."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from tiersplit_cli.explain.narrow import Narrow
from tiersplit_cli.explain.narrow_picture import HEIGHTS, draw_bits, draw_distortion
from tiersplit_cli.explain.reason import RANGE, Explanation
from tiersplit_cli.explain.splits import SplitCost
from tiersplit_cli.explain.style import ACCENT, FAINT, INK, LINKS, PAPER, REGIONS, TIERS, light_grid, look, new_figure
from tiersplit_cli.explain.sweep import Interval, PlanKey, Sweep
from tiersplit_cli.explain.words import current_interval, plan_label
from tiersplit_core.cost.arrays import Bools, Floats
from tiersplit_core.units import format_bandwidth, format_seconds

_GRID = 480
_MAX_NAMED_LAYERS = 36


def picture(explanation: Explanation) -> Figure:
    """All pictures on one sheet."""
    links = len(explanation.sweeps)
    heights = [4.2, *[3.5] * links] + ([5.2] if explanation.regions else [])
    heights += HEIGHTS if explanation.narrow is not None else ()
    with look():
        figure = new_figure(11.5, sum(heights) + 0.5)
        figure.suptitle(_headline(explanation), x=0.012, ha="left", fontsize=16, fontweight="bold")
        rows = np.atleast_1d(figure.subplots(len(heights), 1, height_ratios=heights))
        draw_splits(rows[0], explanation)
        for axes, sweep in zip(rows[1:], explanation.sweeps, strict=False):
            draw_sweep(axes, explanation, sweep)
        if explanation.regions:
            draw_regions(rows[1 + links], explanation)
        if explanation.narrow is not None:
            draw_bits(rows[-2], explanation.narrow)
            draw_distortion(rows[-1], explanation.narrow)
    return figure


def bits_picture(narrow: Narrow) -> Figure:
    """The picture of a plan's bit widths alone."""
    with look():
        figure = new_figure(11.2, sum(HEIGHTS))
        above, below = figure.subplots(2, 1, height_ratios=HEIGHTS)
        draw_bits(above, narrow)
        draw_distortion(below, narrow)
    return figure


def _headline(explanation: Explanation) -> str:
    label = plan_label(explanation.arrays.problem, explanation.key)
    return f"Why {label}: {format_seconds(explanation.plan.objective_s)}, {explanation.solution.status.value}"


def one(explanation: Explanation, which: str, sweep: Sweep | None = None) -> Figure:
    """One picture alone: `splits`, `sweep` (of `sweep`) or `regions`."""
    with look():
        figure = new_figure(11.2, 5.0 if which == "regions" else 3.9)
        axes = figure.subplots()
        if which == "splits":
            draw_splits(axes, explanation)
        elif sweep is not None:
            draw_sweep(axes, explanation, sweep)
        else:
            draw_regions(axes, explanation)
    return figure


def plan_colours(explanation: Explanation) -> Mapping[PlanKey, str]:
    """A colour per plan, the same in every picture; the chosen plan has the first."""
    plans = [explanation.key]
    plans += [interval.line.key for sweep in explanation.sweeps for interval in sweep.intervals]
    plans += [line.key for line in explanation.regions]
    return {plan: REGIONS[i % len(REGIONS)] for i, plan in enumerate(dict.fromkeys(plans))}


def draw_splits(axes: Axes, explanation: Explanation) -> None:
    """Stacked compute and transmission seconds per split point."""
    splits = explanation.splits
    colour = _piece_colours(explanation)
    ceiling = _ceiling(explanation)
    positions = np.array([split.position for split in splits])
    bottom = np.zeros(len(splits))
    for what, (fill, hatch) in colour.items():
        heights = np.array([_seconds_of(split, what) for split in splits])
        if heights.any():
            width, edge = (0.86, PAPER) if len(splits) <= 60 else (1.0, "none")
            look_of: dict[str, Any] = {
                "color": fill,
                "hatch": hatch,
                "hatchcolor": PAPER,
                "edgecolor": edge,
                "linewidth": 0.4,
            }
            axes.bar(positions, heights, width, bottom, label=what, **look_of)
            bottom += heights
    _fade(axes, splits, bottom)
    axes.set_ylim(0, ceiling)
    axes.set_xlim(-0.7, len(splits) - 0.3)
    _name_positions(axes, explanation)
    _mark_plan(axes, explanation, ceiling)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value) if value else "0"))
    first = explanation.arrays.problem.tiers[0].name
    cut = " (taller bars are cut off)" if bottom.max() > ceiling else ""
    axes.set_title(f"Seconds of one request, by the number of layers on {first}{cut}")
    light_grid(axes)
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, reverse=True, fontsize=9.5)


def _fade(axes: Axes, splits: Sequence[SplitCost], heights: Floats) -> None:
    """Pale what is not allowed."""
    refused = [i for i, split in enumerate(splits) if not split.allowed]
    if refused:
        at = [splits[i].position for i in refused]
        axes.bar(at, heights[refused], 1.0, color=PAPER, alpha=0.72, linewidth=0)
        axes.bar(at[0], 0.0, color=FAINT, label="pale: does not fit")


def _piece_colours(explanation: Explanation) -> dict[str, tuple[str, str]]:
    """Fill and hatch per tier and link, in the order of the flow."""
    problem = explanation.arrays.problem
    found: dict[str, tuple[str, str]] = {}
    for i, tier in enumerate(problem.tiers):
        found[tier.name] = (TIERS[i], "")
        if i < len(problem.links):
            link = problem.links[i]
            found[f"{link.source} → {link.target}"] = (LINKS[i], "////")
    for i, link in enumerate(reversed(problem.links)):
        found[f"{link.target} → {link.source}"] = (LINKS[i], "....")
    return found


def _seconds_of(split: SplitCost, what: str) -> float:
    return sum(piece.seconds for piece in split.pieces if piece.what == what)


def _ceiling(explanation: Explanation) -> float:
    """The top of the axis: all bars where they are comparable, else what is needed to see the good ones."""
    sums = np.array([sum(piece.seconds for piece in split.pieces) for split in explanation.splits])
    best = max(sum(piece.seconds for piece in explanation.plan.pieces), float(sums.min()))
    ends = [float(total) for total in (sums[0], sums[-1]) if total <= 6 * best]
    return min(float(sums.max()), max([3.0 * best, *ends])) * 1.12


def _name_positions(axes: Axes, explanation: Explanation) -> None:
    layers = explanation.arrays.problem.layers
    if len(layers) > _MAX_NAMED_LAYERS:
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        axes.set_xlabel("split point: layers in execution order that run on the first tier")
        return
    names = ["nothing", *(layer.name for layer in layers)]
    axes.set_xticks(
        range(len(names)), [_short(name) for name in names], rotation=40, ha="right", rotation_mode="anchor"
    )
    axes.set_xlabel("the last layer on the first tier")


def _short(name: str) -> str:
    return name if len(name) <= 18 else "…" + name[-17:]


def _mark_plan(axes: Axes, explanation: Explanation, ceiling: float) -> None:
    """An arrow at the plan: on its bar where it is a split point, else a line across."""
    plan = explanation.plan
    total = sum(piece.seconds for piece in plan.pieces)
    text = f"the plan: {format_seconds(plan.objective_s)}"
    is_prefix = list(plan.tiers) == sorted(plan.tiers)
    if not is_prefix:
        axes.axhline(total, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 2)))
        text += ", dividing branches"
    last = len(explanation.splits) - 1
    align = "left" if plan.position < 0.15 * last else "right" if plan.position > 0.85 * last else "center"
    axes.annotate(
        text,
        (plan.position, total),
        xytext=(plan.position, min(total + 0.2 * ceiling, 0.93 * ceiling)),
        ha=align,
        color=ACCENT,
        fontweight="bold",
        arrowprops={"arrowstyle": "-|>", "color": ACCENT, "linewidth": 1.4},
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
    )


def draw_sweep(axes: Axes, explanation: Explanation, sweep: Sweep) -> None:
    """The envelope over one link's bandwidth: each plan's line, the lowest one thick, its breakpoints."""
    problem = explanation.arrays.problem
    link, colours = problem.links[sweep.link], plan_colours(explanation)
    low, high = _shown(explanation, sweep)
    bandwidth = np.geomspace(low, high, 400)
    points = np.tile(1.0 / explanation.arrays.bandwidth_bps, (len(bandwidth), 1))
    points[:, sweep.link] = 1.0 / bandwidth
    seen = [interval for interval in sweep.intervals if interval.high_bps > low and interval.low_bps < high]
    curves = {interval.line.key: interval.line.seconds(points) for interval in seen}
    for key, seconds in curves.items():
        axes.plot(bandwidth, seconds, color=colours[key], linewidth=1.1, alpha=0.55)
    best = np.min(np.stack(list(curves.values())), axis=0)
    for interval in seen:
        inside = (bandwidth >= interval.low_bps) & (bandwidth <= interval.high_bps)
        axes.plot(
            bandwidth[inside], best[inside], color=colours[interval.line.key], linewidth=4.2, solid_capstyle="round"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(best.min() / 1.5, best.max() * 1.9)
    _mark_breakpoints(axes, explanation, sweep, (low, high))
    _name_intervals(axes, explanation, seen, (low, high))
    _bandwidth_axis(axes)
    _seconds_axis(axes)
    objective = "Latency" if not explanation.arrays.throughput else "Seconds of the slowest part"
    axes.set_title(f"{objective} over the bandwidth of {link.source}:{link.target}, best plan at each")
    light_grid(axes, "both")


def _shown(explanation: Explanation, sweep: Sweep) -> tuple[float, float]:
    """The bandwidths worth showing: around the present one and every breakpoint."""
    now = explanation.arrays.problem.links[sweep.link].bandwidth_bps
    marks = [now, *sweep.breakpoints_bps]
    low, high = min(marks) / 8, max(marks) * 8
    wider = max(1.0, (100 * low / high) ** 0.5)
    return max(low / wider, now / RANGE), min(high * wider, now * RANGE)


def _mark_breakpoints(axes: Axes, explanation: Explanation, sweep: Sweep, shown: tuple[float, float]) -> None:
    now = explanation.arrays.problem.links[sweep.link].bandwidth_bps
    point = 1.0 / explanation.arrays.bandwidth_bps
    last = 0.0
    gap = (shown[1] / shown[0]) ** 0.07
    for left in sweep.intervals[:-1]:
        point[sweep.link] = 1.0 / left.high_bps
        axes.plot(left.high_bps, left.line.seconds(point), "o", color=INK, markersize=6, zorder=5)
        if left.high_bps > last * gap:
            axes.axvline(left.high_bps, color=INK, linewidth=0.7, alpha=0.35)
            axes.annotate(
                format_bandwidth(left.high_bps),
                (left.high_bps, 0.03),
                xycoords=axes.get_xaxis_transform(),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=9,
                color=INK,
                bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.0},
            )
            last = left.high_bps
    here = sweep.intervals[current_interval(explanation, sweep)]
    point[sweep.link] = 1.0 / now
    axes.axvline(now, color=ACCENT, linewidth=1.4, linestyle=(0, (5, 2)))
    axes.annotate(
        f"now: {format_bandwidth(now)}, {format_seconds(float(here.line.seconds(point)))}",
        (now, 0.86),
        xycoords=axes.get_xaxis_transform(),
        xytext=(6, 0),
        textcoords="offset points",
        color=ACCENT,
        fontweight="bold",
        fontsize=9.5,
    )


def _name_intervals(axes: Axes, explanation: Explanation, seen: Sequence[Interval], shown: tuple[float, float]) -> None:
    """A strip on top of the picture that names the best plan of each interval."""
    problem, colours = explanation.arrays.problem, plan_colours(explanation)
    whole = np.log(shown[1] / shown[0])
    for interval in seen:
        low, high = max(interval.low_bps, shown[0]), min(interval.high_bps, shown[1])
        axes.axvspan(low, high, 0.94, 1.0, color=colours[interval.line.key], linewidth=0)
        label = plan_label(problem, interval.line.key)
        if np.log(high / low) / whole > 0.0092 * len(label):
            axes.text(
                (low * high) ** 0.5,
                0.968,
                label,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="center",
                color=PAPER,
                fontsize=8.8,
                fontweight="bold",
            )


def _bandwidth_axis(axes: Axes) -> None:
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 2e3 * low else (1.0,), numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bandwidth(value)))


def _seconds_axis(axes: Axes) -> None:
    low, high = axes.get_ylim()
    steps = (1.0, 2.0, 5.0) if high > 6 * low else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_seconds(value)))


def draw_regions(axes: Axes, explanation: Explanation) -> None:
    """Which plan is best at which pair of bandwidths of the first two links."""
    problem, colours = explanation.arrays.problem, plan_colours(explanation)
    first, second = problem.links[:2]
    spans = [_shown(explanation, sweep) for sweep in explanation.sweeps[:2]]
    xs, ys = (np.geomspace(min(low, high / 1e4), max(high, low * 1e4), _GRID) for low, high in spans)
    points = np.tile(1.0 / explanation.arrays.bandwidth_bps, (_GRID, _GRID, 1))
    points[..., 0], points[..., 1] = 1.0 / xs[None, :], 1.0 / ys[:, None]
    winner = np.stack([line.seconds(points) for line in explanation.regions]).argmin(axis=0)
    shades = ListedColormap([colours[line.key] for line in explanation.regions])
    axes.pcolormesh(xs, ys, winner, cmap=shades, vmin=-0.5, vmax=len(explanation.regions) - 0.5, rasterized=True)
    free = _away_from(xs, first.bandwidth_bps, 0.12)[None, :] | _away_from(ys, second.bandwidth_bps, 0.08)[:, None]
    for i, line in enumerate(explanation.regions):
        _name_region(axes, (winner == i) & free, (xs, ys), plan_label(problem, line.key))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot(first.bandwidth_bps, second.bandwidth_bps, "o", color=PAPER, markeredgecolor=ACCENT, markeredgewidth=2.5,
              markersize=10)  # fmt: skip
    axes.annotate("now", (first.bandwidth_bps, second.bandwidth_bps), xytext=(10, -14), textcoords="offset points",
                  color=PAPER, fontweight="bold")  # fmt: skip
    _bandwidth_axis(axes)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_bandwidth(value)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"bandwidth of {first.source}:{first.target}")
    axes.set_ylabel(f"bandwidth of {second.source}:{second.target}")
    axes.set_title("The best plan when both bandwidths change")


def _away_from(values: Floats, centre: float, share: float) -> Bools:
    """Which values of a logarithmic axis are further from `centre` than a share of the axis."""
    return np.asarray(np.abs(np.log(values / centre)) > share * np.log(values[-1] / values[0]))


def _name_region(axes: Axes, inside: np.ndarray, at: tuple[np.ndarray, np.ndarray], label: str) -> None:
    """Write the label where the region is thickest, if it is large enough to hold it."""
    if inside.mean() < 0.015:
        return
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 - only this picture needs it

    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    thick = np.argwhere(depth >= 0.95 * depth.max())
    row, column = thick[len(thick) // 2]
    upright = depth.max() < 0.02 * len(label) * _GRID / 5
    axes.text(at[0][column], at[1][row], label.replace(" | ", "\n") if upright else label, color=PAPER, ha="center",
              va="center", fontsize=9, fontweight="bold")  # fmt: skip

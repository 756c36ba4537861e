"""Writes autosplit.md and its plots: AUTO-SPLIT's tables and figures beside what this program finds.

`python -m benchmarks.papers.autosplit`
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from tiersplit_cli.papers.autosplit.figure_5 import METHODS, THRESHOLDS
from tiersplit_cli.papers.autosplit.figure_5 import MODELS as FRONTIERS
from tiersplit_cli.papers.autosplit.figure_6 import COMPARED
from tiersplit_cli.papers.autosplit.figure_7 import SETTINGS, at_split
from tiersplit_cli.papers.autosplit.figure_8 import sent_behind
from tiersplit_cli.papers.autosplit.published import MODELS, OUTCOMES
from tiersplit_cli.papers.autosplit.search import chosen, frontier, outcome, reference_error
from tiersplit_cli.papers.autosplit.simulated import Simulated, seconds_of, simulated
from tiersplit_cli.papers.autosplit.table_8 import PRINTED
from tiersplit_cli.papers.autosplit.tables import TABLES
from tiersplit_cli.papers.autosplit.trained import METHODS as TRAINED_METHODS
from tiersplit_cli.papers.autosplit.trained import NETWORKS, Experiment, Rated, experiment
from tiersplit_cli.papers.stored import stored_graph

FOLDER = Path(__file__).parent
PAGE, PLOTS = FOLDER / "autosplit.md", FOLDER / "autosplit"
COLUMNS = ("quantity", "paper", "ours", "comparable", "note")
HEAD = """\
# AUTO-SPLIT, reproduced

Banitalebi-Dehkordi et al., "Auto-Split: A General Framework of Collaborative Edge-Cloud AI", KDD 2021. These are the
rows of `tiersplit reproduce autosplit`; `python -m benchmarks.papers.autosplit` writes this page again.

- **Hardware**: table 1's Eyeriss as the edge and its TPU as the cloud, simulated; 3 Mbps without a latency of its own;
  an input of one byte per element; the edge's memory is table 1's 4 GB.
- **Sixteen bits**: a network as it is has 16 bits. They are multiplied as fast as 8, as the paper's simulator counts
  cycles; where that matters, rows with four passes of an 8-bit multiplier stand beside.
- **Accuracy**: nobody trained the weights of the paper's networks, so the error threshold E of equation 4 takes its
  place. D(U8) is the error of a network at 8 bits throughout; that of the results themselves is left out (a
  detector's are pixels, whose error would outweigh all others). For the paper's thresholds of accuracy stands D(U6),
  the same at 6 bits; figure 6 says for which other E each outcome appears. On the edge layers have 2, 4, 6 or 8 bits,
  as in the paper. Section 5.2 trained and table 3 are of networks that the examples train: their accuracy is measured,
  and `python -m benchmarks.papers.autosplit_accuracies` measures it again.
- **Numbers of splits** count convolutions and fully connected layers from 0, a projection before its block's last
  convolution; those of YOLO count rows of the published layer table in figures 6 and 8 and tables 8 and 9, convolutions
  in table 2, whose sizes come out so.
"""
FIGURES = {
    "8": "network-speed.png",
    "figure-5": "figure-5.png",
    "figure-6": "figure-6.png",
    "figure-7": "figure-7.png",
    "figure-8": "figure-8.png",
    "section-5.2-trained": "trained.png",
}


ASIDE = {"U8": (-7, 6), "U6": (-7, 6), "U2": (4, -11)}
"""Where the names of close points stand, in points beside them."""


def main() -> None:
    PLOTS.mkdir(exist_ok=True)
    for draw in (draw_frontiers, draw_bars, draw_settings, draw_sent, draw_speeds, draw_trained):
        draw()
    PAGE.write_text(HEAD + "".join(f"\n{section(table)}" for table in TABLES))


def section(table: str) -> str:
    """One table of the page, with its plot."""
    title = table.replace("-", " ").capitalize() if "-" in table else f"Table {table}"
    plot = [f"![{title}]({PLOTS.name}/{FIGURES[table]})\n"] if table in FIGURES else []
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    rows = [(row.quantity, row.paper, row.ours, "yes" if row.comparable else "no", row.note) for row in TABLES[table]()]
    return "\n".join([f"## {title}\n", *plot, *head, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def draw_frontiers() -> None:
    """Figure 5."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    for axis, model in zip(axes, FRONTIERS, strict=True):
        draw_frontier(axis, model)
    axes[0].set_ylabel("latency over CLOUD-ONLY's")
    axes[0].legend(fontsize=8, loc="lower left")
    save(figure, "figure-5")


def draw_frontier(axis: plt.Axes, model: str) -> None:
    on = simulated(model)
    answers = [place(on, one.distortion, one.objective_s) for one in reversed(frontier(model))]
    axis.step(*zip(*answers, (1e3, answers[-1][1]), strict=True), where="post", label="AUTO-SPLIT, all E")
    axis.plot(*zip(*answers, strict=True), ".", color="tab:blue")
    best = chosen(model)
    axis.plot(*place(on, best.distortion, best.objective_s), "*", ms=14, label="AUTO-SPLIT at the reference E")
    axis.axvline(reference_error(on) / on.error_of(8), ls=":", color="tab:green", label="reference E")
    named: dict[tuple[float, float], list[str]] = {}
    for name, solver in METHODS.items():
        answer = on.solved(solver)
        named.setdefault(place(on, answer.distortion or 0.0, seconds_of(answer)), []).append(name)
    for point, names in named.items():
        axis.plot(*point, "kx")
        aside = (4, -12) if "QDMP" in names else (4, 5)
        axis.annotate(", ".join(names), point, xytext=aside, textcoords="offset points", fontsize=8)
    draw_papers_answers(axis, model)
    axis.set_xscale("symlog", linthresh=0.1)
    axis.set(xlim=(-0.03, 6e3), ylim=(0, 1.15))
    axis.set(title=FRONTIERS[model], xlabel="error over that of 8 bits throughout, D(U8)")


def draw_papers_answers(axis: plt.Axes, model: str) -> None:
    """The paper's latencies by threshold of accuracy: its errors are not comparable, so they are lines."""
    allowed: dict[float, list[str]] = {}
    for threshold, latency in THRESHOLDS[model]:
        allowed.setdefault(latency, []).append(threshold)
    for i, (latency, thresholds) in enumerate(allowed.items()):
        label = "the paper's, by accuracy lost" if i == 0 else None
        axis.axhline(latency, color="tab:gray", lw=0.8, ls="--", label=label)
        place = axis.get_yaxis_transform()
        axis.text(1.01, latency, f"paper at {', '.join(thresholds)}", transform=place, fontsize=7, va="center")


def place(on: Simulated, error: float, seconds: float) -> tuple[float, float]:
    """Where a plan lies in figure 5."""
    return error / on.error_of(8), seconds / on.cloud_only_s


def draw_bars() -> None:
    """Figure 6."""
    figure, axis = plt.subplots(figsize=(12, 4.4), layout="constrained")
    names = [*COMPARED, "AUTO-SPLIT"]
    for i, name in enumerate(names):
        heights = [_normalised(model, COMPARED.get(name)) for model in MODELS]
        axis.bar(np.arange(len(MODELS)) + 0.2 * (i - 1.5), heights, 0.19, label=name)
    labels = [f"{model}\n{outcome(chosen(model))}\npaper: {OUTCOMES[model]}" for model in MODELS]
    axis.axhline(1, color="black", lw=0.8, ls="--", label="CLOUD-ONLY")
    axis.set_xticks(range(len(MODELS)), labels, fontsize=8)
    axis.set_ylabel("latency over CLOUD-ONLY's")
    axis.legend(fontsize=8)
    save(figure, "figure-6")


def _normalised(model: str, solver: str | None) -> float:
    on = simulated(model)
    seconds = chosen(model).objective_s if solver is None else seconds_of(on.solved(solver))
    return seconds / on.cloud_only_s


def draw_settings() -> None:
    """Figure 7."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    labels = [f"W{bits}A{bits}-T{sent}" for bits, sent in SETTINGS]
    for i, (split, name) in enumerate(((14, "split 12, end of its block"), (53, "split 53"))):
        found = [at_split(split, *setting) for setting in SETTINGS]
        places = np.arange(len(labels)) + 0.4 * (i - 0.5)
        heights = [1e3 * one.seconds for one in found], [one.memory_bytes / 2**20 for one in found]
        for axis, bars in zip(axes, heights, strict=True):
            axis.bar_label(axis.bar(places, bars, 0.38, label=name), fmt=bar_text, fontsize=7)
    ticks = {
        "ResNet-50, latency in ms": (100, 200, 500, 1000, 2000),
        "weights and activations on the edge in MiB": (0.5, 1, 2, 5, 10, 20, 50),
    }
    for axis, (title, marks) in zip(axes, ticks.items(), strict=True):
        axis.set_yscale("log")
        axis.set_ylim(marks[0] / 2, 2 * marks[-1])
        axis.set_yticks(marks, [f"{mark:g}" for mark in marks])
        axis.minorticks_off()
        axis.set_title(title, fontsize=10)
        axis.set_xticks(range(len(labels)), labels, fontsize=8)
        axis.legend(fontsize=8)
    save(figure, "figure-7")


def bar_text(height: float) -> str:
    return f"{height:.0f}" if height >= 100 else f"{height:.3g}"


def draw_sent() -> None:
    """Figure 8."""
    detectors = {
        "faster_rcnn": "Faster R-CNN",
        "faster_rcnn_late": "its pyramid at [23, 42, 52]",
        "yolov3": "YOLOv3",
    }
    figure, axis = plt.subplots(figsize=(9, 4.4), layout="constrained")
    for model, title in detectors.items():
        graph = stored_graph(model)
        sent = sent_behind(graph) @ np.array([0, *(layer.elements for layer in graph.layers)])
        axis.plot(np.arange(len(sent)) / len(sent), sent, label=title)
    image = sum(tensor.elements for tensor in graph.inputs)
    axis.axhline(image, color="black", ls="--", lw=0.8, label="the image")
    axis.axhline(4 * image, color="black", ls=":", lw=0.8, label="as many bytes at 2 bits an element")
    axis.set_yscale("log")
    axis.set_ylim(top=1e7)
    axis.set_yticks((2e5, 5e5, 1e6, 2e6, 5e6, 1e7), ("0.2", "0.5", "1", "2", "5", "10"))
    axis.minorticks_off()
    axis.set(xlabel="layers on the edge, share of all", ylabel="elements that a split sends, in millions")
    axis.legend(fontsize=8, ncols=5, loc="upper center")
    save(figure, "figure-8")


def draw_speeds() -> None:
    """Table 8."""
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    speeds = [mbps for model, mbps in PRINTED if model == "yolov3"]
    ours = [
        chosen("yolov3", float(mbps)).objective_s / simulated("yolov3", float(mbps)).cloud_only_s for mbps in speeds
    ]
    axis.plot(speeds, [PRINTED["yolov3", mbps] for mbps in speeds], "o--", label="paper")
    axis.plot(speeds, ours, "o-", label="ours, at E = D(U6)")
    axis.set_xscale("log")
    axis.set_xticks(speeds, [str(mbps) for mbps in speeds])
    axis.minorticks_off()
    axis.set(xlabel="uplink in Mbps", ylabel="latency over CLOUD-ONLY's", title="YOLOv3, AUTO-SPLIT", ylim=(0, 1.1))
    axis.legend(loc="lower right")
    save(figure, "network-speed")


def draw_trained() -> None:
    """Section 5.2 on trained networks."""
    figure, axes = plt.subplots(1, len(NETWORKS), figsize=(13, 4), layout="constrained", sharey=True)
    for axis, (model, title) in zip(axes, NETWORKS.items(), strict=True):
        draw_losses(axis, experiment(model))
        axis.set(title=title, xlabel="accuracy lost in percent of all samples")
    axes[0].set_ylabel("latency over CLOUD-ONLY's")
    axes[0].legend(fontsize=8)
    save(figure, "trained")


def draw_losses(axis: plt.Axes, found: Experiment) -> None:
    def place_of(one: Rated) -> tuple[float, float]:
        return 100 * max(found.whole - one.accuracy, 0.0), one.seconds / found.on.cloud_only_s

    axis.plot(*zip(*map(place_of, found.answers), strict=True), ".", label="AUTO-SPLIT, all E")
    drops = np.linspace(0, 1, 1001)
    kept = [found.fastest(drop).seconds / found.on.cloud_only_s for drop in drops]
    axis.step(100 * drops, kept, where="post", label="the fastest that loses no more")
    for name, solver in TRAINED_METHODS.items():
        point = place_of(found.of_method(solver))
        axis.plot(*point, "kx")
        axis.annotate(name, point, xytext=ASIDE.get(name, (5, 5)), textcoords="offset points", fontsize=8)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xticks((0, 1, 2, 5, 10, 20, 50, 100), ("0", "1", "2", "5", "10", "20", "50", "100"))
    axis.set_yscale("log")
    axis.set_yticks((0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1), ("1%", "2%", "5%", "10%", "20%", "50%", "100%"))
    axis.minorticks_off()
    axis.set(xlim=(-0.15, 180), ylim=(0.004, 1.5))


def save(figure: plt.Figure, name: str) -> None:
    figure.savefig(PLOTS / f"{name}.png", dpi=100)
    plt.close(figure)


if __name__ == "__main__":
    main()

"""The demo's report."""

from pathlib import Path

from tiersplit_cli.explain.report import (
    BandwidthPoint,
    DemoReport,
    LatencyLine,
    LatencyPoint,
    MoveRow,
    PlanBand,
    write_demo_report,
)


def report(**changes: object) -> DemoReport:
    points = tuple(LatencyPoint(at, 0.02 + at / 1000) for at in range(10))
    gap = tuple(LatencyPoint(at, None if at > 5 else 0.05) for at in range(10))
    values: dict[str, object] = {
        "title": "a <title>",
        "subtitle": "one model over two tiers",
        "facts": {"machine": "2 cores"},
        "tiers": ("edge", "cloud"),
        "bandwidth": (BandwidthPoint(0, {"edge:cloud": 5e7}), BandwidthPoint(5, {"edge:cloud": 0.0})),
        "plans": (PlanBand(0, 5, "cloud only"), PlanBand(5, 9, "edge only", "the link is down")),
        "requests": points,
        "lines": (LatencyLine("cloud-only", gap, None, 0.6), LatencyLine("oracle", points, 0.024)),
        "moves": (MoveRow(5, "cloud only", "edge only", "the link edge:cloud is down", 0.01),),
        "mean_s": 0.0245,
        "accuracy": 0.981,
        "whole_accuracy": 0.981,
        "sent": 10,
        "lost": 0,
        "wrong": 0,
    }
    return DemoReport(**(values | changes))  # type: ignore[arg-type]


def test_the_report_shows_every_number_and_move_and_escapes_text(tmp_path: Path) -> None:
    write_demo_report(tmp_path / "deep" / "report.html", report())
    page = (tmp_path / "deep" / "report.html").read_text()
    for expected in ("a &lt;title&gt;", "10 of 10", "24.5 ms", "98.10%", "the link edge:cloud is down", "cloud-only"):
        assert expected in page
    assert "src=" not in page


def test_a_run_without_moves_and_without_baselines_still_has_a_report(tmp_path: Path) -> None:
    write_demo_report(tmp_path / "report.html", report(moves=(), lines=(), lost=1, requests=(LatencyPoint(1, None),)))
    assert "The plan never changed." in (tmp_path / "report.html").read_text()

"""The explanation's numbers against brute force, and its files."""

import itertools
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiersplit_cli.explain.costs import Costs
from tiersplit_cli.explain.neighbours import neighbours_of
from tiersplit_cli.explain.reason import explain_problem, plan_line
from tiersplit_cli.explain.sweep import PlanLine, sweep_link, with_bandwidth
from tiersplit_cli.explain.why_page import explanation_to_json, write_html, write_png
from tiersplit_cli.explain.words import plan_label, sentences
from tiersplit_cli.main import main
from tiersplit_core.cost.arrays import Ints, arrays_of
from tiersplit_core.cost.latency import objective_s
from tiersplit_core.planning.guidelines import ModelFacts
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Objective, Problem, ProblemLayer, Serving, Tier
from tiersplit_core.planning.problem_json import problem_to_json

NAMES = ("edge", "mdc", "cloud")


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Small random graphs over two or three tiers."""
    tiers = draw(st.integers(2, 3))
    layers = []
    for i in range(draw(st.integers(1, 6))):
        before = ["input", *(f"l{j}" for j in range(i))]
        inputs = draw(st.lists(st.sampled_from(before), min_size=1, max_size=3, unique=True))
        seconds = {name: draw(st.floats(0, 1)) for name in NAMES[:tiers]}
        layers.append(ProblemLayer(f"l{i}", tuple(inputs), draw(st.integers(0, 10**6)), 8, seconds))
    links = tuple(
        Link(NAMES[i], NAMES[i + 1], draw(st.floats(1e4, 1e9)), draw(st.floats(0, 0.1))) for i in range(tiers - 1)
    )
    objective = draw(st.sampled_from(Objective))
    # What is explained of the largest of all seconds leaves serving aside where it divides the rest.
    spent = st.builds(Serving, *[st.floats(0, 0.1), st.floats(0, 1e-7)] * 2, st.floats(0, 1e-7))
    serving = spent if objective is Objective.LATENCY else st.just(Serving())
    return Problem(
        layers=tuple(layers),
        outputs=(layers[-1].name,),
        input_bytes=draw(st.integers(0, 10**6)),
        tiers=tuple(Tier(name, serving=draw(serving)) for name in NAMES[:tiers]),
        links=links,
        objective=objective,
        result_tier=draw(st.sampled_from((None, "edge"))),
    )


def chain(objective: Objective = Objective.LATENCY) -> Problem:
    """A chain whose best plan divides it: heavy layers behind a narrow tensor."""
    sizes, heavy = (400_000, 20_000, 15_000, 4_000), (0.01, 0.02, 0.3, 0.2)
    layers = tuple(
        ProblemLayer(f"c{i}", (f"c{i - 1}" if i else "input",), size, 8, {"edge": s, "mdc": s / 4, "cloud": s / 40})
        for i, (size, s) in enumerate(zip(sizes, heavy, strict=True))
    )
    links = (Link("edge", "mdc", 1e7, 0.005), Link("mdc", "cloud", 1e8, 0.01))
    return Problem(layers, ("c3",), 600_000, tuple(map(Tier, NAMES)), links, objective, result_tier="edge")


def best_tiers(problem: Problem) -> Ints:
    return np.array(best_line(problem).tiers)


def best_line(problem: Problem) -> PlanLine:
    plan = solve(problem, "auto").plan
    assert plan is not None
    return plan_line(problem, plan)


@given(problems())
@settings(max_examples=80, deadline=None)
def test_each_split_point_has_the_best_division_of_the_rest(problem: Problem) -> None:
    arrays = arrays_of(problem)
    count, tiers = arrays.layers, arrays.tiers
    for split in Costs(arrays).split_points():
        ends = itertools.combinations_with_replacement(range(split.position, count + 1), tiers - 2)
        every = [np.searchsorted([split.position, *end], np.arange(count), side="right") for end in ends]
        assert split.objective_s == pytest.approx(min(objective_s(arrays, choice) for choice in every), rel=1e-9)


@given(problems())
@settings(max_examples=40, deadline=None)
def test_the_parts_of_a_split_add_up_to_its_latency(problem: Problem) -> None:
    for split in Costs(arrays_of(problem)).split_points():
        seconds = [piece.seconds for piece in split.pieces]
        if problem.objective is Objective.LATENCY:
            assert sum(seconds) == pytest.approx(split.objective_s, rel=1e-9, abs=1e-15)
        elif problem.result_tier is None:
            assert max(seconds, default=0.0) == pytest.approx(split.objective_s, rel=1e-9, abs=1e-15)


@given(problems(), st.floats(-2.9, 2.9))
@settings(max_examples=60, deadline=None)
def test_the_sweep_names_the_best_plan_at_any_bandwidth(problem: Problem, exponent: float) -> None:
    latency = replace(problem, objective=Objective.LATENCY)
    now = latency.links[0].bandwidth_bps
    sweep = sweep_link(latency, 0, now / 1000, now * 1000, best_line)
    bandwidth = now * 10**exponent
    there = with_bandwidth(latency, 0, bandwidth)
    named = next(interval for interval in sweep.intervals if bandwidth <= interval.high_bps)
    expected = solve(there, "exhaustive").objective_s
    assert objective_s(arrays_of(there), np.array(named.line.tiers)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_two_plans_are_equally_good_at_a_breakpoint() -> None:
    problem = chain()
    sweep = sweep_link(problem, 0, 1e4, 1e10, best_line)
    assert len(sweep.breakpoints_bps) >= 2
    for below, above in itertools.pairwise(sweep.intervals):
        there = arrays_of(with_bandwidth(problem, 0, below.high_bps))
        left, right = (objective_s(there, np.array(interval.line.tiers)) for interval in (below, above))
        assert left == pytest.approx(right, rel=1e-9)


@given(problems())
@settings(max_examples=40, deadline=None)
def test_no_neighbour_of_the_best_plan_is_better_and_all_are_legal(problem: Problem) -> None:
    arrays, tiers = arrays_of(problem), best_tiers(problem)
    for other in neighbours_of(Costs(arrays), tiers):
        assert other.extra_s >= -1e-9
        place = dict(zip((layer.name for layer in problem.layers), other.cost.tiers, strict=True)) | {"input": 0}
        assert all(place[name] <= place[layer.name] for layer in problem.layers for name in layer.inputs)


@pytest.mark.parametrize("objective", Objective)
def test_the_words_name_the_plan_its_neighbours_and_the_bandwidths(objective: Objective) -> None:
    explanation = explain_problem(chain(objective), 2.0)
    words = " ".join(sentences(explanation))
    assert plan_label(explanation.arrays.problem, explanation.key).split()[0] in words
    assert "Not " in words
    assert "edge:mdc is at 10 Mbps" in words
    assert "would change" in words


def test_guidelines_stand_beside_what_the_plan_does() -> None:
    explanation = explain_problem(chain(), 2.0)
    words = sentences(explanation)
    assert any("AUTO-SPLIT's guideline" in sentence and "edge-only is likely best" in sentence for sentence in words)
    assert explanation_to_json(explanation)["guidelines"][0]["outcome"] == "edge-only"
    large = replace(explanation, facts=ModelFacts(10**9, 10, (1,), 640))
    assert "640 pixels" in sentences(large)[-1]


def test_the_files_are_whole_and_need_nothing_else(tmp_path: Path) -> None:
    explanation = explain_problem(chain(), 2.0)
    write_html(tmp_path / "why.html", explanation)
    write_png(tmp_path / "why.png", explanation)
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["why.html", "why.png"]
    page = (tmp_path / "why.html").read_text()
    assert not fetched(page)
    assert page.count("<svg") == 4


def test_the_numbers_are_plain_json() -> None:
    answer = json.loads(json.dumps(explanation_to_json(explain_problem(chain(), 2.0))))
    assert answer["plan"]["status"] == "optimal"
    assert len(answer["split_points"]) == 5
    assert min(split["objective_s"] for split in answer["split_points"]) == pytest.approx(answer["plan"]["objective_s"])
    assert [entry["from"] for entry in answer["bandwidth"]] == ["edge", "mdc"]


def fetched(page: str) -> list[str]:
    """What a browser would load from elsewhere."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                local = value is None or value.startswith(("#", "data:"))
                if (name in {"src", "href", "xlink:href"} and not local) or tag in {"script", "link", "iframe"}:
                    found.append(f"{tag} {name}={value}")

    Reader().feed(page)
    return found


def test_the_command_writes_files_and_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("problem.json").write_text(json.dumps(problem_to_json(chain())))
    monkeypatch.setattr("sys.argv", ["tiersplit", "explain", "--problem", "problem.json", "-o", "json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    answer = json.loads(capsys.readouterr().out)
    assert not stopped.value.code
    assert answer["files"] == {"png": "explain.png", "html": "explain.html"}
    assert Path("explain.png").exists()
    assert answer["label"] in Path("explain.html").read_text()

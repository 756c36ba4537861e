from pathlib import Path

import numpy as np
import pytest

from examples.digits.camera import Answer, KnownPictures
from examples.digits.compare import Way, adapted, fixed_ways, oracle
from examples.digits.deployment import Decision, PlanInfo, decisions_of, plans_of
from examples.digits.play import Played
from examples.digits.report import comparison_table, report_of, write_report
from examples.digits.store import Training
from examples.digits.story import Served, Story, served, summary
from examples.digits.trace import steps_of

TIERS = ("edge", "mdc", "cloud")
STEPS = steps_of(10, (50, 0))
PLANS = (PlanInfo("e", {"edge": 4, "mdc": 0, "cloud": 0}), PlanInfo("c", {"edge": 0, "mdc": 1, "cloud": 3}))
SEEN = {"e": {50e6: [0.15]}, "c": {50e6: [0.04]}}
EYE = np.eye(10, dtype=np.float32)
PICTURES = KnownPictures(np.zeros((10, 3, 96, 96), np.uint8), np.arange(10), EYE)


def answer(number: int, plan: str, latency_s: float | None = 0.1, *, same: bool = True) -> Answer:
    return Answer(number, float(number), latency_s, plan, right=True, same=same)


def story(answers: list[Answer]) -> Story:
    played = (Played(STEPS[0], 0.0, tuple(answers[:10])), Played(STEPS[1], 10.0, tuple(answers[10:])))
    ways = tuple(fixed_ways(PLANS, SEEN, STEPS, TIERS))
    return Story(
        tiers=TIERS,
        training=Training("k", 0.99, 10, 100, 1.0),
        pictures=PICTURES,
        plans=PLANS,
        played=played,
        decisions=(
            Decision(-1.0, "c", "first plan"),
            Decision(10.5, "e", "link 1 is down"),
            Decision(30, "e", "later"),
        ),
        answers=tuple(answers),
        way=adapted([each.answers for each in played], STEPS),
        fixed=ways,
        oracle=oracle(ways, STEPS),
        facts={"model": "small"},
    )


GOOD = [answer(i, "c" if i < 11 else "e") for i in range(20)]


def test_plans_that_served_come_one_after_the_other() -> None:
    assert served(GOOD) == (Served("c", 0.0, 11.0), Served("e", 11.0, 19.0))
    assert served([]) == ()


def test_the_summary_counts_every_request() -> None:
    answers = [*GOOD[:17], answer(17, "", None), answer(18, "e", same=False), answer(18, "e")]
    counts = summary(story(answers))["requests"]
    assert counts == {"sent": 20, "answered": 19, "lost": 1, "duplicate": 1, "wrong": 1, "troubles": [""]}


def test_the_summary_says_which_plan_each_step_ended_with() -> None:
    steps = summary(story(GOOD))["steps"]
    assert [(step["bandwidth_bps"], step["split"]) for step in steps] == [(50e6, "mdc 1 | cloud 3"), (0.0, "edge 4")]
    assert steps[0]["p50_s"] == pytest.approx(0.1)


def test_the_report_has_a_move_with_its_reason_and_how_long_it_took() -> None:
    (move,) = report_of(story(GOOD)).moves
    assert (move.source, move.target, move.reason) == ("mdc 1 | cloud 3", "edge 4", "link 1 is down")
    assert move.seconds == pytest.approx(0.5), "the link changed at 10 s, and the controller decided at 10.5 s"


def test_the_report_compares_with_both_ends_the_best_split_and_the_oracle() -> None:
    assert [line.name for line in report_of(story(GOOD)).lines] == ["oracle", "edge-only", "best fixed split"]


def test_the_report_is_one_page(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", story(GOOD))
    assert "mdc 1 | cloud 3" in (tmp_path / "report.html").read_text()


def test_a_way_that_cannot_answer_has_no_number_in_the_table() -> None:
    table = comparison_table(story(GOOD))
    assert "no answer" in list(table.columns[2].cells)


def test_plans_and_decisions_are_read_from_the_status() -> None:
    status = {
        "plans": [{"digest": "sha256:1", "layers": {"edge": 1, "mdc": 0, "cloud": 2}, "expected_s": 0.1}],
        "history": [
            {"at": 105.0, "plan": "b", "reason": "r", "verdict": "fallback"},
            {"at": 101.0, "plan": "a", "reason": "s", "verdict": "move"},
            {"at": 103.0, "plan": "a", "reason": "t", "verdict": "keep"},
        ],
    }
    (plan,) = plans_of(status, TIERS)
    assert plan.label == "edge 1 | cloud 2"
    assert not plan.only_on("cloud")
    assert decisions_of(status, 100.0) == (Decision(1.0, "a", "s"), Decision(5.0, "b", "r"))


def test_ways_are_plain_values() -> None:
    assert Way("x", (1.0,), 1.0).served == 1

"""What people are told in events."""

from dataclasses import replace

import pytest

from tests.support.operator_facts import NOW, PLAN, facts, given
from tiersplit_operator.announcements import occurrences


def item(kind, status, reason, message=""):
    return {"type": kind, "status": status, "reason": reason, "message": message}


CASES = {
    "the first look": (None, item("Imported", "False", "Waiting"), None),
    "a step begins": (item("Imported", "False", "Waiting"), item("Imported", "False", "Running"), ("Running", False)),
    "a step is done": (item("Imported", "False", "Running"), item("Imported", "True", "Imported"), ("Imported", False)),
    "a step fails": (item("Imported", "False", "Running"), item("Imported", "False", "JobFailed"), ("JobFailed", True)),
    "other words": (item("Ready", "True", "Serving", "a"), item("Ready", "True", "Serving", "b"), None),
    "blind": (
        item("Fallback", "False", "Observing"),
        item("Fallback", "True", "ObservationsMissing"),
        ("ObservationsMissing", True),
    ),
    "paused": (item("Paused", "False", "Auto"), item("Paused", "True", "Paused"), ("Paused", False)),
    "a rollout": (item("Reconciling", "True", "Progressing"), item("Reconciling", "False", "Applied"), None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_of_a_condition_is_told_once(case):
    before, after, expected = CASES[case]
    body = given()
    body["status"] = {"conditions": [before] if before else []}
    found = list(occurrences(facts(body), {"conditions": [after]}))
    assert [(told.reason, told.warning) for told in found] == ([expected] if expected else [])


def test_every_move_is_told_once_oldest_first():
    known = {"time": "2026-05-01T12:00:00Z", "plan": PLAN, "reason": "start"}
    moves = [{**known, "time": f"2026-05-01T12:0{i}:00Z", "reason": f"move {i}"} for i in (2, 1)]
    body = given()
    body["status"] = {"conditions": [], "history": [known]}
    found = list(occurrences(replace(facts(body), now=NOW), {"conditions": [], "history": [*moves, known]}))
    assert [told.message.split(": ")[-1] for told in found] == ["move 1", "move 2"]
    assert {told.reason for told in found} == {"Moved"}

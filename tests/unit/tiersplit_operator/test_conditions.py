"""Conditions change through marks alone."""

from datetime import UTC, datetime, timedelta

from tiersplit_operator import conditions
from tiersplit_operator.conditions import TYPES, Conditions, format_time, parse_time

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOW = BEFORE + timedelta(hours=1)


def read(*items, generation=2):
    return Conditions.read({"conditions": list(items)}, generation, NOW)


def item(**fields):
    about = {"type": "Ready", "status": "True", "reason": "Serving", "message": "", "observedGeneration": 1}
    return {**about, "lastTransitionTime": format_time(BEFORE), **fields}


def test_the_time_changes_with_the_status_and_with_nothing_else():
    kept = read(item()).marked([conditions.ready("another message")]).get("Ready")
    assert (kept.last_transition_time, kept.message, kept.observed_generation) == (BEFORE, "another message", 2)
    turned = read(item()).marked([conditions.not_ready("Crashing", "")]).get("Ready")
    assert turned.last_transition_time == NOW


def test_all_own_conditions_are_always_sent_in_one_order_and_none_of_others():
    found = read(item(), item(type="TheirOwn")).to_json()
    assert [entry["type"] for entry in found] == list(TYPES)
    assert all(entry["lastTransitionTime"] for entry in found)


def test_a_message_is_cut_to_what_the_definition_allows():
    assert len(read().marked([conditions.ready("x" * 5000)]).get("Ready").message) == 1024


def test_what_is_no_condition_is_passed_over():
    found = Conditions.read({"conditions": ["text", {"type": 3}, {"type": "Ready"}]}, 1, NOW)
    assert found.get("Ready").status == "Unknown"


def test_times_are_read_as_kubernetes_writes_them():
    assert parse_time("2026-01-01T00:00:00Z") == BEFORE
    assert parse_time(format_time(BEFORE)) == BEFORE
    assert parse_time(None) is None
    assert parse_time("yesterday") is None

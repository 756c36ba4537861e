"""What people are told in events: every change of a condition that they would ask about, and every move."""

from collections.abc import Iterator, Mapping
from typing import Any

from tiersplit_operator.conditions import (
    ACCURACY_MET,
    FALLBACK,
    FALSE,
    IMPORTED,
    PAUSED,
    PLANNED,
    PROFILED,
    READY,
    STALLED,
    TRUE,
)
from tiersplit_operator.decide.progress import Occurrence
from tiersplit_operator.facts import Facts

_TOLD = (READY, IMPORTED, PROFILED, PLANNED, ACCURACY_MET, FALLBACK, PAUSED, STALLED)
_UNDER_WAY = {
    "Waiting",
    "Running",
    "Planning",
    "StagesStarting",
    "Progressing",
    "Observing",
    "Auto",
    "NoValidationData",
}
_BAD_WHEN_TRUE = {FALLBACK, STALLED}


def occurrences(facts: Facts, status: Mapping[str, Any]) -> Iterator[Occurrence]:
    """What changed between the status that stands and the one that follows."""
    before = {item.get("type"): item for item in facts.status.get("conditions") or ()}
    for item in status["conditions"]:
        if item["type"] in _TOLD and _changed(before.get(item["type"]), item):
            yield Occurrence(item["reason"], _words(item), _is_bad(item))
    yield from _moves(facts, status)


def _changed(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    if before is None:
        return after["reason"] not in _UNDER_WAY
    known = (before.get("status"), before.get("reason"))
    told_before = before.get("reason") not in _UNDER_WAY or after["reason"] != "Waiting"
    return known != (after["status"], after["reason"]) and told_before


def _words(item: Mapping[str, Any]) -> str:
    return f"{item['type']} is {item['status']}{': ' + item['message'] if item['message'] else ''}"


def _is_bad(item: Mapping[str, Any]) -> bool:
    if item["type"] in _BAD_WHEN_TRUE:
        return bool(item["status"] == TRUE)
    return bool(item["status"] == FALSE) and item["type"] != PAUSED and item["reason"] not in _UNDER_WAY


def _moves(facts: Facts, status: Mapping[str, Any]) -> Iterator[Occurrence]:
    known = {(entry.get("time"), entry.get("plan"), entry.get("reason")) for entry in facts.status.get("history") or ()}
    for entry in reversed(status.get("history") or ()):
        if (entry["time"], entry.get("plan"), entry["reason"]) not in known:
            plan = f"to {entry['plan'][:19]}: " if entry.get("plan") else ""
            yield Occurrence("Moved", f"{plan}{entry['reason']}")

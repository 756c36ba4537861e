"""Conditions: changed by the named markers below and by nothing else.

A marker says what was found out; `Conditions` keeps when that last changed. `Reconciling` and `Stalled` are kstatus's:
they are True only while they say something.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

READY, IMPORTED, PROFILED, PLANNED = "Ready", "Imported", "Profiled", "Planned"
ACCURACY_MET, FALLBACK, PAUSED = "AccuracyMet", "Fallback", "Paused"
RECONCILING, STALLED = "Reconciling", "Stalled"
TYPES = (READY, IMPORTED, PROFILED, PLANNED, ACCURACY_MET, FALLBACK, PAUSED, RECONCILING, STALLED)
TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
MAX_MESSAGE = 1024


class Mark(NamedTuple):
    """What a marker says.

    Attributes:
        type: the condition.
        status: True, False or Unknown.
        reason: one word for programs.
        message: a sentence for people: what is wrong and what to write.
        stalled: nothing will change until somebody acts.
    """

    type: str
    status: str
    reason: str
    message: str = ""
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as it stands in the status."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: datetime

    def to_json(self) -> dict[str, Any]:
        """As the API has it."""
        return {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": self.observed_generation,
            "lastTransitionTime": format_time(self.last_transition_time),
        }


class Conditions:
    """All own conditions of a resource.

    Args:
        found: the conditions as they stand, by type.
        generation: the generation that markers speak of.
        now: the time.
    """

    def __init__(self, found: Mapping[str, Condition], generation: int, now: datetime) -> None:
        self._found, self._generation, self._now = dict(found), generation, now

    @classmethod
    def read(cls, status: Mapping[str, Any], generation: int, now: datetime) -> "Conditions":
        """Own conditions of a status; those of others, and what is no condition, are left alone."""
        found = {}
        for item in status.get("conditions") or ():
            if isinstance(item, Mapping) and item.get("type") in TYPES:
                found[str(item["type"])] = _condition(item, now)
        return cls(found, generation, now)

    def get(self, kind: str) -> Condition | None:
        """The condition of that type."""
        return self._found.get(kind)

    def marked(self, marks: Iterable[Mark]) -> "Conditions":
        """With these marks; the time of a condition changes with its status alone."""
        found = dict(self._found)
        for mark in marks:
            found[mark.type] = self._after(found.get(mark.type), mark)
        return Conditions(found, self._generation, self._now)

    def _after(self, before: Condition | None, mark: Mark) -> Condition:
        kept = before is not None and before.status == mark.status
        since = before.last_transition_time if before is not None and kept else self._now
        message = mark.message[:MAX_MESSAGE]
        return Condition(mark.type, mark.status, mark.reason, message, self._generation, since)

    def to_json(self) -> list[dict[str, Any]]:
        """All of them, in one order: those left out of an apply would be removed."""
        filled = self.marked(
            Mark(kind, UNKNOWN, "Waiting", "not looked at yet") for kind in TYPES if kind not in self._found
        )
        return [filled._found[kind].to_json() for kind in TYPES]


def _condition(item: Mapping[str, Any], now: datetime) -> Condition:
    return Condition(
        type=str(item["type"]),
        status=str(item.get("status", UNKNOWN)),
        reason=str(item.get("reason", "")),
        message=str(item.get("message", "")),
        observed_generation=int(item.get("observedGeneration") or 0),
        last_transition_time=parse_time(item.get("lastTransitionTime")) or now,
    )


def parse_time(text: object) -> datetime | None:
    """A Kubernetes time; None where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def format_time(time: datetime) -> str:
    """A Kubernetes time, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# The model


def imported() -> Mark:
    """The model's bundle is in the registry."""
    return Mark(IMPORTED, TRUE, "Imported", "the bundle is in the registry")


def bundle_given() -> Mark:
    """The manifest names a bundle, and it is there."""
    return Mark(IMPORTED, TRUE, "BundleGiven", "spec.model.source.bundle is in the registry")


def bundle_missing(reference: str) -> Mark:
    """The manifest names a bundle that is not there."""
    message = f"spec.model.source.bundle: {reference} is not in the registry; push it with `tiersplit import --push`"
    return Mark(IMPORTED, FALSE, "BundleMissing", message)


def no_bundle(reference: str) -> Mark:
    """The manifest names something that is no bundle."""
    message = f"spec.model.source.bundle: {reference} is no bundle; write one that `tiersplit import --push` made"
    return Mark(IMPORTED, FALSE, "NoBundle", message, stalled=True)


def registry_unreachable(message: str) -> Mark:
    """The registry does not answer."""
    return Mark(IMPORTED, UNKNOWN, "RegistryUnreachable", f"the registry does not answer: {message}")


def waits_for(kind: str, what: str) -> Mark:
    """A step that cannot begin yet."""
    return Mark(kind, FALSE, "Waiting", f"waits for {what}")


def job_running(kind: str, job: str, detail: str) -> Mark:
    """A Job works on the step."""
    return Mark(kind, FALSE, "Running", f"Job {job} runs{': ' + detail if detail else ''}")


def job_blocked(kind: str, reason: str, message: str) -> Mark:
    """A Job cannot run as the cluster is: no node, no image, no quota. It goes on by itself when that ends."""
    return Mark(kind, FALSE, reason, message)


def job_failed(kind: str, message: str) -> Mark:
    """A Job failed for good."""
    return Mark(kind, FALSE, "JobFailed", message, stalled=True)


# Profiles and plans


def profiled(tiers: Sequence[str]) -> Mark:
    """Every tier was measured."""
    return Mark(PROFILED, TRUE, "Profiled", f"measured: {', '.join(tiers)}")


def planning(detail: str) -> Mark:
    """Planning is under way."""
    return Mark(PLANNED, FALSE, "Planning", detail)


def planned(plans: int, rounds: int, off: float) -> Mark:
    """The surface is made, and every segment of it is cut."""
    message = f"{plans} plans; estimate and measurement {off:.0%} apart after {rounds} rounds"
    return Mark(PLANNED, TRUE, "Planned", message)


def infeasible(constraint: str) -> Mark:
    """No plan satisfies the constraints."""
    advice = "give the tier more memory, more tiers, or a smaller model"
    return Mark(PLANNED, FALSE, "Infeasible", f"{constraint}; {advice}", stalled=True)


def planning_failed(message: str) -> Mark:
    """Planning failed; it is tried again."""
    return Mark(PLANNED, FALSE, "PlanningFailed", message)


# Accuracy


def accuracy_unknown(hint: str) -> Mark:
    """There is nothing to verify with: only lossless plans serve; `hint` says what to write."""
    message = "; ".join(filter(None, ("only lossless plans serve", hint)))
    return Mark(ACCURACY_MET, UNKNOWN, "NoValidationData", message)


def accuracy_pending(unrated: int) -> Mark:
    """The plans are not verified yet; `unrated` are being measured."""
    message = f"{unrated} plans are measured on the validation data" if unrated else "waits for plans"
    return Mark(ACCURACY_MET, UNKNOWN, "Waiting", message)


def accuracy_met(message: str) -> Mark:
    """Every plan keeps what was asked for."""
    return Mark(ACCURACY_MET, TRUE, "Verified", message)


def accuracy_missed(message: str) -> Mark:
    """The model itself is below what was asked for."""
    return Mark(ACCURACY_MET, FALSE, "BelowMinimum", message, stalled=True)


# Serving


def fallback_off() -> Mark:
    """Observations are used."""
    return Mark(FALLBACK, FALSE, "Observing", "")


def fallback_on(message: str) -> Mark:
    """Observations cannot be used."""
    return Mark(FALLBACK, TRUE, "ObservationsMissing", message)


def running_by_itself() -> Mark:
    """adaptation.mode is Auto."""
    return Mark(PAUSED, FALSE, "Auto", "")


def recommending(recommendation: str) -> Mark:
    """adaptation.mode is Recommend."""
    return Mark(PAUSED, TRUE, "Recommend", recommendation or "nothing better is known")


def paused() -> Mark:
    """adaptation.mode is Paused."""
    return Mark(PAUSED, TRUE, "Paused", "spec.adaptation.mode is Paused: the plan stays")


def pinned(plan: str) -> Mark:
    """A plan is pinned, and serves or is about to."""
    return Mark(PAUSED, TRUE, "Pinned", f"pinned to {plan}")


def pin_fails(reason: str, message: str) -> Mark:
    """A plan is pinned and does not serve."""
    return Mark(PAUSED, TRUE, reason, message)


# All together


def invalid(message: str) -> tuple[Mark, ...]:
    """The manifest cannot be followed."""
    return (Mark(READY, FALSE, "InvalidSpec", message, stalled=True),)


def ready(message: str) -> Mark:
    """Requests are answered."""
    return Mark(READY, TRUE, "Serving", message)


def not_ready(reason: str, message: str) -> Mark:
    """Requests are not answered."""
    return Mark(READY, FALSE, reason, message)


def reconciling(message: str) -> Mark:
    """A generation that is not applied yet rolls out."""
    return Mark(RECONCILING, TRUE, "Progressing", message)


def reconciled() -> Mark:
    """The present generation is applied."""
    return Mark(RECONCILING, FALSE, "Applied", "")


def stalled(cause: Mark) -> Mark:
    """Nothing will change until somebody acts."""
    return Mark(STALLED, TRUE, cause.reason, cause.message)


def rejected(message: str) -> Mark:
    """The API server refuses a child."""
    return Mark(STALLED, TRUE, "Rejected", message, stalled=True)


def not_stalled() -> Mark:
    """Nobody needs to act."""
    return Mark(STALLED, FALSE, "Progressing", "")


def as_ready(cause: Mark) -> Mark:
    """Not ready for the reason that another condition has."""
    return Mark(READY, FALSE, cause.reason, cause.message, cause.stalled)

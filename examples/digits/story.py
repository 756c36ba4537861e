"""What a run came to: the summary as plain values, and the report's timeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from examples.digits.camera import Answer, KnownPictures, latencies
from examples.digits.compare import Way
from examples.digits.deployment import Decision, PlanInfo
from examples.digits.play import Played
from examples.digits.store import Training
from examples.digits.trace import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that was seen.

    Attributes:
        tiers: the tiers' names in order.
        training: what the training came to.
        pictures: what was sent.
        plans: the surface.
        played: the trace as it went.
        decisions: the controller's history while the trace was played, oldest first.
        answers: every picture that was sent to the adapting deployment.
        way: the adapting deployment on the trace.
        fixed: every fixed plan on the trace, the best first.
        oracle: who knows the bandwidth.
        facts: what else is worth knowing, for people.
    """

    tiers: tuple[str, ...]
    training: Training
    pictures: KnownPictures
    plans: tuple[PlanInfo, ...]
    played: tuple[Played, ...]
    decisions: tuple[Decision, ...]
    answers: tuple[Answer, ...]
    way: Way
    fixed: tuple[Way, ...]
    oracle: Way
    facts: Mapping[str, str]

    def label(self, digest: str) -> str:
        """A plan as people read it."""
        return next((plan.label for plan in self.plans if plan.digest == digest), digest[:15])

    @property
    def answered(self) -> tuple[Answer, ...]:
        """The pictures that were answered."""
        return tuple(answer for answer in self.answers if answer.latency_s is not None)

    @property
    def accuracy(self) -> float:
        """Share of the answers that are right."""
        return float(np.mean([answer.right for answer in self.answered])) if self.answered else 0.0

    @property
    def whole_accuracy(self) -> float:
        """Share of right answers of the undivided network on the very same pictures."""
        right = self.pictures.logits.argmax(1) == self.pictures.y
        return float(np.mean([right[answer.number % len(right)] for answer in self.answered])) if self.answered else 0.0

    @property
    def moves(self) -> int:
        """How often the plan changed."""
        return len(served(self.answers)) - 1


@dataclass(frozen=True, slots=True)
class Served:
    """A plan that answered all pictures due from `start_s` to `end_s`."""

    plan: str
    start_s: float
    end_s: float


def served(answers: Sequence[Answer]) -> tuple[Served, ...]:
    """Which plan answered when: one entry per change."""
    ordered = sorted((answer for answer in answers if answer.plan), key=lambda answer: answer.due_s)
    groups = [(plan, list(group)) for plan, group in groupby(ordered, key=lambda answer: answer.plan)]
    starts = [group[0].due_s for _, group in groups]
    ends = [*starts[1:], groups[-1][1][-1].due_s] if groups else []
    return tuple(Served(plan, start, end) for (plan, _), start, end in zip(groups, starts, ends, strict=True))


def summary(story: Story) -> dict[str, Any]:
    """The run as plain JSON values."""
    return {
        "name": "digits",
        "tiers": list(story.tiers),
        "training": {"accuracy": story.training.accuracy, "seconds": story.training.seconds},
        "plans": [{"digest": plan.digest, "layers": dict(plan.layers)} for plan in story.plans],
        "steps": [_step(story, played) for played in story.played],
        "comparison": [_way(way) for way in (story.way, story.oracle, *story.fixed)],
        "patience_s": PATIENCE_S,
        "moves": story.moves,
        "requests": _requests(story),
        "accuracy": {"split": story.accuracy, "whole": story.whole_accuracy},
        "decisions": [{"plan": story.label(entry.plan), "reason": entry.reason} for entry in story.decisions],
    }


def _step(story: Story, played: Played) -> dict[str, Any]:
    seconds = latencies(played.answers)
    p50, p95, p99 = (float(value) for value in np.percentile(seconds, (50, 95, 99))) if seconds else (None,) * 3
    return {
        "bandwidth_bps": played.step.bandwidth_bps,
        "seconds": played.step.seconds,
        "plan": played.final_plan,
        "split": story.label(played.final_plan),
        "requests": len(played.answers),
        "mean_s": float(np.mean(seconds)) if seconds else None,
        "p50_s": p50,
        "p95_s": p95,
        "p99_s": p99,
    }


def _way(way: Way) -> dict[str, Any]:
    return {"what": way.name, "mean_s": way.mean_s, "seconds": list(way.seconds), "served": way.served}


def _requests(story: Story) -> dict[str, Any]:
    numbers = [answer.number for answer in story.answers]
    lost = [answer for answer in story.answers if answer.latency_s is None]
    return {
        "sent": len(numbers),
        "answered": len(story.answered),
        "lost": len(lost),
        "duplicate": len(numbers) - len(set(numbers)),
        "wrong": sum(not answer.same for answer in story.answered),
        "troubles": sorted({answer.trouble for answer in lost}),
    }

"""Which plan now, and why: a pure function of what is known, with the time as an argument."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tiersplit_core.units import format_seconds


class Mode(StrEnum):
    """Who moves the split: the policy, a person whom it only advises, or nobody."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    PAUSED = "Paused"


class Verdict(StrEnum):
    """What a decision does."""

    KEEP = "keep"
    MOVE = "move"
    FALLBACK = "fallback"
    RETURN = "return"
    RECOMMEND = "recommend"
    PINNED = "pinned"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Settings:
    """How eager the policy is.

    Attributes:
        mode: who moves the split.
        min_gain: smallest relative improvement that is worth a move.
        cooldown_s: shortest time between a move and the next voluntary one.
        first_tier_when_blind: without observations, fall back to the first tier instead of keeping the plan.
    """

    mode: Mode = Mode.AUTO
    min_gain: float = 0.05
    cooldown_s: float = 30.0
    first_tier_when_blind: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan of the surface under the present conditions.

    Attributes:
        cost_s: what the objective says it takes now; infinite where it cannot be served.
        reach: position of the last tier that it needs; 0 is edge-only.
        selectable: its stages have answered its golden request.
    """

    cost_s: float
    reach: int
    selectable: bool = True


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known at one moment.

    Attributes:
        now_s: the time, from any monotonic clock.
        plans: the surface's plans under the present conditions, by digest.
        dead_links: positions of links that carry nothing (link i joins tier i and tier i + 1).
        gone_tiers: positions of tiers none of whose stages answers.
        current: digest of the plan that serves, or None where none does.
        fell_back: the serving plan was chosen because a link or a stage was gone.
        last_move_s: when the plan last changed, on the same clock.
        pinned: digest of a plan that a person asked for.
        blind: observations have failed too often in a row.
        tiers: names of the tiers in order, for the reasons; without them positions are said.
    """

    now_s: float
    plans: Mapping[str, Candidate]
    dead_links: frozenset[int] = frozenset()
    gone_tiers: frozenset[int] = frozenset()
    current: str | None = None
    fell_back: bool = False
    last_move_s: float = -math.inf
    pinned: str | None = None
    blind: bool = False
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do.

    Attributes:
        verdict: what kind of decision it is.
        plan: digest of the plan that is to serve; None where nothing can.
        reason: why, in words.
        gain: relative improvement over the plan before; 0 where it does not apply.
        better: the plan that would be best, where it is another one than `plan`.
    """

    verdict: Verdict
    plan: str | None
    reason: str
    gain: float = 0.0
    better: str | None = None

    @property
    def changes(self) -> bool:
        """The serving plan becomes another one."""
        return self.verdict in {Verdict.MOVE, Verdict.FALLBACK, Verdict.RETURN, Verdict.PINNED, Verdict.UNAVAILABLE}


@dataclass(frozen=True, slots=True)
class _View:
    """A situation with its derived facts."""

    situation: Situation
    alive: Mapping[str, float] = field(default_factory=dict)

    @property
    def current_alive(self) -> bool:
        return self.situation.current in self.alive


def horizon(situation: Situation) -> int:
    """Position of the last tier that can be reached: no dead link before it, no tier gone up to it; −1 for none."""
    walls = list(situation.dead_links) + [tier - 1 for tier in situation.gone_tiers]
    return min(walls, default=10**6)


def decide(situation: Situation, settings: Settings) -> Decision:
    """The decision for a situation.

    A plan that a dead link or a gone tier makes unservable is left at once, whatever the cooldown says; every other
    move waits for the cooldown and needs `min_gain`. Nothing that is not selectable is ever chosen.
    """
    reachable = horizon(situation)
    alive = {
        digest: plan.cost_s
        for digest, plan in situation.plans.items()
        if plan.selectable and plan.reach <= reachable and math.isfinite(plan.cost_s)
    }
    view = _View(situation, alive)
    if not alive:
        return _unavailable(situation)
    if settings.mode is Mode.PAUSED and situation.current is not None:
        return Decision(Verdict.KEEP, situation.current, "paused")
    if not view.current_alive:
        return _leave(view)
    if situation.pinned is not None:
        return _pin(view)
    if situation.blind:
        return _without_observations(view, settings)
    return _improve(view, settings)


def _unavailable(situation: Situation) -> Decision:
    why = f"no plan can be served: {_trouble(situation) or 'none has answered its golden request'}"
    if situation.current is None:
        return Decision(Verdict.KEEP, None, why)
    return Decision(Verdict.UNAVAILABLE, None, why)


def _trouble(situation: Situation) -> str:
    names = situation.tiers
    parts = [
        f"link {':'.join(names[link : link + 2]) if names else link + 1} is down"
        for link in sorted(situation.dead_links)
    ]
    parts += [f"tier {names[tier] if names else tier + 1} is gone" for tier in sorted(situation.gone_tiers)]
    return ", ".join(parts)


def _best(view: _View) -> str:
    """The cheapest plan; on ties the one that needs fewer tiers, then the digest, so that the choice is stable."""
    plans = view.situation.plans
    return min(view.alive, key=lambda digest: (view.alive[digest], plans[digest].reach, digest))


def _leave(view: _View) -> Decision:
    situation, best = view.situation, _best(view)
    if situation.pinned in view.alive:
        return Decision(Verdict.PINNED, situation.pinned, "pinned")
    if situation.current is None and situation.fell_back:
        return Decision(Verdict.RETURN, best, f"can be served again: {format_seconds(view.alive[best])} expected")
    if situation.current is None:
        return Decision(Verdict.MOVE, best, f"first plan: {format_seconds(view.alive[best])} expected")
    why = _trouble(situation) or "the serving plan is not selectable any more"
    return Decision(Verdict.FALLBACK, best, f"{why}: {format_seconds(view.alive[best])} expected instead")


def _pin(view: _View) -> Decision:
    situation = view.situation
    if situation.current == situation.pinned:
        return Decision(Verdict.KEEP, situation.current, "pinned")
    if situation.pinned not in view.alive:
        return Decision(Verdict.KEEP, situation.current, "the pinned plan cannot be served now")
    return Decision(Verdict.PINNED, situation.pinned, "pinned")


def _without_observations(view: _View, settings: Settings) -> Decision:
    situation = view.situation
    first = [digest for digest in view.alive if situation.plans[digest].reach == 0]
    if settings.first_tier_when_blind and first and situation.current not in first:
        return Decision(Verdict.FALLBACK, min(first, key=view.alive.__getitem__), "observations fail: first tier")
    return Decision(Verdict.KEEP, situation.current, "observations fail: the last plan stays")


def _improve(view: _View, settings: Settings) -> Decision:
    situation, best = view.situation, _best(view)
    current = situation.current
    assert current is not None  # noqa: S101 - `decide` has sent this case elsewhere
    before_s, after_s = view.alive[current], view.alive[best]
    gain = 1 - after_s / before_s if before_s > 0 else 0.0
    change = f"{format_seconds(before_s)} to {format_seconds(after_s)} ({gain:.0%} better)"
    if best == current:
        return Decision(Verdict.KEEP, current, f"best plan serves: {format_seconds(before_s)} expected")
    if gain < settings.min_gain or gain <= 0:
        return Decision(Verdict.KEEP, current, f"gain below {settings.min_gain:.0%}: {change}", gain, best)
    if settings.mode is Mode.RECOMMEND:
        return Decision(Verdict.RECOMMEND, current, f"recommended: {change}", gain, best)
    waiting_s = situation.last_move_s + settings.cooldown_s - situation.now_s
    if waiting_s > 0:
        return Decision(Verdict.KEEP, current, f"cooldown for another {waiting_s:.0f} s: {change}", gain, best)
    return Decision(Verdict.RETURN if situation.fell_back else Verdict.MOVE, best, change, gain)

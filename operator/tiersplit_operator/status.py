"""The status: made from what was decided, small, and written only when there is something to say."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tiersplit_control.words import accuracy_text
from tiersplit_core.units import format_bytes, format_seconds
from tiersplit_operator.conditions import Conditions, format_time
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.facts import AdaptationView, LinkSeen, Move, StageSeen

MAX_BYTES = 16 * 1024
MAX_HISTORY = 20
MAX_REASON = 256
MAX_NODES = 8
DRIFT = 0.10
MIN_MILLISECONDS = 5
"""Latencies this close to each other are the same: small ones round to whole milliseconds."""
QUIET_S, MOVES_S = 60.0, 10.0
"""Between two writes of what only drifted, and of what heads do by themselves; in a large fleet one always moves."""
MAX_QUANTITY = 999_999_999_999_999

Tree = dict[str, Any]


def next_status(progress: Progress) -> Tree:
    """The status that says what was decided; parts that nothing is known about stay as they stand."""
    facts = progress.facts
    conditions = Conditions.read(facts.status, facts.generation, facts.now).marked(progress.marks.values())
    status: Tree = {"observedGeneration": facts.generation, "conditions": conditions.to_json()}
    kept = ("plan", "surface", "links", "estimate", "observation", "nodes", "history")
    status |= {name: facts.status[name] for name in kept if facts.status.get(name)}
    if facts.adaptation is not None:
        status |= _adapted(progress, facts.adaptation)
    return _bounded({name: part for name, part in status.items() if part not in (None, {}, [])})


def _adapted(progress: Progress, view: AdaptationView) -> Tree:
    found: Tree = {
        "surface": _surface(progress, view),
        "links": [_link(link) for link in view.links],
        "nodes": [{"plan": plan, "nodes": count} for plan, count in sorted(view.nodes.items())[:MAX_NODES]],
        "observation": _observation(progress, view),
        "history": _history(progress.facts.status.get("history") or (), view.moves),
    }
    if view.expected_s is not None:
        found["estimate"] = {"latencyMilliseconds": _milliseconds(view.expected_s)}
    if view.selected:
        found["plan"] = _plan(view, view.selected)
    return found


def _plan(view: AdaptationView, selected: str) -> Tree:
    found: Tree = {"digest": selected, "split": view.split, "stages": [_stage(stage) for stage in view.stages]}
    if view.expected_s is not None:
        found |= {"latencyMilliseconds": _milliseconds(view.expected_s), "latency": format_seconds(view.expected_s)}
    if view.accuracy is not None:
        found["accuracy"] = accuracy_text(view.accuracy)
    return found | {name: text for name, text in (("bits", view.bits), ("form", view.form)) if text}


def _stage(stage: StageSeen) -> Tree:
    sends = {"sends": format_bytes(stage.sends_bytes)} if stage.sends_bytes else {}
    return {"tier": stage.tier, "layers": stage.layers, **sends}


def _surface(progress: Progress, view: AdaptationView) -> Tree:
    found: Tree = {"plans": view.plans, "selectable": len(view.selectable)}
    if progress.target is not None:
        found["bundle"] = progress.target.artifact.reference
    return found | ({} if view.gap is None else {"gap": f"{view.gap * 100:.2f}%"})


def _link(link: LinkSeen) -> Tree:
    bandwidth = str(min(int(link.bandwidth_bps), MAX_QUANTITY))
    about = {"from": link.source, "to": link.target}
    return {**about, "bandwidth": bandwidth, "latencyMilliseconds": _milliseconds(link.latency_s)}


def _observation(progress: Progress, view: AdaptationView) -> Tree:
    if view.observed_s is None and not view.loads:
        return {}
    tiers = [{"tier": tier, "load": f"{min(load, 99_999) * 100:.0f}%"} for tier, load in view.loads.items()]
    found: Tree = {"tiers": tiers, "time": format_time(progress.facts.now)}
    return found | ({} if view.observed_s is None else {"latencyMilliseconds": _milliseconds(view.observed_s)})


def _history(known: Iterable[Mapping[str, Any]], moves: Iterable[Move]) -> list[Tree]:
    """Moves of this process and those of the ones before it, newest first."""
    found = {(entry["time"], entry.get("plan", ""), entry["reason"]): entry for entry in map(_move, moves)}
    for entry in known:
        found.setdefault((entry.get("time"), entry.get("plan", ""), entry.get("reason", "")), dict(entry))
    ordered = sorted(found.values(), key=lambda entry: str(entry.get("time", "")), reverse=True)
    return ordered[:MAX_HISTORY]


def _move(move: Move) -> Tree:
    words = f"{move.node}: {move.reason}" if move.node else move.reason
    plan = {"plan": move.plan} if move.plan else {}
    return {"time": format_time(move.at), **plan, "reason": words[:MAX_REASON]}


def _milliseconds(seconds: float) -> int:
    return round(max(seconds, 0.0) * 1000)


def _bounded(status: Tree) -> Tree:
    """The oldest moves go first where it would be too large."""
    while len(json.dumps(status)) > MAX_BYTES and status.get("history"):
        status = {**status, "history": status["history"][:-1]}
    return status


def is_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether people wait for this: a condition or the plan changed, or the spec was looked at."""
    return _headline(before) != _headline(after)


def pause_s(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Seconds between the last write and that of `after` in place of `before`, at least; None: it says the same."""
    if is_news(before, after):
        return 0.0
    if _newest(before) != _newest(after):
        return MOVES_S
    return QUIET_S if has_drifted(before, after) else None


def _newest(status: Mapping[str, Any]) -> Sequence[tuple[object, ...]]:
    """The newest move, a head's own included."""
    return [(entry.get("time"), entry.get("plan")) for entry in status.get("history") or ()][:1]


def _headline(status: Mapping[str, Any]) -> tuple[object, ...]:
    conditions = [
        (item.get("type"), item.get("status"), item.get("reason"), item.get("observedGeneration"))
        for item in status.get("conditions") or ()
    ]
    plan = (status.get("plan") or {}).get("digest")
    surface = status.get("surface") or {}
    return status.get("observedGeneration"), sorted(map(str, conditions)), plan, surface.get("bundle")


def has_drifted(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether something is worth writing once a minute: words changed, or a number by more than 10%."""
    if _words(before) != _words(after):
        return True
    return any(_apart(one, other) for one, other in _numbers(before, after))


def _words(status: Mapping[str, Any]) -> tuple[object, ...]:
    messages = {item.get("type"): item.get("message") for item in status.get("conditions") or ()}
    nodes = {entry.get("plan"): entry.get("nodes") for entry in status.get("nodes") or ()}
    surface = status.get("surface") or {}
    return messages, nodes, surface.get("plans"), surface.get("selectable"), len(status.get("history") or ())


def _numbers(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[float, float]]:
    one, other = _figures(before), _figures(after)
    return [(one.get(name, 0.0), other.get(name, 0.0)) for name in one.keys() | other.keys()]


def _figures(status: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in ("estimate", "observation"):
        found[name] = float((status.get(name) or {}).get("latencyMilliseconds") or 0)
    for link in status.get("links") or ():
        about = f"{link.get('from')}:{link.get('to')}"
        found[f"{about} bandwidth"] = float(link.get("bandwidth") or 0)
        found[f"{about} latency"] = float(link.get("latencyMilliseconds") or 0)
    for tier in (status.get("observation") or {}).get("tiers") or ():
        found[f"{tier.get('tier')} load"] = float(str(tier.get("load", "0%")).rstrip("%"))
    return found


def _apart(one: float, other: float) -> bool:
    return abs(one - other) > max(DRIFT * max(abs(one), abs(other)), MIN_MILLISECONDS)

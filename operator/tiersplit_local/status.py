"""What a run looks like from outside: one snapshot as plain JSON values, and as a few lines for people."""

import math
import os
from collections.abc import Mapping
from typing import Any

from tiersplit_control.words import accuracy_text, bits_text, form_text
from tiersplit_core.units import format_bandwidth, format_seconds
from tiersplit_local.controller import Controller
from tiersplit_local.links import EmulatedLink
from tiersplit_local.observer import round_to
from tiersplit_local.processes import Child

SHOWN_HISTORY = 50


def snapshot(
    controller: Controller,
    head: str,
    stages: Mapping[str, Child],
    metrics: Mapping[str, str],
    links: tuple[EmulatedLink, ...],
    slowdowns: Mapping[str, float],
) -> dict[str, Any]:
    """The state of a run as plain values.

    Args:
        controller: what decides.
        head: HOST:PORT that clients call.
        stages: the processes per tier name.
        metrics: addresses of the stages' Prometheus endpoints, per tier name.
        links: the emulated links, in order.
        slowdowns: how much slower than this machine each tier is.
    """
    return {
        "name": controller.intent.name,
        "head": head,
        "pid": os.getpid(),
        "state": _state(controller),
        "mode": controller.intent.policy.mode.value,
        "epoch": controller.epoch,
        "plan": controller.current,
        "active": controller.observer.head_report.active or None,
        "pinned": controller.pinned,
        "tiers": [
            {**_tier(controller, i, stages), "slowdown": slowdowns[tier.name], "metrics": metrics[tier.name]}
            for i, tier in enumerate(controller.intent.tiers)
        ],
        "links": _links(controller, links),
        "plans": _plans(controller),
        "requests": _requests(controller),
        "history": [event.to_json() for event in list(controller.history)[-SHOWN_HISTORY:]],
    }


def _state(controller: Controller) -> str:
    if controller.current is None:
        return "Unavailable" if controller.serving.is_set() else "Starting"
    return "Fallback" if controller.fell_back else "Ready"


def _tier(controller: Controller, position: int, stages: Mapping[str, Child]) -> dict[str, Any]:
    tier = controller.intent.tiers[position]
    state, child = controller.observer.stages[tier.name], stages[tier.name]
    layers = controller.catalogue.split(controller.current)[tier.name] if controller.current else 0
    return {
        "name": tier.name,
        "pid": child.pid,
        "restarts": child.restarts,
        "connected": position not in controller.observer.gone,
        "address": state.report.address,
        "memory_budget_bytes": tier.memory_bytes,
        "resident_bytes": state.report.resident_bytes,
        "resident": list(state.report.resident),
        "layers": layers,
        "load": round_to(state.load.load),
        "in_flight": state.report.in_flight,
        "queued": state.report.queued,
        "problem": state.report.problem,
    }


def _links(controller: Controller, links: tuple[EmulatedLink, ...]) -> list[dict[str, Any]]:
    found = []
    for emulated, estimate in zip(links, controller.observer.estimates, strict=True):
        link = emulated.link
        found.append(
            {
                "from": link.source,
                "to": link.target,
                "set": {"bandwidth_bps": link.bandwidth_bps, "latency_s": link.latency_s},
                "estimate": {
                    "bandwidth_bps": round_to(estimate.bandwidth_bps, 4),
                    "latency_s": round_to(estimate.latency_s, 4),
                    "down": estimate.down,
                    "samples": estimate.samples,
                },
                "pid": emulated.pid,
            }
        )
    return found


def _plans(controller: Controller) -> list[dict[str, Any]]:
    return [
        {
            "digest": digest,
            "layers": controller.catalogue.split(digest),
            "expected_s": candidate.cost_s if math.isfinite(candidate.cost_s) else None,
            "selectable": candidate.selectable,
            "current": digest == controller.current,
            "segments": len(controller.catalogue.segments[digest]),
            "accuracy": controller.catalogue.accuracy(digest),
            "bits": bits_text(controller.catalogue.plans[digest]),
            "form": form_text(controller.catalogue.plans[digest]),
        }
        for digest, candidate in controller.candidates().items()
    ]


def _requests(controller: Controller) -> dict[str, Any]:
    served = controller.observer.served
    return {
        "answered": sum(served.answered.values()),
        "failed": sum(served.failed.values()),
        "latency_s": served.latency_s,
        "rerun": controller.observer.head_report.rerun,
        "by_plan": dict(served.answered),
    }


def split_text(layers: Mapping[str, int]) -> str:
    """`edge 12 | mdc 3`: what people call a plan."""
    return " | ".join(f"{tier} {count}" for tier, count in layers.items() if count) or "nothing"


def quality_text(plan: Mapping[str, Any]) -> str:
    """`W8A8 int8, 97.83% right`: what a plan's bits are and what they leave; empty where neither is known."""
    reached = "" if plan["accuracy"] is None else f"{accuracy_text(plan['accuracy'])} right"
    return ", ".join(filter(None, (f"{plan['bits']} {plan['form']}".strip(), reached)))


def link_text(link: Mapping[str, Any]) -> str:
    """A link as set and as estimated."""
    declared, estimate = link["set"], link["estimate"]
    bandwidth = declared["bandwidth_bps"]
    as_set = "unlimited" if bandwidth is None else "down" if bandwidth == 0 else format_bandwidth(bandwidth)
    seen = "down" if estimate["down"] else f"{format_bandwidth(estimate['bandwidth_bps'])}"
    return f"{link['from']}:{link['to']} {as_set} (estimated {seen} + {format_seconds(estimate['latency_s'])})"


def line(value: Mapping[str, Any]) -> str:
    """The state in one line."""
    plan = next((plan for plan in value["plans"] if plan["current"]), None)
    split = ", ".join(filter(None, (split_text(plan["layers"]), quality_text(plan)))) if plan else "no plan"
    requests = value["requests"]
    latency = f", {format_seconds(requests['latency_s'])} each" if requests["latency_s"] else ""
    links = ", ".join(link_text(link) for link in value["links"])
    counted = f"{requests['answered']} answered, {requests['failed']} failed{latency}"
    return f"{value['state']}: {split}; {counted}; {links}" if links else f"{value['state']}: {split}; {counted}"

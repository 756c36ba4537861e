"""Why pods do not run, in words that say what to do."""

from collections.abc import Iterable
from typing import NamedTuple

from tiersplit_operator.facts import Child, Facts, Pod

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CRASH = ("CrashLoopBackOff", "RunContainerError", "StartError")


class Problem(NamedTuple):
    """What keeps something from running: one word for programs, a sentence for people."""

    reason: str
    message: str


def pod_problem(pod: Pod) -> Problem | None:
    """What keeps a pod from running; None where nothing does."""
    where = f"spec.tiers[{pod.tier}]" if pod.tier else "spec.import"
    if pod.unscheduled:
        advice = f"label a node for {where}.nodeSelector, make room on it, or ask for less in {where}.resources"
        return Problem("Unschedulable", f"no node takes pod {pod.name}: {pod.unscheduled}; {advice}")
    if pod.waiting.startswith(_IMAGE):
        return Problem("ImagePull", f"the image of pod {pod.name} cannot be pulled: {pod.waiting}")
    if pod.exit_reason == "OOMKilled":
        return Problem("OutOfMemory", f"pod {pod.name} was killed: its memory limit is too small; raise it in {where}")
    if pod.waiting.startswith(_CRASH):
        return Problem("Crashing", f"pod {pod.name} ends again and again: {pod.terminated or pod.waiting}")
    if pod.waiting:
        return Problem("ContainerWaiting", f"pod {pod.name} cannot start: {pod.waiting}")
    return None


def child_problem(facts: Facts, child: Child, pods: Iterable[Pod]) -> Problem | None:
    """What keeps a Job or workload from running: its pods cannot be made, or one of them does not run."""
    refused = (child.workload.failure if child.workload else "") or facts.warnings.get(f"{child.kind}/{child.name}", "")
    if refused:
        reason = "QuotaExceeded" if "exceeded quota" in refused else "PodsRefused"
        return Problem(reason, f"pods of {child.kind} {child.name} cannot be made: {refused}")
    return next(filter(None, map(pod_problem, pods)), None)

"""One step's Job: made, watched, made again when its result is lost, given up when Kubernetes gives it up."""

import json
from dataclasses import replace
from datetime import timedelta

from tiersplit_operator import conditions
from tiersplit_operator.comparison import APPLIED, stamped
from tiersplit_operator.conditions import Mark
from tiersplit_operator.decide.problems import child_problem
from tiersplit_operator.decide.progress import Progress, Tree
from tiersplit_operator.facts import Child, JobState, Pod
from tiersplit_operator.resources.jobs import TRIES

SETTLES_S = 60.0
"""How long a Job that succeeded may be ahead of what the registry shows."""
LOOK_AGAIN_S = 5.0


def run_job(progress: Progress, kind: str, job: Tree) -> Progress:
    """Have the Job run whose result the registry lacks; condition `kind` says how far it is."""
    name = str(job["metadata"]["name"])
    child = progress.facts.child("Job", name)
    if child is None:
        return progress.want(job).mark(conditions.job_running(kind, name, ""))
    if child.job is not None and child.job.state is JobState.SUCCEEDED:
        return _succeeded(progress, kind, child)
    if _differs(child, job):
        # Its pods cannot be changed: an image or a credential that was mended reaches them in a Job made afresh.
        again = replace(progress, lost=progress.lost | {name}).again(LOOK_AGAIN_S)
        return again.mark(conditions.job_running(kind, name, "it is made again, as the manifest and the chart now say"))
    return progress.keep("Job", name).mark(_mark(progress, kind, child))


def _differs(child: Child, job: Tree) -> bool:
    made = child.annotations.get(APPLIED)
    return made is not None and made != stamped(job)["metadata"]["annotations"][APPLIED]


def _succeeded(progress: Progress, kind: str, child: Child) -> Progress:
    """Its result is pushed before a Job ends: where the registry still lacks it, it was lost; the Job runs again."""
    finished = child.job.finished if child.job else None
    lost = finished is not None and progress.facts.now - finished > timedelta(seconds=SETTLES_S)
    seen = progress.mark(conditions.job_running(kind, child.name, "its result is awaited")).again(LOOK_AGAIN_S)
    if lost:
        return replace(seen, lost=seen.lost | {child.name})
    return seen.keep("Job", child.name)


def _mark(progress: Progress, kind: str, child: Child) -> Mark:
    pods = [pod for pod in progress.facts.pods if pod.job == child.name]
    status = child.job
    said = last_words(pods)
    if status is not None and status.state is JobState.FAILED:
        why = said or status.message or "it said nothing"
        return conditions.job_failed(kind, f"Job {child.name} failed: {why}; mend it, or delete the Job to try again")
    problem = child_problem(progress.facts, child, (pod for pod in pods if not pod.terminated))
    if problem is not None:
        return conditions.job_blocked(kind, *problem)
    failed = status.failed_pods if status else 0
    detail = f"try {failed + 1} of {TRIES}, the last one failed: {said or 'it said nothing'}" if failed else ""
    return conditions.job_running(kind, child.name, detail)


def last_words(pods: list[Pod]) -> str:
    """What the newest pod that ended said: the program's own sentence, or why it was killed."""
    ended = [pod for pod in pods if pod.terminated or pod.exit_reason]
    if not ended:
        return ""
    newest = max(ended, key=lambda pod: (pod.created is not None, pod.created, pod.name))
    try:
        said = json.loads(newest.terminated)
        field = f"{said['field']}: " if said.get("field") else ""
        return f"{field}{said['error']}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return newest.exit_reason if newest.exit_reason != "Error" else newest.terminated[:300] or newest.exit_reason


def keep_finished(progress: Progress, for_s: float) -> Progress:
    """Leave Jobs that succeeded a while for people who read their logs."""
    now = progress.facts.now
    for child in progress.facts.children:
        if child.job is None or child.job.state is not JobState.SUCCEEDED or child.job.finished is None:
            continue
        left_s = for_s - (now - child.job.finished).total_seconds()
        if left_s > 0 and child.name not in progress.lost:
            progress = progress.keep("Job", child.name).again(left_s + 1)
    return progress

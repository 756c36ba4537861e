"""The last steps: what stands in the cluster for the plan, and whether requests are answered."""

import json
from collections.abc import Iterator
from dataclasses import replace

from tiersplit_api.v1alpha1.adaptation import AdaptationMode
from tiersplit_api.v1alpha1.types import PINNED_PLAN
from tiersplit_operator import conditions
from tiersplit_operator.conditions import Conditions, Mark
from tiersplit_operator.decide.jobs import keep_finished
from tiersplit_operator.decide.problems import Problem, child_problem
from tiersplit_operator.decide.progress import Progress, Tree
from tiersplit_operator.facts import Child, Facts, Pod
from tiersplit_operator.resources.context import TIER_LABEL, Context
from tiersplit_operator.resources.disruption import disruption_budget
from tiersplit_operator.resources.names import front_service_name
from tiersplit_operator.resources.services import front_service, tier_service
from tiersplit_operator.resources.workloads import workload

KEEP_JOBS_S = 600.0
LOOK_AGAIN_S = 15.0


def deploy(progress: Progress) -> Progress:
    """Services, budgets and workloads of every tier, once there is something to serve.

    While the spec's plan is still being made, what serves stays as it stands; only what is gone is put back.
    """
    context, facts = progress.context, progress.facts
    if context is None or (progress.target is None and facts.route is None):
        return _left_alone(progress)
    wanted = list(_children(context, progress))
    if progress.target is not None:
        return progress.want(*wanted)
    known = {child.labels.get(TIER_LABEL) for child in facts.children}
    gone = [child for child in wanted if _is_gone(facts, child, known)]
    return _left_alone(progress).want(*gone)


def _children(context: Context, progress: Progress) -> Iterator[Tree]:
    base_bytes = progress.outcome.base_bytes if progress.outcome else {}
    yield front_service(context)
    for tier in context.resource.spec.tiers:
        yield tier_service(context, tier)
        yield disruption_budget(context, tier)
        yield workload(context, tier, base_bytes.get(tier.name, 0))


def _is_gone(facts: Facts, child: Tree, known: set[str | None]) -> bool:
    """It was there before: something else of its tier still is (the front Service has no tier)."""
    tier = child["metadata"]["labels"].get(TIER_LABEL)
    return facts.child(child["kind"], child["metadata"]["name"]) is None and (tier is None or tier in known)


def _left_alone(progress: Progress) -> Progress:
    for child in progress.facts.children:
        if child.job is None:
            progress = progress.keep(child.kind, child.name)
    return progress


def sweep(progress: Progress) -> Progress:
    """Superseded children go once everything of the present spec is what requests use."""
    facts, target = progress.facts, progress.target
    progress = keep_finished(progress, KEEP_JOBS_S)
    if target is None or facts.route is None or facts.adaptation is None:
        return progress
    served = facts.route.bundle == target.artifact.digest and bool(facts.route.selected)
    return replace(progress, swept=served and not facts.adaptation.switching)


def adaptation(progress: Progress) -> Progress:
    """Fallback and Paused, as adaptation sees them."""
    if progress.context is None:
        return progress
    view, resource = progress.facts.adaptation, progress.context.resource
    fallback = view.fallback if view else ""
    mark = conditions.fallback_on(fallback) if fallback else conditions.fallback_off()
    mode, pin = resource.spec.adaptation.mode, resource.metadata.annotations.get(PINNED_PLAN, "")
    if pin:
        problem = view.pin_problem if view else None
        return progress.mark(mark, conditions.pin_fails(*problem) if problem else conditions.pinned(pin))
    if mode is AdaptationMode.PAUSED:
        return progress.mark(mark, conditions.paused())
    if mode is AdaptationMode.RECOMMEND:
        return progress.mark(mark, conditions.recommending(view.recommendation if view else ""))
    return progress.mark(mark, conditions.running_by_itself())


def readiness(progress: Progress) -> Progress:
    """Ready, Reconciling and Stalled: from everything that was found out."""
    facts = progress.facts
    problem = _workload_problem(facts)
    unmet = _unmet(progress)
    ready = _ready(progress, problem, unmet)
    stalling = next((mark for mark in progress.marks.values() if mark.stalled), None)
    rolling = conditions.reconciled() if stalling or _applied(progress) else conditions.reconciling(_doing(unmet))
    stalled = conditions.stalled(stalling) if stalling else conditions.not_stalled()
    if facts.registry_problem or problem is not None:
        progress = progress.recheck(LOOK_AGAIN_S)
    return progress.mark(ready, rolling, stalled)


def _ready(progress: Progress, problem: Problem | None, unmet: Mark | None) -> Mark:
    facts = progress.facts
    selected = bool(facts.route and facts.route.selected)
    if selected and _head_answers(facts):
        return conditions.ready(_serving_words(facts, problem, unmet))
    if unmet is not None:
        return conditions.as_ready(unmet)
    if problem is not None:
        return conditions.not_ready(*problem)
    return conditions.not_ready("StagesStarting", _starting_words(facts, selected))


def _head_answers(facts: Facts) -> bool:
    """A pod that clients are sent to is ready; the front Service knows the tier, whatever the spec says meanwhile."""
    front = facts.child("Service", front_service_name(facts.key.name))
    spec = json.loads(front.document).get("spec") or {} if front else {}
    first = (spec.get("selector") or {}).get(TIER_LABEL)
    return any(pod.ready and pod.tier == first and not pod.job and not pod.deleting for pod in facts.pods)


def _serving_words(facts: Facts, problem: Problem | None, unmet: Mark | None) -> str:
    split = facts.adaptation.split if facts.adaptation else ""
    words = f"serves {split}" if split else "serves"
    if unmet is not None:
        return f"{words}, the last good plan; {unmet.type}: {unmet.message}"
    return f"{words}; {problem.message}" if problem is not None else words


def _starting_words(facts: Facts, selected: bool) -> str:
    waiting = [
        f"{child.labels.get(TIER_LABEL, child.name)} {child.workload.ready} of {child.workload.desired}"
        for child in facts.children
        if child.workload is not None and not child.workload.rolled_out
    ]
    if waiting:
        return f"stages that answer: {', '.join(waiting)}"
    said = facts.adaptation.problems if facts.adaptation else {}
    if said:
        return "; ".join(f"{pod}: {words}" for pod, words in sorted(said.items()))
    return "the head is starting" if selected else "no plan has answered its golden request yet"


def _unmet(progress: Progress) -> Mark | None:
    """The first step that is not done."""
    invalid = progress.marks.get(conditions.READY)
    if invalid is not None:
        return invalid
    steps = (conditions.IMPORTED, conditions.PROFILED, conditions.PLANNED, conditions.ACCURACY_MET)
    found = (progress.marks.get(kind) for kind in steps)
    return next((mark for mark in found if mark and mark.status != conditions.TRUE and not _is_open(mark)), None)


def _is_open(mark: Mark) -> bool:
    """An accuracy that is not known keeps nothing from serving."""
    return mark.type == conditions.ACCURACY_MET and mark.status == conditions.UNKNOWN


def _workload_problem(facts: Facts) -> Problem | None:
    found = (child_problem(facts, child, _pods_of(facts, child)) for child in facts.children if child.workload)
    return next(filter(None, found), None)


def _pods_of(facts: Facts, child: Child) -> Iterator[Pod]:
    tier = child.labels.get(TIER_LABEL)
    return (pod for pod in facts.pods if not pod.job and pod.tier == tier and not pod.ready and not pod.deleting)


def _applied(progress: Progress) -> bool:
    """The present generation is what serves; a pod that is lost later does not undo that."""
    facts, target = progress.facts, progress.target
    before = Conditions.read(facts.status, facts.generation, facts.now).get(conditions.RECONCILING)
    was = before is not None and before.status == conditions.FALSE and before.reason == "Applied"
    same = was and before is not None and before.observed_generation == facts.generation
    if same and (target is not None or facts.registry_problem):
        return True
    if target is None or facts.route is None or facts.route.bundle != target.artifact.digest:
        return False
    rolled = all(child.workload.rolled_out for child in facts.children if child.workload)
    return rolled and bool(facts.route.selected) and not (facts.adaptation and facts.adaptation.switching)


def _doing(unmet: Mark | None) -> str:
    return f"{unmet.type}: {unmet.message}" if unmet is not None else "the stages take the plan"

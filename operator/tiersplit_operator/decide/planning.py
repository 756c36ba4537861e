"""Planning in rounds: plan, cut, rate, measure, plan again, until estimate and measurement agree.

The registry remembers every step under its content's key, so the steps are walked again at each look and end where
something is missing.
"""

from dataclasses import replace

from tiersplit_core.errors import BundleError
from tiersplit_operator import conditions
from tiersplit_operator.conditions import PLANNED
from tiersplit_operator.decide.jobs import run_job
from tiersplit_operator.decide.keys import plan_key
from tiersplit_operator.decide.profiles import measure_segments
from tiersplit_operator.decide.progress import PlanOrder, Progress
from tiersplit_operator.facts import ArtifactRecord, Target
from tiersplit_operator.plan_outcome import PlanOutcome
from tiersplit_operator.resources.addresses import tier_addresses
from tiersplit_operator.resources.context import Context
from tiersplit_operator.resources.jobs import materialise_job

MAX_STEPS = 48
"""Every round is planned and measured once, and cut and rated some times; the planner's rounds allow no more steps."""


def plan(progress: Progress) -> Progress:
    """Walk the rounds as far as they were done; a settled one is the target."""
    context, model = progress.context, progress.model
    if context is None or model is None:
        return progress
    if any(tier.name not in progress.measured for tier in context.resource.spec.tiers):
        return progress.mark(conditions.waits_for(PLANNED, "the tiers' profiles"))
    artifact = model
    for _ in range(MAX_STEPS):
        progress, settled, following = _step(progress, context, artifact)
        if settled is not None:
            return replace(progress, target=settled)
        if following is None:
            return progress
        artifact = following
    return progress.mark(conditions.planning_failed("planning came to no end"))


def _step(
    progress: Progress, context: Context, artifact: ArtifactRecord
) -> tuple[Progress, Target | None, ArtifactRecord | None]:
    """One round: the target where it settled, or the bundle that the next round begins with, or neither."""
    intent = progress.intent
    if intent is None:
        return progress, None, None
    key = plan_key(artifact.digest, progress.measured, intent, context.resource.spec.model.validation)
    reference = progress.tagged(f"plan-{key}")
    if reference not in progress.facts.artifacts:
        return progress.need(reference), None, None
    found = progress.facts.artifacts[reference]
    if found is None:
        return _ordered(progress, PlanOrder(key, artifact, progress.measured, context.resource)), None, None
    try:
        outcome = PlanOutcome.read(found.outcome)
    except BundleError as error:
        return progress.mark(conditions.planning_failed(str(error))), None, None
    progress = replace(progress, outcome=outcome)
    if outcome.settled:
        return *_settled(progress, context, found, outcome), None
    return _prepared(progress, context, key, found, outcome)


def _ordered(progress: Progress, order: PlanOrder) -> Progress:
    failure = progress.facts.failures.get(order.key)
    if failure is None:
        return replace(progress, orders=(*progress.orders, order)).mark(conditions.planning("the surface is computed"))
    if failure.infeasible:
        return progress.mark(conditions.infeasible(failure.message))
    progress = progress.mark(conditions.planning_failed(failure.message))
    if failure.retry_in_s is None:
        return progress
    if failure.retry_in_s > 0:
        return progress.again(failure.retry_in_s)
    return replace(progress, orders=(*progress.orders, order))


def _settled(
    progress: Progress, context: Context, found: ArtifactRecord, outcome: PlanOutcome
) -> tuple[Progress, Target]:
    target = Target(
        owner=context.owner,
        resource=context.resource,
        generation=progress.facts.generation,
        artifact=found,
        addresses=tier_addresses(context),
    )
    return progress.mark(conditions.planned(outcome.plans, outcome.round, outcome.off)), target


def _prepared(
    progress: Progress, context: Context, key: str, found: ArtifactRecord, outcome: PlanOutcome
) -> tuple[Progress, None, ArtifactRecord | None]:
    """Cut, rate and measure what the round waits for; returns the cut bundle once all of it is there."""
    cut = found
    if outcome.uncut or outcome.unrated:
        reference = progress.tagged(f"ready-{key}")
        if reference not in progress.facts.artifacts:
            return progress.need(reference), None, None
        ready = progress.facts.artifacts[reference]
        if ready is None:
            job = materialise_job(context, key, found.reference, f"ready-{key}", rates=outcome.unrated > 0)
            return run_job(progress, PLANNED, job), None, None
        cut = ready
    missing = {segment for ids in outcome.unmeasured.values() for segment in ids} - cut.segments.keys()
    if missing:
        message = f"{cut.reference} lacks segment {min(missing)}, which was to be cut"
        return progress.mark(conditions.planning_failed(message)), None, None
    return _measured(progress, cut, outcome)


def _measured(
    progress: Progress, cut: ArtifactRecord, outcome: PlanOutcome
) -> tuple[Progress, None, ArtifactRecord | None]:
    before = progress.measured
    after = measure_segments(progress, cut, outcome.unmeasured)
    done = all(len(after.measured[tier]) > len(before[tier]) for tier, ids in outcome.unmeasured.items() if ids)
    if done:
        return after, None, cut
    waiting = conditions.waits_for(PLANNED, f"the seconds of round {outcome.round}'s segments")
    return after.mark(waiting), None, None

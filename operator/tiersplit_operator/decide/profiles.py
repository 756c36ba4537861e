"""Measuring: every tier's layers first, the segments of a surface later."""

from collections.abc import Mapping
from dataclasses import replace

from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_control.intent import Intent
from tiersplit_control.quality import wanted_forms
from tiersplit_core.quantization.forms import RunForm
from tiersplit_operator import conditions
from tiersplit_operator.conditions import FALSE, PROFILED, Mark
from tiersplit_operator.decide.jobs import run_job
from tiersplit_operator.decide.keys import layers_key, segments_key
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.facts import ArtifactRecord
from tiersplit_operator.resources.context import Context, ProfileRequest
from tiersplit_operator.resources.jobs import profile_job
from tiersplit_operator.resources.workloads import stage_threads

Measured = Mapping[str, tuple[str, ...]]


def profile_layers(progress: Progress) -> Progress:
    """What every tier takes for the model's layers: carried by the bundle, measured before, or by a Job."""
    context, intent, model = progress.context, progress.intent, progress.model
    if context is None or intent is None or model is None:
        return progress
    version = context.settings.runtime_version
    tiers = context.resource.spec.tiers
    forms = {tiers[0].name: _forms(context, intent, model)}
    layers = {
        tier.name: layers_key(model.graph, tier, stage_threads(tier), intent.batches, version, forms.get(tier.name, ()))
        for tier in tiers
    }
    progress = replace(progress, layers=layers)
    for tier in tiers:
        if tier.name in model.profiles:
            progress = _note(progress, tier.name, model.profiles[tier.name])
        else:
            request = _request(intent, tier, layers[tier.name], model)
            progress = measure(progress, context, tier, replace(request, forms=forms.get(tier.name, ())))
    if all(tier.name in progress.measured for tier in tiers):
        return progress.mark(conditions.profiled([tier.name for tier in tiers]))
    return progress


def _forms(context: Context, intent: Intent, model: ArtifactRecord) -> tuple[RunForm, ...]:
    """Quantised forms of the first tier: where plans of fewer bits can be made and verified."""
    validated = context.resource.spec.model.validation.uri is not None
    known = model.forms if validated and model.quantization and model.accuracies else frozenset()
    return tuple(form for form in wanted_forms(intent) if form in known)


def measure_segments(progress: Progress, cut: ArtifactRecord, wanted: Mapping[str, tuple[str, ...]]) -> Progress:
    """What tiers take for segments that were cut; `wanted` are their ids per tier."""
    context, intent = progress.context, progress.intent
    if context is None or intent is None:
        return progress
    for tier in context.resource.spec.tiers:
        digests = tuple(cut.segments[segment] for segment in wanted.get(tier.name, ()))
        if digests:
            key = segments_key(progress.layers[tier.name], digests)
            request = replace(_request(intent, tier, key, cut), segments=digests)
            progress = measure(progress, context, tier, request)
    return progress


def _request(intent: Intent, tier: Tier, key: str, bundle: ArtifactRecord) -> ProfileRequest:
    return ProfileRequest(key, bundle.reference, f"profile-{key}", stage_threads(tier), intent.batches)


def measure(progress: Progress, context: Context, tier: Tier, request: ProfileRequest) -> Progress:
    """Note what was measured, or have a Job measure it."""
    reference = progress.tagged(request.tag)
    if reference not in progress.facts.artifacts:
        return progress.need(reference)
    found = progress.facts.artifacts[reference]
    if found is not None:
        return _note(progress, tier.name, found.reference)
    if request.tag in progress.measuring:
        # Another tier has the same nodes and limits: one Job measures for both.
        return progress
    before = progress.marks.get(PROFILED)
    progress = replace(progress, measuring=progress.measuring | {request.tag})
    after = run_job(progress, PROFILED, profile_job(context, tier, request))
    return after if before is None else after.mark(_worse(before, after.marks[PROFILED]))


def _note(progress: Progress, tier: str, what: str) -> Progress:
    return replace(progress, measured={**progress.measured, tier: (*progress.measured.get(tier, ()), what)})


def _worse(one: Mark, other: Mark) -> Mark:
    """The one of two Jobs' marks that people need to read: what stalls, then what is blocked, then what runs."""

    def weight(mark: Mark) -> tuple[bool, bool, bool]:
        return mark.stalled, mark.reason != "Running", mark.status == FALSE

    return max(one, other, key=weight)

"""The first steps: is the manifest right, and is its model's bundle in the registry?"""

from dataclasses import replace

from tiersplit_api.v1alpha1.loading import resource_from
from tiersplit_bundle.reference import Reference, is_reference
from tiersplit_control.intent import intent_of
from tiersplit_core.errors import InputError
from tiersplit_operator import conditions
from tiersplit_operator.decide.jobs import run_job
from tiersplit_operator.decide.keys import model_key
from tiersplit_operator.decide.progress import Progress
from tiersplit_operator.resources.accounts import stage_account
from tiersplit_operator.resources.configmaps import model_config_map
from tiersplit_operator.resources.context import Context
from tiersplit_operator.resources.jobs import import_job
from tiersplit_operator.resources.policies import network_policy
from tiersplit_operator.resources.workloads import stage_threads, workload

BUNDLE_FIELD = "spec.model.source.bundle"
WAITS_S = 30.0


def validate(progress: Progress) -> Progress:
    """Read the manifest, and build everything once that a wrong one would break."""
    body = {key: value for key, value in progress.facts.body.items() if key != "status"}
    try:
        resource = resource_from(body)
        context = Context(progress.facts.owner, resource, progress.settings)
        intent = intent_of(resource)
        for tier in resource.spec.tiers:
            stage_threads(tier)
            workload(context, tier, 0)
        repository = _repository(context)
    except InputError as error:
        return progress.mark(*conditions.invalid(str(error)))
    common = (stage_account(context), network_policy(context), model_config_map(context))
    return replace(progress, context=context, intent=intent, repository=repository).want(*common)


def _repository(context: Context) -> str:
    """Where everything about the model lies: the given bundle's own place in our registry, or one named by its key."""
    given = context.resource.spec.model.source.bundle
    prefix = context.settings.registry.prefix
    if given is not None and is_reference(given):
        reference = Reference.parse(given, BUNDLE_FIELD)
        place = f"{reference.host}/{reference.repository}"
        if reference.target is None:
            raise InputError("names no manifest; write a tag or a digest behind it", BUNDLE_FIELD)
        if place.startswith(f"{prefix}/"):
            return place
    return f"{prefix}/{model_key(context.resource)}"


def find_model(progress: Progress) -> Progress:
    """The bundle that the manifest names, or the one that import made of its model."""
    if progress.context is None:
        return progress
    given = progress.context.resource.spec.model.source.bundle
    if given is not None and given.startswith(f"oci://{progress.repository}"):
        return _given(progress, given)
    return _imported(progress, progress.context, model_key(progress.context.resource))


def _given(progress: Progress, given: str) -> Progress:
    if given not in progress.facts.artifacts:
        return progress.need(given)
    found = progress.facts.artifacts[given]
    if found is None:
        return progress.mark(conditions.bundle_missing(given)).recheck(WAITS_S)
    if not found.graph:
        return progress.mark(conditions.no_bundle(given))
    return replace(progress, model=found).mark(conditions.bundle_given())


def _imported(progress: Progress, context: Context, key: str) -> Progress:
    tag = f"import-{key}"
    reference = progress.tagged(tag)
    if reference not in progress.facts.artifacts:
        return progress.need(reference)
    found = progress.facts.artifacts[reference]
    if found is None:
        return run_job(progress, conditions.IMPORTED, import_job(context, key, progress.repository, tag))
    return replace(progress, model=found).mark(conditions.imported())

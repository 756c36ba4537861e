"""What is decided from what is known: one table per step, keyed by what happened."""

import json
from dataclasses import replace

import pytest

from tests.support.operator_context import manifest
from tests.support.operator_facts import (
    GIVEN,
    REPOSITORY,
    TIERS,
    artifact,
    digest,
    facts,
    given,
    job,
    profiled,
    serving,
    settled,
    waiting,
)
from tiersplit_operator import comparison
from tiersplit_operator.decide.planning import MAX_STEPS
from tiersplit_operator.facts import JobState, PlanFailure, Pod


def said(progress, kind):
    mark = progress.marks[kind]
    return mark.status, mark.reason


def wanted(progress, kind):
    return [child["metadata"]["name"] for child in progress.children if child["kind"] == kind]


# The manifest and the model

WRONG = {
    "a tier twice": (given(tiers=[{"name": "a"}, {"name": "a"}]), "spec.tiers[1].name"),
    "one tier": (given(tiers=[{"name": "a"}]), "spec.tiers"),
    "an unknown field": (given(tier=[]), "spec.tier"),
    "an objective that is not planned": (given(objective={"minimize": "EdgeMemory"}), "spec.objective"),
    "a CPU limit that is none": (
        given(tiers=[{"name": "a", "resources": {"limits": {"cpu": "much"}}}, {"name": "b"}]),
        "spec.tiers",
    ),
    "a bundle without tag": (given(model={"source": {"bundle": f"oci://{REPOSITORY}"}}), "spec.model.source.bundle"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_says_which_field_and_touches_nothing_that_stands(case):
    body, field = WRONG[case]
    progress = settled(serving(body=body))
    assert progress.marks["Stalled"].reason == "InvalidSpec"
    assert field in progress.marks["Stalled"].message
    assert progress.children == ()
    assert not progress.swept
    assert {name for _, name in progress.kept} == {"digits", *(f"digits-{tier}" for tier in TIERS)}
    assert said(progress, "Ready") == ("True", "Serving")


def test_a_model_without_bundle_is_imported_by_a_job_under_the_models_key():
    progress = settled(facts(manifest(), artifacts={}))
    assert said(progress, "Imported") == ("False", "Running")
    (name,) = wanted(progress, "Job")
    assert name.startswith("digits-import-")
    assert wanted(progress, "ConfigMap") == ["digits-model"]
    assert wanted(progress, "Deployment") == []


def test_the_models_key_depends_on_the_model_and_on_nothing_else():
    names = {
        case: wanted(settled(facts(body, artifacts={})), "Job")
        for case, body in {
            "plain": manifest(),
            "objective": manifest(objective={"minimize": "Throughput"}),
            "model": manifest(model={"source": {"onnxUri": "pvc://models/other.onnx"}}),
            "validation": manifest(
                model={"source": {"onnxUri": "pvc://models/digits.onnx"}, "validation": {"uri": "pvc://data/v.npz"}}
            ),
        }.items()
    }
    assert names["plain"] == names["objective"]
    assert len({names["plain"][0], names["model"][0], names["validation"][0]}) == 3


def import_name():
    return wanted(settled(facts(manifest(), artifacts={})), "Job")[0]


TERMINATED = json.dumps({"error": "no such file", "field": "spec.model.source.onnxUri", "retry": False})
JOBS = {
    "running": (JobState.RUNNING, {}, {}, ("False", "Running"), False),
    "no node": (JobState.RUNNING, {}, {"unscheduled": "0/3 nodes match"}, ("False", "Unschedulable"), False),
    "no image": (JobState.RUNNING, {}, {"waiting": "ErrImagePull: gone"}, ("False", "ImagePull"), False),
    "tried again": (JobState.RUNNING, {"failed": 2}, {}, ("False", "Running"), False),
    "failed": (JobState.FAILED, {"failed": 5}, {"terminated": TERMINATED}, ("False", "JobFailed"), True),
}


@pytest.mark.parametrize("case", JOBS)
def test_the_import_job_says_how_it_goes(case):
    state, about, seen, expected, stalled = JOBS[case]
    name = import_name()
    pods = (Pod("p1", job=name, **seen),) if seen else ()
    progress = settled(facts(manifest(), artifacts={}, children=(job(name, state, **about),), pods=pods))
    assert said(progress, "Imported") == expected
    assert (progress.marks["Stalled"].status == "True") is stalled
    assert ("Job", name) in progress.kept
    assert said(progress, "Ready") == ("False", expected[1])


def test_a_failed_jobs_own_sentence_with_its_field_is_shown():
    name = import_name()
    known = facts(
        manifest(),
        artifacts={},
        children=(job(name, JobState.FAILED, message="Job has reached the specified backoff limit"),),
        pods=(Pod("p1", job=name, terminated=TERMINATED, exit_reason="Error"),),
    )
    message = settled(known).marks["Imported"].message
    assert "spec.model.source.onnxUri: no such file" in message
    assert "delete the Job to try again" in message


def test_a_job_that_would_be_made_otherwise_now_is_made_again_unless_it_succeeded():
    name = import_name()
    for state, again in ((JobState.RUNNING, True), (JobState.FAILED, True), (JobState.SUCCEEDED, False)):
        stale = replace(job(name, state, ago_s=1.0), annotations={comparison.APPLIED: "of another image"})
        progress = settled(facts(manifest(), artifacts={}, children=(stale,)))
        assert (name in progress.lost) is again
        assert (("Job", name) not in progress.kept) is again


def test_a_quota_that_refuses_a_jobs_pods_is_shown():
    name = import_name()
    known = facts(manifest(), artifacts={}, children=(job(name, JobState.WAITING),))
    known = replace(known, warnings={f"Job/{name}": 'pods "x" is forbidden: exceeded quota: small'})
    assert said(settled(known), "Imported") == ("False", "QuotaExceeded")


@pytest.mark.parametrize(("ago_s", "again"), [(10, False), (61, True)])
def test_a_job_whose_result_the_registry_lost_runs_again(ago_s, again):
    name = import_name()
    progress = settled(facts(manifest(), artifacts={}, children=(job(name, JobState.SUCCEEDED, ago_s=ago_s),)))
    assert (("Job", name) not in progress.kept) is again
    assert wanted(progress, "Job") == []


BUNDLES = {
    "there": (profiled(), ("True", "BundleGiven")),
    "missing": (None, ("False", "BundleMissing")),
    "no bundle": (replace(artifact(), graph=""), ("False", "NoBundle")),
}


@pytest.mark.parametrize("case", BUNDLES)
def test_a_given_bundle_needs_no_job(case):
    found, expected = BUNDLES[case]
    progress = settled(facts(artifacts={GIVEN: found}))
    assert said(progress, "Imported") == expected
    assert not [name for name in wanted(progress, "Job") if "import" in name]


def test_a_bundle_of_another_registry_is_copied_by_the_import_job():
    body = given(model={"source": {"bundle": "oci://elsewhere.test/models/digits:v1"}})
    assert "import" in wanted(settled(facts(body, artifacts={})), "Job")[0]


# Profiles and plans


def test_every_tier_is_measured_by_a_job_of_its_own_with_its_nodes_and_limits():
    progress = settled(facts(artifacts={GIVEN: artifact()}))
    assert said(progress, "Profiled") == ("False", "Running")
    assert said(progress, "Planned") == ("False", "Waiting")
    assert [name.rsplit("-", 1)[0] for name in wanted(progress, "Job")] == ["digits-edge", "digits-mdc", "digits-cloud"]


CALIBRATED = replace(artifact(), quantization=digest("q"), accuracies=digest("a"), forms=frozenset({"int8", "packed"}))


def forms_of(**about):
    """What each tier's layers are measured in, by the tier's Job."""
    model = {"source": {"bundle": GIVEN}, "validation": {"uri": "pvc://data/v.npz"}}
    body, found = given(model=about.get("model", model), **about.get("spec", {})), about.get("record", CALIBRATED)
    jobs = [child for child in settled(facts(body, artifacts={GIVEN: found})).children if child["kind"] == "Job"]
    arguments = [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]
    return [given[given.index("--forms") + 1] for given in arguments], [job["metadata"]["name"] for job in jobs]


def test_the_first_tiers_layers_are_measured_with_fewer_bits_where_these_can_be_verified():
    (forms, names), (_, plain) = forms_of(), forms_of(record=artifact())
    assert forms == ["int8,packed", "none", "none"], "the edge has a limited memory"
    assert [one == other for one, other in zip(names, plain, strict=True)] == [False, True, True]
    assert forms_of(spec={"tiers": [{"name": "edge"}, {"name": "cloud"}]})[0] == ["int8", "none"]


NO_FORMS = {
    "without calibration": {"record": replace(CALIBRATED, quantization="")},
    "without the model's own accuracy": {"record": replace(CALIBRATED, accuracies="")},
    "without a form to measure": {"record": replace(CALIBRATED, forms=frozenset())},
    "without validation data": {"model": {"source": {"bundle": GIVEN}}},
    "without fewer bits": {"spec": {"tiers": [{"name": "edge", "weightBits": [32]}, {"name": "cloud"}]}},
}


@pytest.mark.parametrize("case", NO_FORMS)
def test_layers_are_measured_as_they_are_alone(case):
    assert set(forms_of(**NO_FORMS[case])[0]) == {"none"}


def test_the_tier_that_people_must_help_is_the_one_that_the_condition_names():
    names = wanted(settled(facts(artifacts={GIVEN: artifact()})), "Job")
    children = tuple(job(name, JobState.RUNNING) for name in names)
    stuck = Pod("p", tier="mdc", job=names[1], unscheduled="0/3 nodes are available")
    progress = settled(facts(artifacts={GIVEN: artifact()}, children=children, pods=(stuck,)))
    assert said(progress, "Profiled") == ("False", "Unschedulable")
    assert "spec.tiers[mdc].nodeSelector" in progress.marks["Profiled"].message


def test_a_profiled_bundle_is_planned_without_any_job():
    progress = settled(facts())
    assert said(progress, "Profiled")[0] == "True"
    (order,) = progress.orders
    assert order.artifact == profiled()
    assert order.profiles == {tier: (digest(f"profile {tier}"),) for tier in TIERS}
    assert wanted(progress, "Job") == []


def test_resources_that_share_a_bundle_and_an_intent_share_the_plan():
    other = given()
    other["metadata"] = {**other["metadata"], "name": "letters", "uid": "u-2"}
    keys = [settled(facts(body)).orders[0].key for body in (given(), other)]
    assert keys[0] == keys[1]
    changed = settled(facts(given(rawInput="FirstTierOnly"))).orders[0].key
    assert changed != keys[0]


FAILURES = {
    "too little memory": (PlanFailure("edge needs 3 MiB more", infeasible=True), "Infeasible", True, 0),
    "a worker that died, a moment ago": (
        PlanFailure("killed", infeasible=False, retry_in_s=9.0),
        "PlanningFailed",
        False,
        0,
    ),
    "a worker that died": (PlanFailure("killed", infeasible=False, retry_in_s=0.0), "PlanningFailed", False, 1),
}


@pytest.mark.parametrize("case", FAILURES)
def test_planning_that_fails_says_why_and_what_serves_goes_on(case):
    failure, reason, stalled, orders = FAILURES[case]
    key = settled(facts()).orders[0].key
    progress = settled(serving("before", failures={key: failure}))
    assert said(progress, "Planned") == ("False", reason)
    assert failure.message in progress.marks["Planned"].message
    assert (progress.marks["Stalled"].status == "True") is stalled
    assert len(progress.orders) == orders
    assert said(progress, "Ready") == ("True", "Serving")
    assert failure.message in progress.marks["Ready"].message
    assert not progress.swept


def test_segments_are_cut_by_a_job_then_measured_then_the_plan_is_made_again():
    plan = artifact("plan-1", outcome=waiting(uncut=1, unmeasured={"edge": ["seg-a"], "mdc": [], "cloud": ["seg-a"]}))
    cutting = settled(facts(), plan)
    assert [name.rsplit("-", 1)[0] for name in wanted(cutting, "Job")] == ["digits-cut"]
    cut = replace(plan, digest=digest("cut"), segments={"seg-a": digest("segment a")})
    measuring = settled(facts(), plan, cut)
    assert [name.rsplit("-", 1)[0] for name in wanted(measuring, "Job")] == ["digits-edge", "digits-cloud"]
    arguments = measuring.children[-1]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert digest("segment a") in arguments
    profiles = [artifact(f"segments {tier}") for tier in ("edge", "cloud")]
    again = settled(facts(), plan, cut, *sorted(profiles, key=lambda found: found.digest))
    (order,) = again.orders
    assert order.artifact == cut
    assert {tier: len(found) for tier, found in order.profiles.items()} == {"edge": 2, "mdc": 1, "cloud": 2}


def test_plans_are_rated_by_a_job_that_reads_the_models_data_then_the_plan_is_made_again():
    plan = artifact("plan-1", outcome=waiting(unrated=2))
    rating = settled(facts(), plan)
    assert [name.rsplit("-", 1)[0] for name in wanted(rating, "Job")] == ["digits-cut"]
    assert "--model" in rating.children[-1]["spec"]["template"]["spec"]["containers"][0]["args"]
    rated = replace(plan, digest=digest("rated"), accuracies=digest("accuracies"))
    (order,) = settled(facts(), plan, rated).orders
    assert order.artifact == rated
    assert order.profiles == {tier: (digest(f"profile {tier}"),) for tier in TIERS}


def test_a_cut_that_lacks_a_segment_is_no_endless_loop():
    plan = artifact("plan-1", outcome=waiting(uncut=1, unmeasured={"edge": ["seg-a"]}))
    progress = settled(facts(), plan, artifact("cut"))
    assert said(progress, "Planned") == ("False", "PlanningFailed")
    assert "seg-a" in progress.marks["Planned"].message


def test_planning_that_never_settles_comes_to_an_end():
    plan = artifact("plan", outcome=waiting(unmeasured={"edge": ["seg-a"]}), segments={"seg-a": digest("a")})
    progress = settled(facts(), *[plan] * 2 * MAX_STEPS)
    assert said(progress, "Planned") == ("False", "PlanningFailed")


def test_tiers_with_the_same_nodes_and_limits_are_measured_by_one_job():
    tiers = [{"name": "edge", "nodeSelector": {"pool": "small"}}, {"name": "near"}, {"name": "far"}]
    progress = settled(facts(given(tiers=tiers), artifacts={GIVEN: artifact()}))
    assert [name.rsplit("-", 1)[0] for name in wanted(progress, "Job")] == ["digits-edge", "digits-near"]

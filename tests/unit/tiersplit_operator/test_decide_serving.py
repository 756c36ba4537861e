"""What stands in the cluster for a plan, and whether requests are answered: tables keyed by what happened."""

from dataclasses import replace

import pytest

from tests.support.operator_context import manifest, settings
from tests.support.operator_facts import (
    GIVEN,
    NOW,
    PLAN,
    TIERS,
    artifact,
    digest,
    facts,
    final,
    given,
    job,
    pod,
    route,
    serving,
    settled,
    waiting,
    workload,
)
from tiersplit_operator.decide.steps import decide
from tiersplit_operator.facts import JobState, PinProblem


def said(progress, kind):
    mark = progress.marks[kind]
    return mark.status, mark.reason


def wanted(progress, kind):
    return [child["metadata"]["name"] for child in progress.children if child["kind"] == kind]


def planned():
    return artifact("plan", outcome=final(), segments={"seg-a": digest("a")})


def test_a_settled_plan_is_deployed_on_every_tier_with_its_measured_base():
    progress = settled(facts(), planned())
    assert progress.target is not None
    assert progress.target.artifact == planned()
    assert wanted(progress, "Deployment") == [f"digits-{tier}" for tier in TIERS]
    assert wanted(progress, "Service") == ["digits", *(f"digits-{tier}" for tier in TIERS)]
    assert progress.outcome.base_bytes == {"edge": 2**26}
    assert said(progress, "Planned") == ("True", "Planned")
    assert said(progress, "Ready") == ("False", "StagesStarting")
    assert said(progress, "Reconciling")[0] == "True"


def test_all_is_well():
    progress = settled(serving(), planned())
    assert said(progress, "Ready") == ("True", "Serving")
    assert said(progress, "Reconciling") == ("False", "Applied")
    assert said(progress, "Stalled")[0] == "False"
    assert progress.swept


def test_while_a_changed_model_is_imported_what_serves_is_left_alone_and_what_is_gone_is_put_back():
    known = serving("before", body=manifest(), artifacts={}, children=(workload("edge"), workload("cloud")))
    progress = settled(known)
    assert {name for _, name in progress.kept} == {"digits", "digits-edge", "digits-cloud"}
    assert wanted(progress, "Deployment") == []
    assert "digits-edge" in wanted(progress, "Service")
    assert "digits-mdc" not in wanted(progress, "Service")
    assert not progress.swept
    assert said(progress, "Ready")[0] == "True"
    assert said(progress, "Reconciling")[0] == "True"


def test_superseded_children_stay_until_requests_use_the_plan_that_replaces_theirs():
    known = serving()
    switching = replace(known, adaptation=replace(known.adaptation, switching=True))
    assert not settled(switching, planned()).swept
    assert not settled(replace(known, route=route(digest("before"))), planned()).swept
    assert settled(known, planned()).swept


def test_a_lost_pod_is_no_rollout():
    body = {**given(), "status": {"conditions": [APPLIED]}}
    children = (workload("edge"), workload("mdc", ready=0), workload("cloud"))
    progress = settled(serving(body=body, children=children), planned())
    assert said(progress, "Reconciling")[0] == "False"
    fresh = settled(serving(children=children), planned())
    assert said(fresh, "Reconciling")[0] == "True"


APPLIED = {
    "type": "Reconciling",
    "status": "False",
    "reason": "Applied",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-05-01T11:00:00Z",
}

PODS = {
    "no pool": ({"unscheduled": "0/3 nodes match"}, "Unschedulable"),
    "no image": ({"waiting": "ImagePullBackOff: back-off"}, "ImagePull"),
    "too little memory": ({"exit_reason": "OOMKilled"}, "OutOfMemory"),
    "crashing": ({"waiting": "CrashLoopBackOff", "terminated": "boom", "exit_reason": "Error"}, "Crashing"),
}


@pytest.mark.parametrize("case", PODS)
def test_a_head_that_cannot_run_is_named_with_what_to_do(case):
    seen, reason = PODS[case]
    pods = (pod("edge", ready=False, **seen), pod("mdc"), pod("cloud"))
    progress = settled(
        serving(pods=pods, children=(workload("edge", ready=0), workload("mdc"), workload("cloud"))), planned()
    )
    assert said(progress, "Ready") == ("False", reason)
    assert "digits-edge-1" in progress.marks["Ready"].message


@pytest.mark.parametrize("case", PODS)
def test_another_tiers_pod_that_cannot_run_leaves_ready_true_and_is_told(case):
    pods = (pod("edge"), pod("mdc", ready=False, **PODS[case][0]), pod("cloud"))
    progress = settled(serving(pods=pods), planned())
    assert said(progress, "Ready")[0] == "True"
    assert "digits-mdc-1" in progress.marks["Ready"].message
    assert progress.recheck_s == 15.0


def test_a_registry_that_does_not_answer_changes_nothing():
    body = {**given(), "status": {"conditions": [APPLIED]}}
    known = serving(body=body, artifacts={}, registry_problem="no answer")
    progress = decide(known, settings())
    assert said(progress, "Imported") == ("Unknown", "RegistryUnreachable")
    assert said(progress, "Ready")[0] == "True"
    assert said(progress, "Reconciling")[0] == "False"
    assert {name for _, name in progress.kept} == {"digits", *(f"digits-{tier}" for tier in TIERS)}


# Accuracy and adaptation

VALIDATED = {"source": {"bundle": GIVEN}, "validation": {"uri": "https://data.test/v.npz"}}
NARROW = {"quantised": 2, "accuracy": 0.978, "whole": 0.981}
ACCURACY = {
    "no data": ({}, None, ("Unknown", "NoValidationData"), True),
    "a drop": ({"model": VALIDATED, "accuracy": {"maxDrop": "1%"}}, "0.9", ("True", "Verified"), True),
    "enough": ({"model": VALIDATED, "accuracy": {"min": "70%"}}, "0.9", ("True", "Verified"), True),
    "too little": ({"model": VALIDATED, "accuracy": {"min": "95%"}}, "0.9", ("False", "BelowMinimum"), False),
    "no number": ({"model": VALIDATED, "accuracy": {"min": "95%"}}, "good", ("Unknown", "NoValidationData"), True),
    "no finite number": (
        {"model": VALIDATED, "accuracy": {"min": "95%"}},
        "nan",
        ("Unknown", "NoValidationData"),
        True,
    ),
    "a function's own unit": ({"model": VALIDATED, "accuracy": {"min": "95%"}}, "7.5", ("True", "Verified"), True),
    "not measured": ({"model": VALIDATED, "accuracy": {"min": "95%"}}, None, ("Unknown", "NoValidationData"), True),
}


@pytest.mark.parametrize("case", ACCURACY)
def test_an_accuracy_that_cannot_be_met_is_said_and_never_served(case):
    spec, measured, expected, serves = ACCURACY[case]
    found = replace(planned(), annotations={"tiersplit.accuracy": measured} if measured else {})
    progress = settled(facts(given(**spec)), found)
    assert said(progress, "AccuracyMet") == expected
    assert (progress.target is not None) is serves


def accuracy_words(found, model=VALIDATED, **spec):
    return settled(facts(given(model=model, **spec)), found).marks["AccuracyMet"].message


def test_an_accuracy_that_is_met_is_told_with_that_of_the_model_and_what_was_asked_for():
    found = replace(planned(), outcome=final(**NARROW), quantization=digest("q"), accuracies=digest("a"))
    assert accuracy_words(found) == (
        "the fastest accurate plan has 97.80%, the model 98.10%; maxDrop 1%; 2 of 3 plans run with fewer bits"
    )
    assert "; min 90%; " in accuracy_words(found, accuracy={"min": "90%"})
    alone = replace(found, outcome=final(whole=0.981))
    assert accuracy_words(alone) == "every plan reaches the model's 98.10%"


def test_a_minimum_above_the_model_is_said_before_anything_is_planned():
    known = facts(
        given(model=VALIDATED, accuracy={"min": "95%"}),
        artifacts={GIVEN: replace(artifact(), annotations={"tiersplit.accuracy": "0.9"})},
    )
    progress = settled(known)
    assert said(progress, "AccuracyMet") == ("False", "BelowMinimum")
    assert progress.marks["AccuracyMet"].message == (
        "the model reaches 90.00%, spec.accuracy.min asks for 95%; lower it, or train on"
    )


def test_what_is_missing_for_fewer_bits_is_a_hint_and_no_error():
    plain = {"source": {"bundle": GIVEN}}
    assert "write spec.model.validation.uri" in accuracy_words(planned(), model=plain)
    hinted = accuracy_words(replace(planned(), annotations={"tiersplit.accuracy": "0.9"}))
    assert hinted.startswith("every plan reaches the model's 90.00%; tier edge may use 8 bits")
    assert "import the bundle with --calibration" in hinted
    rated = replace(planned(), outcome=final(whole=0.981), quantization=digest("q"), accuracies=digest("a"))
    assert "may use" not in accuracy_words(rated)


def test_while_plans_are_rated_their_number_is_told_and_what_was_verified_before_stays_said():
    found = replace(planned(), outcome=waiting(unrated=5))
    progress = settled(facts(given(model=VALIDATED)), found)
    assert said(progress, "AccuracyMet") == ("Unknown", "Waiting")
    assert progress.marks["AccuracyMet"].message == "5 plans are measured on the validation data"
    before = {**APPLIED, "type": "AccuracyMet", "status": "True", "reason": "Verified"}
    body = {**given(model=VALIDATED), "status": {"conditions": [before]}}
    assert "AccuracyMet" not in settled(facts(body), found).marks


MODES = {
    "Auto": ({}, {}, ("False", "Auto")),
    "Paused": ({"adaptation": {"mode": "Paused"}}, {}, ("True", "Paused")),
    "Recommend": ({"adaptation": {"mode": "Recommend"}}, {}, ("True", "Recommend")),
    "pinned": ({}, {"tiersplit.dev/pinned-plan": PLAN}, ("True", "Pinned")),
}


@pytest.mark.parametrize("case", MODES)
def test_the_mode_of_adaptation_is_a_condition(case):
    spec, annotations, expected = MODES[case]
    body = given(**spec)
    body["metadata"] = {**body["metadata"], "annotations": annotations}
    assert said(settled(serving(body=body), planned()), "Paused") == expected


@pytest.mark.parametrize("reason", ["PinUnknown", "PinUnverified", "PinPaused", "PinUnreachable"])
def test_a_pin_that_does_not_serve_says_which_of_its_problems_it_has(reason):
    body = given()
    body["metadata"] = {**body["metadata"], "annotations": {"tiersplit.dev/pinned-plan": PLAN}}
    known = serving(body=body)
    known = replace(known, adaptation=replace(known.adaptation, pin_problem=PinProblem(reason, "write it so")))
    progress = settled(known, planned())
    assert said(progress, "Paused") == ("True", reason)
    assert progress.marks["Paused"].message == "write it so"


def test_observations_that_fail_are_a_fallback_and_ready_stays():
    known = serving()
    blind = replace(known, adaptation=replace(known.adaptation, fallback="Prometheus does not answer"))
    progress = settled(blind, planned())
    assert said(progress, "Fallback") == ("True", "ObservationsMissing")
    assert said(progress, "Ready")[0] == "True"


def test_a_finished_job_is_kept_a_while_for_those_who_read_its_log():
    children = (job("digits-edge-12345678", JobState.SUCCEEDED, ago_s=100), job("old", JobState.SUCCEEDED, ago_s=700))
    progress = settled(serving(children=(*(workload(tier) for tier in TIERS), *children)), planned())
    assert ("Job", "digits-edge-12345678") in progress.kept
    assert ("Job", "old") not in progress.kept
    assert progress.check_after_s == 501


def test_deciding_depends_on_nothing_but_the_facts():
    known = serving()
    assert settled(known, planned()) == settled(known, planned())
    assert known.now == NOW

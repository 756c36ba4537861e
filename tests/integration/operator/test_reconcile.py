"""The operator's process against a real API server and a real registry; the Jobs are played by the test."""

import json
import uuid

import pytest

from tests.support.oci_registry import oci_registry
from tests.support.operator_process import (
    ROOT,
    Namespace,
    end_job,
    eventually,
    operator_process,
    play_job,
    played_stage,
    push_profiled_bundle,
    push_rated_bundle,
)
from tiersplit_api.v1alpha1.status import Status


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found.host


@pytest.fixture
def namespace(api_server):
    api_server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "tiersplit.dev_splitdeployments.yaml"))
    api_server.kubectl("wait", "--for=condition=Established", "crd/splitdeployments.tiersplit.dev", "--timeout=120s")
    name = f"test-{uuid.uuid4().hex[:8]}"
    api_server.kubectl("create", "namespace", name)
    return Namespace(api_server, name)


def digits(bundle, **spec):
    wanted = {
        "model": {"source": {"bundle": bundle}},
        "tiers": [{"name": "edge"}, {"name": "cloud", "replicas": 2}],
        "links": [{"from": "edge", "to": "cloud", "bandwidth": "1M", "latencyMilliseconds": 1}],
        "tls": {"mode": "Off"},
        **spec,
    }
    about = {"apiVersion": "tiersplit.dev/v1alpha1", "kind": "SplitDeployment", "metadata": {"name": "digits"}}
    return {**about, "spec": wanted}


def jobs_done(namespace, directory):
    """Play every Job that appears until the plan is there."""

    def step():
        for name, job in namespace.get("job").items():
            ended = any(item["type"] == "Complete" for item in job.get("status", {}).get("conditions", []))
            if not ended:
                play_job(namespace, job, directory / name)
        return namespace.condition("digits", "Planned").get("status") == "True"

    eventually(step, "Planned")


@pytest.fixture
def deployed(namespace, registry, tmp_path):
    """A resource whose plan is made and whose children stand."""
    bundle = push_profiled_bundle(registry, tmp_path / "bundle")
    with operator_process(namespace, registry, tmp_path / "operator.log") as operator:
        namespace.apply(digits(bundle))
        jobs_done(namespace, tmp_path)
        eventually(lambda: namespace.get("deployment", "digits-cloud"), "the cloud's Deployment")
        yield operator
        assert operator.end() == 0
    assert "Traceback" not in operator.log.read_text()


@pytest.mark.slow
def test_a_profiled_bundle_is_planned_cut_measured_and_deployed(deployed, namespace):
    assert set(namespace.get("deployment")) == {"digits-edge", "digits-cloud"}
    assert {"digits", "digits-edge", "digits-cloud"} <= set(namespace.get("service"))
    assert set(namespace.get("poddisruptionbudget")) == {"digits-edge", "digits-cloud"}
    assert namespace.get("serviceaccount", "digits-stage")
    route = namespace.get("configmap", "digits-route")
    assert route["metadata"]["ownerReferences"][0]["kind"] == "SplitDeployment"
    steps = [job["metadata"]["labels"]["tiersplit.dev/step"] for job in namespace.get("job").values()]
    assert "materialise" in steps
    assert "finalizers" not in namespace.get("splitdeployment", "digits")["metadata"]
    assert {"BundleGiven", "Profiled", "Planned"} <= namespace.events()


@pytest.mark.slow
def test_deleted_children_and_edited_owned_fields_are_put_back_and_other_fields_stay(deployed, namespace):
    namespace.kubectl("delete", "service", "digits-cloud")
    eventually(lambda: namespace.get("service", "digits-cloud"), "the Service is put back")
    change = {"spec": {"template": {"spec": {"containers": [{"name": "stage", "image": "evil.test/other:1"}]}}}}
    namespace.kubectl("patch", "deployment", "digits-edge", "--type=strategic", "-p", json.dumps(change))
    namespace.kubectl("annotate", "deployment", "digits-edge", "team.test/note=mine")

    def image():
        return namespace.get("deployment", "digits-edge")["spec"]["template"]["spec"]["containers"][0]["image"]

    eventually(lambda: image() == "registry.test/stage:1", "the image is put back")
    assert namespace.get("deployment", "digits-edge")["metadata"]["annotations"]["team.test/note"] == "mine"


@pytest.mark.slow
def test_an_operator_at_rest_writes_nothing(deployed, namespace):
    def versions():
        kinds = ("splitdeployment", "deployment", "service", "configmap", "poddisruptionbudget")
        return {
            (kind, name): item["metadata"]["resourceVersion"]
            for kind in kinds
            for name, item in namespace.get(kind).items()
        }

    def unchanged():
        before = versions()
        namespace.kubectl("annotate", "deployment", "digits-edge", f"team.test/poke={uuid.uuid4().hex}")
        changed = ("deployment", "digits-edge")
        looked = deployed.metrics().count("tiersplit_operator_reconcile_seconds_count")
        after = versions()
        return looked and {k: v for k, v in before.items() if k != changed} == {
            k: v for k, v in after.items() if k != changed
        }

    eventually(unchanged, "nothing is written any more")
    assert deployed.alive()


@pytest.mark.slow
def test_it_is_ready_once_heads_found_a_plan_good_and_its_status_is_what_the_definition_allows(deployed, namespace):
    with played_stage(deployed, namespace, "edge") as told, played_stage(deployed, namespace, "cloud"):
        eventually(lambda: namespace.condition("digits", "Ready").get("status") == "True", "Ready")
        eventually(lambda: told[-1].selected, "the stage is told which plan serves")
        status = eventually(
            lambda: (found := namespace.status("digits")).get("plan", {}).get("digest") == told[-1].selected and found,
            "the status names the plan",
        )
    Status.model_validate(status)
    assert status["surface"]["plans"] >= 2
    assert status["plan"]["split"]
    assert {"Serving", "Moved"} <= namespace.events()
    assert len(json.dumps(status)) <= 16 * 1024


@pytest.mark.slow
def test_plans_of_fewer_bits_are_rated_before_they_serve_and_the_status_says_how_accurate_they_are(
    namespace, registry, tmp_path
):
    bundle, data = push_rated_bundle(registry, tmp_path / "bundle")
    model = {"source": {"bundle": bundle}, "validation": {"uri": str(data)}}
    tiers = [{"name": "edge", "weightBits": [8, 32]}, {"name": "cloud"}]
    with operator_process(namespace, registry, tmp_path / "operator.log") as operator:
        namespace.apply(digits(bundle, model=model, tiers=tiers, accuracy={"maxDrop": "20%"}))
        jobs_done(namespace, tmp_path)
        jobs = namespace.get("job").items()
        arguments = {name: job["spec"]["template"]["spec"]["containers"][0]["args"] for name, job in jobs}
        assert any("--model" in given for name, given in arguments.items() if "-cut-" in name)
        assert any("int8" in given for name, given in arguments.items() if "-edge-" in name)
        assert not any("int8" in given for name, given in arguments.items() if "-cloud-" in name)
        with played_stage(operator, namespace, "edge") as told, played_stage(operator, namespace, "cloud"):
            plan = eventually(
                lambda: (found := namespace.status("digits").get("plan", {})).get("bits") and found,
                "a plan of fewer bits serves",
            )
    assert (plan["bits"], plan["form"]) == ("W8A8", "int8")
    assert plan["accuracy"].endswith("%")
    met = namespace.condition("digits", "AccuracyMet")
    assert (met["status"], met["reason"]) == ("True", "Verified")
    assert f"the fastest accurate plan has {plan['accuracy']}, the model 100.00%; maxDrop 20%" in met["message"]
    chosen = next(found for found in told[-1].plans if found.digest == plan["digest"])
    assert (chosen.bits, len(chosen.golden_blobs)) == (8, 1)
    Status.model_validate(namespace.status("digits"))


@pytest.mark.slow
def test_a_wrong_manifest_is_a_condition_and_what_serves_stays(deployed, namespace):
    namespace.kubectl("annotate", "splitdeployment", "digits", "tiersplit.dev/batches=none at all")
    stalled = eventually(
        lambda: (found := namespace.condition("digits", "Stalled")).get("status") == "True" and found, "Stalled"
    )
    assert stalled["reason"] == "InvalidSpec"
    assert "tiersplit.dev/batches" in stalled["message"]
    assert set(namespace.get("deployment")) == {"digits-edge", "digits-cloud"}
    namespace.kubectl("annotate", "splitdeployment", "digits", "tiersplit.dev/batches-")
    eventually(lambda: namespace.condition("digits", "Stalled").get("status") == "False", "recovery without a hand")


@pytest.mark.slow
def test_another_replica_takes_over_at_once_when_the_leader_is_ended(namespace, registry, tmp_path):
    def holder():
        return ((namespace.get("lease", "tiersplit-operator") or {}).get("spec") or {}).get("holderIdentity")

    with operator_process(namespace, registry, tmp_path / "one.log", "one") as one:
        eventually(lambda: holder() == "one", "one leads")
        with operator_process(namespace, registry, tmp_path / "two.log", "two") as two:
            eventually(two.alive, "two waits for its turn")
            assert one.end() == 0
            eventually(lambda: holder() == "two", "two leads", 10.0)


@pytest.mark.slow
def test_a_job_that_fails_for_good_is_shown_with_its_own_words(namespace, registry, tmp_path):
    with operator_process(namespace, registry, tmp_path / "operator.log"):
        source = {"source": {"onnxUri": "https://models.test/digits.onnx"}}
        namespace.apply(digits("", model=source))
        name = eventually(lambda: next(iter(namespace.get("job")), None), "the import Job")
        end_job(namespace, name, failed="the model cannot be read")
        found = eventually(
            lambda: (seen := namespace.condition("digits", "Imported")).get("reason") == "JobFailed" and seen,
            "JobFailed",
        )
        assert "the model cannot be read" in found["message"]
        assert namespace.condition("digits", "Ready")["status"] == "False"
        assert namespace.condition("digits", "Stalled")["status"] == "True"

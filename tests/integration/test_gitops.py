"""What Argo CD and Flux make of the examples, and of statuses as the operator writes them: their own engines say it."""

import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.cluster.apiserver import ApiServer
from tests.cluster.helm import ROOT, objects
from tests.cluster.layout import ClusterError
from tests.cluster.programs import binary
from tests.support.cluster_gate import need
from tests.support.operator_context import manifest
from tests.support.operator_facts import PLAN, artifact, facts, final, given, job, pod, serving, settled
from tests.support.patience import START_S
from tiersplit_operator.facts import Facts, JobState
from tiersplit_operator.status import next_status

EXAMPLES = ROOT / "examples"
HEALTH = (EXAMPLES / "argocd" / "health.lua").read_text()
DEFINITION = ROOT / "crds" / "tiersplit.dev_splitdeployments.yaml"
SECONDS_TO_BUILD = 1800


class Definition(NamedTuple):
    """Where somebody else's CustomResourceDefinition is: a file of a Go module, whose sum is known."""

    module: str
    version: str
    checksum: str
    path: str


FLUX = "config/crd/bases"
DEFINITIONS = (
    Definition(
        "github.com/argoproj/argo-cd/v3",
        "v3.5.7",
        "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
        "manifests/crds/application-crd.yaml",
    ),
    Definition(
        "github.com/fluxcd/kustomize-controller",
        "v1.7.3",
        "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
        f"{FLUX}/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    ),
    Definition(
        "github.com/fluxcd/source-controller",
        "v1.7.3",
        "h1:gFfeBiNUgF0kFFGap/rrMeJqz+0Tod0ARENJO8w/UA8=",
        f"{FLUX}/source.toolkit.fluxcd.io_gitrepositories.yaml",
    ),
    Definition(
        "github.com/fluxcd/helm-controller",
        "v1.4.3",
        "h1:449LcGJXLCylvrNCq8ycevwa5mxE1Mn9vxTwlsj/no8=",
        f"{FLUX}/helm.toolkit.fluxcd.io_helmreleases.yaml",
    ),
)


@pytest.fixture(scope="module", autouse=True)
def _go() -> None:
    if shutil.which("go") is None:
        need("Argo CD or Flux", ["Go 1.26 or later, which builds their engines, is not on the PATH"])


def expressions() -> dict[str, str]:
    """What Flux's example waits for."""
    documents = objects((EXAMPLES / "flux" / "models.yaml").read_text())
    (found,) = next(made["spec"]["healthCheckExprs"] for made in documents if made["kind"] == "Kustomization")
    assert (found["apiVersion"], found["kind"]) == ("tiersplit.dev/v1alpha1", "SplitDeployment")
    return found


def asked(*resources: dict[str, Any]) -> list[dict[str, str]]:
    """What Argo CD's script, kstatus and Flux's expressions say of each resource."""
    questions = [{"object": made, "script": HEALTH, "expressions": expressions()} for made in resources]
    done = subprocess.run(
        [str(binary("gitops"))], input=json.dumps(questions), capture_output=True, text=True, timeout=START_S
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def resource(known: Facts, *answers: Any, generation: int = 1) -> dict[str, Any]:
    """A resource with the status that the operator writes for what it knows."""
    status = next_status(settled(known, *answers))
    about = {"name": "digits", "namespace": "shop", "generation": generation}
    return {
        "apiVersion": "tiersplit.dev/v1alpha1",
        "kind": "SplitDeployment",
        "metadata": about,
        "spec": given()["spec"],
        "status": json.loads(json.dumps(status)),
    }


def planned() -> Any:
    return artifact("plan", outcome=final())


def seen(**fields: Any) -> Facts:
    """All is well, except for what adaptation says."""
    known = serving()
    return replace(known, adaptation=replace(known.adaptation, **fields))


def failed() -> Facts:
    """Importing failed for good."""
    known = facts(manifest(), artifacts={})
    name = next(made["metadata"]["name"] for made in settled(known).children if made["kind"] == "Job")
    return replace(known, children=(job(name, JobState.FAILED, failed=5, message="no such weights"),))


def adapting(mode: str) -> Facts:
    return serving(body=given(adaptation={"mode": mode}))


def annotated(**annotations: str) -> dict[str, Any]:
    body = given()
    body["metadata"]["annotations"] = {
        f"tiersplit.dev/{name.replace('_', '-')}": word for name, word in annotations.items()
    }
    return body


BEGUN = {"observedGeneration": 0}
WELL = resource(serving(), planned())
LOST = serving(body=given() | {"status": WELL["status"]}, pods=(pod("edge", ready=False),))
ONE_TIER = given(tiers=[{"name": "edge"}])
CASES = {
    "nobody looked at it": (WELL | {"status": BEGUN}, "Progressing", "InProgress"),
    "it is imported": (resource(facts(manifest(), artifacts={})), "Progressing", "InProgress"),
    "stages start": (resource(facts(), planned()), "Progressing", "InProgress"),
    "all is well": (WELL, "Healthy", "Current"),
    "a changed spec rolls out": (resource(serving("before"), planned()), "Progressing", "InProgress"),
    "a changed spec was not looked at": (resource(serving(), planned(), generation=2), "Progressing", "InProgress"),
    "observations fail": (resource(seen(fallback="Prometheus does not answer"), planned()), "Healthy", "Current"),
    "a plan is pinned": (resource(serving(body=annotated(pinned_plan=PLAN)), planned()), "Healthy", "Current"),
    "it only recommends": (resource(adapting("Recommend"), planned()), "Healthy", "Current"),
    "a person paused it": (resource(adapting("Paused"), planned()), "Suspended", "Current"),
    "the head was lost": (resource(LOST, planned()), "Degraded", "InProgress"),
    "the import failed for good": (resource(failed()), "Degraded", "Failed"),
    "the manifest is wrong": (resource(facts(ONE_TIER)), "Degraded", "Failed"),
    "it is wrong while the plan before serves": (resource(serving(body=ONE_TIER)), "Degraded", "Failed"),
}


@pytest.mark.timeout(SECONDS_TO_BUILD)
def test_argo_cd_and_flux_understand_every_state_of_a_resource():
    answers = dict(zip(CASES, asked(*(found for found, _, _ in CASES.values())), strict=True))
    found = {case: (said["argo"], said["kstatus"], said["flux"]) for case, said in answers.items()}
    assert found == {case: (argo, wait, wait) for case, (_, argo, wait) in CASES.items()}
    assert "spec.tiers" in answers["the manifest is wrong"]["message"]
    assert all(said["message"] for said in answers.values()), "Argo CD shows people a reason"


@pytest.mark.timeout(SECONDS_TO_BUILD)
def test_nothing_takes_a_resource_for_ready_before_the_operator_has_looked_at_it(api_server: ApiServer):
    definition = DEFINITION.read_text()
    api_server.kubectl("apply", "--server-side", "-f", "-", stdin=definition)
    api_server.kubectl("wait", "--for=condition=Established", "crd/splitdeployments.tiersplit.dev", "--timeout=120s")
    example = (EXAMPLES / "digits" / "cluster.yaml").read_text()
    api_server.kubectl("create", "namespace", "gitops")
    api_server.kubectl("apply", "-n", "gitops", "-f", "-", stdin=example)
    applied = json.loads(api_server.kubectl("get", "splitdeployment", "digits", "-n", "gitops", "-o", "json"))
    (said,) = asked(applied)
    assert (said["argo"], said["kstatus"], said["flux"]) == ("Progressing", "InProgress", "InProgress")


def read(definition: Definition, folder: Path) -> str:
    """The definition's text, out of its Go module."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", f"{definition.module}@{definition.version}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    said = json.loads(done.stdout)
    assert said.get("Sum") == definition.checksum, said
    with zipfile.ZipFile(said["Zip"]) as module:
        return module.read(f"{definition.module}@{definition.version}/{definition.path}").decode()


@pytest.fixture(scope="module")
def others(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> ApiServer:
    """The API server with Argo CD's and Flux's own definitions, and the namespaces that they live in."""
    folder = tmp_path_factory.mktemp("modules")
    definitions = [made for known in DEFINITIONS for made in objects(read(known, folder))]
    api_server.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(definitions))
    api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
    for namespace in ("argocd", "flux-system"):
        api_server.kubectl("create", "namespace", namespace)
    return api_server


@pytest.mark.timeout(SECONDS_TO_BUILD)
@pytest.mark.parametrize("example", ["argocd", "flux"])
def test_their_own_definitions_take_the_examples_with_every_field(others: ApiServer, example: str):
    folder = EXAMPLES / example
    built = [others.kubectl("kustomize", str(folder))] if (folder / "kustomization.yaml").exists() else []
    documents = built or [path.read_text() for path in sorted(folder.glob("*.yaml"))]
    assert len(documents) > 0
    others.kubectl(
        "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin="\n---\n".join(documents)
    )


@pytest.mark.timeout(SECONDS_TO_BUILD)
def test_a_field_that_flux_does_not_know_would_be_refused(others: ApiServer):
    wrong = (EXAMPLES / "flux" / "models.yaml").read_text().replace("healthCheckExprs", "healthChekExprs")
    with pytest.raises(ClusterError, match="healthChekExprs"):
        others.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=wrong)

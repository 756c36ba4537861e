import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.cluster.apiserver import ApiServer
from tests.cluster.layout import ClusterError
from tests.support.drawn_manifests import specs
from tests.support.wrong_manifests import GOOD, WRONG
from tiersplit_api.crd import definition
from tiersplit_api.v1alpha1 import resource_from
from tiersplit_core.errors import ManifestError

CRD = Path(__file__).parents[3] / "crds" / "tiersplit.dev_splitdeployments.yaml"


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    api_server.kubectl("apply", "--server-side", "-f", str(CRD))
    api_server.kubectl(
        "wait", "--for=condition=Established", "--timeout=120s", f"crd/{definition()['metadata']['name']}"
    )
    return api_server


def dry_run(server: ApiServer, document: dict) -> dict:
    arguments = ["create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"]
    return json.loads(server.kubectl(*arguments, stdin=json.dumps(document)))


def test_a_good_manifest_gets_its_defaults(server):
    spec = dry_run(server, GOOD)["spec"]
    assert spec["adaptation"]["minGain"] == "5%"
    assert spec["adaptation"]["fallback"]["failureThreshold"] == 3
    assert spec["tiers"][0]["placement"] == "Replicas"
    assert spec["model"]["source"]["torch"]["weights"] == "Factory"
    assert spec["tls"]["mode"] == "Mutual"


def test_an_unquoted_off_is_the_word(server):
    # kubectl's YAML reads it as false.
    document = {**GOOD, "spec": {**GOOD["spec"], "earlyExit": {"mode": False}, "tls": {"mode": False}}}
    resource = resource_from(dry_run(server, document))
    assert (resource.spec.early_exit.mode, resource.spec.tls.mode) == ("Off", "Off")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.title)
def test_a_wrong_manifest_is_refused_with_what_to_write(server, wrong):
    with pytest.raises(ClusterError) as refused:
        dry_run(server, wrong.manifest)
    said = str(refused.value)
    assert all(words in said for words in wrong.says), said


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.title)
def test_without_an_api_server_the_same_manifest_is_refused_too(wrong):
    with pytest.raises(ManifestError):
        resource_from(wrong.manifest)


def test_explain_reads_well(server):
    said = server.kubectl("explain", "splitdeployment.spec.adaptation")
    for words in ("cooldownPeriodSeconds", "is the shortest time between two moves", "minGain"):
        assert words in said


def test_a_table_of_resources_shows_what_matters(server):
    server.kubectl("create", "namespace", "table")
    server.kubectl("create", "-n", "table", "-f", "-", stdin=json.dumps(GOOD))
    header = server.kubectl("get", "sd", "-n", "table").splitlines()[0].split()
    assert header == ["NAME", "READY", "REASON", "SPLIT", "LATENCY", "ACCURACY", "AGE"]


def _contained(wanted, found) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(key in found and _contained(wanted[key], found[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(wanted) == len(found) and all(map(_contained, wanted, found))
    return wanted == found


@given(spec=specs())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_api_server_takes_every_good_manifest_and_prunes_nothing_of_it(server, spec):
    document = {**GOOD, "spec": spec}
    resource_from(document)
    found = dry_run(server, document)
    assert _contained(spec, found["spec"])
    resource_from(found)

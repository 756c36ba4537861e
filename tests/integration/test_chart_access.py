"""What the chart's account may do, asked of a real API server, and that the operator needs no more."""

import json
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.apiserver import ApiServer
from tests.cluster.helm import ROOT, objects, template
from tests.support.oci_registry import oci_registry
from tests.support.operator_process import (
    Namespace,
    eventually,
    operator_process,
    play_job,
    push_profiled_bundle,
)
from tiersplit_operator.clients.kinds import KINDS
from tiersplit_operator.handlers import CHILDREN

OURS = frozenset({"get", "list", "watch", "create", "patch", "delete"})
EVERYBODY = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}
"""What any account may ask about itself."""
Rights = dict[str, frozenset[str]]


def rights(server: ApiServer, namespace: str, kubeconfig: Path) -> Rights:
    """Verbs per resource (`group/plural`, with the names that they are bound to) of whom a kubeconfig belongs to."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    as_user = replace(server, kubeconfig=kubeconfig)
    answer = json.loads(
        as_user.kubectl("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(review))
    )
    found: dict[str, set[str]] = {}
    for rule in answer["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                names = ":".join(["", *rule.get("resourceNames", [])])
                found.setdefault(f"{group}/{resource}{names}", set()).update(rule["verbs"])
    return {place: frozenset(verbs) for place, verbs in found.items() if place.rpartition("/")[2] not in EVERYBODY}


def needed() -> Rights:
    """What the operator does in a namespace that it watches."""

    def place(kind: str, subresource: str = "") -> str:
        return f"{KINDS[kind].group}/{KINDS[kind].plural}{subresource}"

    return {
        **{place(kind): OURS for kind in CHILDREN},
        place("ConfigMap"): OURS | {"update"},
        place("Pod"): frozenset({"list", "watch"}),
        place("Event"): frozenset({"get", "list", "create", "patch"}),
        place("SplitDeployment"): frozenset({"get", "list", "watch"}),
        place("SplitDeployment", "/status"): frozenset({"patch"}),
    }


TOKENS: Rights = {"authentication.k8s.io/tokenreviews": frozenset({"create"})}
DEFINITIONS: Rights = {"apiextensions.k8s.io/customresourcedefinitions": frozenset({"list", "watch"})}
LEASE: Rights = {
    "coordination.k8s.io/leases": frozenset({"create"}),
    "coordination.k8s.io/leases:tiersplit-operator": frozenset({"get", "update"}),
}


@pytest.fixture
def install(api_server: ApiServer):
    """A function that makes the chart's account and roles with these values, and returns the account's kubeconfig."""
    made = []

    def apply(release_namespace: str, values: dict[str, Any]) -> Path:
        kinds = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
        rendered = [found for found in objects(template(values, namespace=release_namespace)) if found["kind"] in kinds]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": rendered})
        api_server.kubectl("apply", "-f", "-", stdin=text)
        made.append(text)
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{release_namespace}")
        return api_server.user_kubeconfig(f"system:serviceaccount:{release_namespace}:tiersplit-operator", groups)

    api_server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds" / "tiersplit.dev_splitdeployments.yaml"))
    api_server.kubectl("wait", "--for=condition=Established", "crd/splitdeployments.tiersplit.dev", "--timeout=120s")
    yield apply
    for text in made:
        api_server.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=text)


@pytest.fixture
def namespaces(api_server: ApiServer) -> tuple[str, str, str]:
    """Fresh ones: of the release, of a team, of somebody else."""
    found = tuple(f"{role}-{uuid.uuid4().hex[:8]}" for role in ("release", "team", "other"))
    for name in found:
        api_server.kubectl("create", "namespace", name)
    return found


def test_the_account_may_do_in_every_namespace_what_the_operator_does_and_nothing_else(api_server, install, namespaces):
    release, team, _ = namespaces
    account = install(release, {})
    assert rights(api_server, team, account) == needed() | TOKENS | DEFINITIONS
    assert rights(api_server, release, account) == needed() | TOKENS | DEFINITIONS | LEASE


def test_an_account_for_some_namespaces_may_review_tokens_elsewhere_and_nothing_else(api_server, install, namespaces):
    release, team, other = namespaces
    account = install(release, {"watch": {"namespaces": [team]}})
    assert rights(api_server, team, account) == needed() | TOKENS
    assert rights(api_server, release, account) == TOKENS | LEASE
    assert rights(api_server, other, account) == TOKENS


@pytest.mark.parametrize("values", [{}, {"watch": {"namespaces": ["a", "b"]}}], ids=["everywhere", "in two namespaces"])
def test_no_role_of_the_chart_names_secrets_or_has_a_wildcard_or_lets_anybody_get_more_rights(values):
    rules = [rule for found in objects(template(values)) if "Role" in found["kind"] for rule in found.get("rules", ())]
    assert len(rules) > 10
    named = {name.partition("/")[0] for rule in rules for name in rule["resources"]}
    assert not named & {"secrets", "nodes", "roles", "clusterroles", "rolebindings", "clusterrolebindings", "*"}
    assert not {verb for rule in rules for verb in rule["verbs"]} & {"*", "escalate", "bind", "impersonate"}
    assert not [rule for rule in rules if "*" in rule["apiGroups"]]


def test_who_may_edit_a_namespace_may_write_splitdeployments_unless_that_is_turned_off():
    def aggregated(values: dict[str, Any]) -> list[set[str]]:
        return [
            {verb for rule in found["rules"] for verb in rule["verbs"]}
            for found in objects(template(values))
            if found["metadata"].get("labels", {}).get("rbac.authorization.k8s.io/aggregate-to-edit")
        ]

    assert set.union(*aggregated({})) == {
        "get",
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "delete",
        "deletecollection",
    }
    assert aggregated({"rbac": {"aggregate": False}}) == []


@pytest.mark.slow
def test_the_operator_plans_and_deploys_with_the_charts_account_and_is_never_refused(
    api_server, install, namespaces, tmp_path
):
    team = namespaces[1]
    account = install(team, {"watch": {"namespaces": [team]}})
    admin, confined = Namespace(api_server, team), Namespace(replace(api_server, kubeconfig=account), team)
    with oci_registry(tmp_path / "registry") as registry:
        bundle = push_profiled_bundle(registry.host, tmp_path / "bundle")
        with operator_process(confined, registry.host, tmp_path / "operator.log") as operator:
            admin.apply(_resource(bundle))
            eventually(lambda: _played(admin, tmp_path), "Planned")
            eventually(lambda: admin.get("deployment", "digits-cloud"), "the cloud's Deployment")
            admin.kubectl("delete", "service", "digits-cloud")
            eventually(lambda: admin.get("service", "digits-cloud"), "the Service is put back")
            called = operator.metrics()
    assert {"create", "server_side_apply", "get"} <= set(
        re.findall(r'api_calls_total\{kind="\w+",status="200",verb="(\w+)"', called)
    )
    assert 'status="403"' not in called
    assert "orbidden" not in (tmp_path / "operator.log").read_text()


def _resource(bundle: str) -> dict[str, Any]:
    spec = {
        "model": {"source": {"bundle": bundle}},
        "tiers": [{"name": "edge"}, {"name": "cloud"}],
        "tls": {"mode": "Off"},
    }
    spec["links"] = [{"from": "edge", "to": "cloud", "bandwidth": "1M", "latencyMilliseconds": 1}]
    return {
        "apiVersion": "tiersplit.dev/v1alpha1",
        "kind": "SplitDeployment",
        "metadata": {"name": "digits"},
        "spec": spec,
    }


def _played(namespace: Namespace, directory: Path) -> bool:
    for name, job in namespace.get("job").items():
        if not any(item["type"] == "Complete" for item in job.get("status", {}).get("conditions", [])):
            play_job(namespace, job, directory / name)
    return namespace.condition("digits", "Planned").get("status") == "True"

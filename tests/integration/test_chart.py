"""The chart, rendered by Helm and taken by a real API server."""

import base64
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from cryptography import x509

from tests.cluster.apiserver import ApiServer
from tests.cluster.helm import CHART, NAMESPACE, ROOT, helm, objects, template
from tests.cluster.install import cluster_values
from tests.cluster.layout import ClusterError
from tests.cluster.manifests import FILE, manifests
from tests.cluster.programs import is_built
from tests.support.cluster_gate import need

FOREIGN = {
    "monitoring.coreos.com": {"v1": ("PodMonitor", "ServiceMonitor", "PrometheusRule")},
    "cert-manager.io": {"v1": ("Certificate",)},
}
MONITORED = {name: {"enabled": True} for name in ("podMonitor", "serviceMonitor", "rules", "dashboard")}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
ACCEPTED: dict[str, dict[str, Any]] = {
    "default": {},
    "namespaced": {"watch": {"namespaces": ["team-a", "team-b"]}, "monitoring": MONITORED},
    "own registry": {
        "registry": {
            "enabled": False,
            "address": "registry.test:5000/models/tiersplit",
            "caCertificate": CERTIFICATE,
            "credentialsSecret": "registry-credentials",
        }
    },
    "cert-manager, dialled from outside": {
        "routes": {
            "address": "routes.test:443",
            "service": {"type": "LoadBalancer", "port": 443, "annotations": {"cloud.test/internal": "true"}},
            "tls": {"mode": "CertManager", "issuerRef": {"name": "ca", "kind": "ClusterIssuer"}},
        }
    },
    "an address instead of a name": {
        "routes": {"address": "[2001:db8::1]:9443", "tls": {"mode": "CertManager", "issuerRef": {"name": "ca"}}}
    },
    "plaintext, no volume": {"routes": {"tls": {"mode": "Plaintext"}}, "registry": {"persistence": {"enabled": False}}},
    "everything": {
        "fullnameOverride": "split",
        "clusterDomain": "edge.test",
        "images": {
            "registry": "registry.test/tiersplit",
            "pullPolicy": "Always",
            "pullSecrets": ["pull"],
            "stage": {"digest": f"sha256:{'0' * 64}"},
        },
        "crds": {"keep": False},
        "serviceAccount": {"name": "split", "annotations": {"cloud.test/role": "split"}},
        "operator": {
            "replicas": 3,
            "nodeSelector": {"role": "control"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "priorityClassName": "system-cluster-critical",
            "podLabels": {"team": "a"},
            "podAnnotations": {"note": "b"},
        },
        "prometheus": {
            "url": "http://prometheus.monitoring:9090",
            "bearerTokenSecret": {"name": "prometheus", "key": "token"},
        },
        "networkPolicy": {"metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "registry": {"persistence": {"storageClass": "fast", "existingClaim": "kept"}},
        "monitoring": MONITORED,
    },
    "of the test cluster": cluster_values(
        {name: f"registry.test:5000/tiersplit/{name}:1" for name in ("operator", "stage", "import")},
        "registry.test/r:2",
    ),
}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown value", {"operatr": {}}, "operatr"),
    ("an unknown value within", {"operator": {"replica": 2}}, "replica"),
    ("no replica", {"operator": {"replicas": 0}}, "replicas"),
    ("a number as text", {"operator": {"replicas": "2"}}, "replicas"),
    ("a quantity that is none", {"operator": {"tmpSizeLimit": "2 GB"}}, "tmpSizeLimit"),
    ("an unknown log level", {"operator": {"log": {"level": "loud"}}}, "level"),
    ("a registry without an address", {"registry": {"enabled": False}}, "address"),
    ("a scheme in the registry's address", {"registry": {"enabled": False, "address": "https://r.test/x"}}, "address"),
    ("a registry without a path", {"registry": {"enabled": False, "address": "registry.test:5000"}}, "address"),
    ("a certificate that is none", {"registry": {"caCertificate": "secret"}}, "caCertificate"),
    ("an unknown kind of TLS", {"routes": {"tls": {"mode": "TLS"}}}, "mode"),
    ("cert-manager without an issuer", {"routes": {"tls": {"mode": "CertManager"}}}, "issuerRef"),
    ("an address without a port", {"routes": {"address": "routes.test"}}, "address"),
    ("a Prometheus without a scheme", {"prometheus": {"url": "prometheus:9090"}}, "url"),
    ("an unknown field of Prometheus", {"prometheus": {"allowed": ["http://a.test"]}}, "allowed"),
    ("a namespace that is none", {"watch": {"namespaces": ["Team A"]}}, "namespaces"),
    ("one namespace twice", {"watch": {"namespaces": ["a", "a"]}}, "namespaces"),
    ("a digest that is none", {"images": {"stage": {"digest": "latest"}}}, "digest"),
    ("no account at all", {"serviceAccount": {"create": False}}, "name"),
    ("a period without a unit", {"monitoring": {"podMonitor": {"interval": "5"}}}, "interval"),
    ("a test without tiers", {"test": {"tiers": []}}, "tiers"),
]


@pytest.fixture(scope="session", autouse=True)
def _helm() -> None:
    if not is_built("helm") and shutil.which("go") is None:
        need("Helm", ["Go 1.26 or later, which builds it, is not on the PATH"])


@pytest.fixture(scope="module")
def cluster(api_server: ApiServer) -> Iterator[ApiServer]:
    """The API server with the definitions and namespaces that the chart needs, none of which it makes itself."""
    documents: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (NAMESPACE, "team-a", "team-b")
    ]
    documents += [
        _open_definition(group, version, kind)
        for group, of in FOREIGN.items()
        for version in of
        for kind in of[version]
    ]
    documents += objects((ROOT / "crds" / "tiersplit.dev_splitdeployments.yaml").read_text())
    api_server.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))
    api_server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=120s")
    return api_server


def _open_definition(group: str, version: str, kind: str) -> dict[str, Any]:
    """A definition of somebody else's kind that takes any fields: it stands for the real one."""
    plural = f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def test_helm_finds_nothing_to_complain_about():
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize("values", ACCEPTED.values(), ids=ACCEPTED)
def test_the_api_server_takes_what_the_chart_renders(cluster: ApiServer, values: dict[str, Any]):
    rendered = template(values)
    assert "<no value>" not in rendered
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=rendered)


@pytest.mark.parametrize(("what", "values", "field"), REFUSED, ids=[what for what, _, _ in REFUSED])
def test_wrong_values_are_refused_by_their_name(what: str, values: dict[str, Any], field: str):
    with pytest.raises(ClusterError, match=field):
        template(values)


def test_every_pod_of_the_chart_is_restricted_limited_and_has_a_root_that_cannot_be_written(cluster: ApiServer):
    cluster.kubectl("label", "--overwrite", "namespace", "team-a", "pod-security.kubernetes.io/enforce=restricted")
    for name, pod in pods(template(ACCEPTED["everything"], namespace="team-a")):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "team-a"}, "spec": pod}
        cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name


def pods(rendered: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in objects(rendered):
        name = f"{found['kind']}/{found['metadata']['name']}"
        if found["kind"] in {"Deployment", "Job"}:
            yield name, found["spec"]["template"]["spec"]
        if found["kind"] == "Pod":
            yield name, found["spec"]


def test_a_kept_definition_says_so_and_one_of_somebody_elses_is_left_out():
    def definition(**crds: bool) -> list[dict[str, Any]]:
        return [found for found in objects(template({"crds": crds})) if found["kind"] == "CustomResourceDefinition"]

    assert definition()[0]["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "annotations" not in definition(keep=False)[0]["metadata"]
    assert definition(enabled=False) == []


def test_nothing_that_concerns_all_namespaces_is_made_for_some_but_reviewing_tokens():
    rendered = objects(
        template({"watch": {"namespaces": ["team-a"]}, "rbac": {"aggregate": False}, "crds": {"enabled": False}})
    )
    wide = [found for found in rendered if found["kind"] == "ClusterRole"]
    assert [rule["resources"] for found in wide for rule in found["rules"]] == [["tokenreviews"]]
    assert {found["metadata"]["namespace"] for found in rendered if found["kind"] == "Role"} == {NAMESPACE, "team-a"}


def test_the_certificate_is_made_out_to_every_name_that_stages_dial():
    found = next(o for o in objects(template({"routes": {"address": "routes.test:443"}})) if o["kind"] == "Secret")
    chain = x509.load_pem_x509_certificate(base64.b64decode(found["data"]["tls.crt"]))
    names = chain.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    assert set(names) >= {
        f"tiersplit-routes.{NAMESPACE}.svc.cluster.local",
        f"tiersplit-routes.{NAMESPACE}.svc",
        "routes.test",
    }


def test_the_plain_manifests_are_what_the_chart_renders():
    assert FILE.read_text() == manifests(), "run `make manifests` and commit"


def test_kustomize_builds_them_and_the_api_server_takes_the_result(cluster: ApiServer):
    built = cluster.kubectl("kustomize", str(FILE.parent))
    kinds = {found["kind"] for found in objects(built)}
    assert {"Namespace", "CustomResourceDefinition", "Deployment", "ClusterRole"} <= kinds
    assert "Secret" not in kinds, "nobody's key belongs into a repository"
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=built)


@pytest.mark.parametrize("file", ["argocd/application.yaml", "flux/tiersplit.yaml"])
def test_the_values_of_gitops_examples_are_taken(cluster: ApiServer, file: str):
    documents = objects((ROOT / "examples" / file).read_text())
    specs = [found["spec"] for found in documents if found["kind"] in {"Application", "HelmRelease"}]
    values = specs[0].get("values") or specs[0]["source"]["helm"]["valuesObject"]
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=template(values))


def test_the_example_of_own_images_gives_them_to_the_operator_and_to_what_it_makes(cluster: ApiServer):
    built = cluster.kubectl("kustomize", str(ROOT / "examples" / "kustomize"))
    operator = next(
        found
        for found in objects(built)
        if found["metadata"]["name"] == "tiersplit-operator" and found["kind"] == "Deployment"
    )
    container = operator["spec"]["template"]["spec"]["containers"][0]
    given = {entry["name"]: entry.get("value", "") for entry in container["env"]}
    images = [container["image"], given["TIERSPLIT_STAGE_IMAGE"], given["TIERSPLIT_IMPORT_IMAGE"]]
    assert all(image.startswith("registry.internal/tiersplit/") for image in images)
    assert len(given) > 20, "the patch must not replace the other settings"


def test_the_example_for_argo_cd_adds_its_health_check_to_argo_cds_own_configuration(cluster: ApiServer):
    built = objects(cluster.kubectl("kustomize", str(ROOT / "examples" / "argocd")))
    configuration = next(found for found in built if found["kind"] == "ConfigMap")
    assert configuration["metadata"]["name"] == "argocd-cm"
    assert list(configuration["data"]) == ["resource.customizations.health.tiersplit.dev_SplitDeployment"]


def test_the_example_of_a_cluster_is_taken(cluster: ApiServer):
    cluster.kubectl("apply", "--dry-run=server", "-f", str(ROOT / "examples" / "digits" / "cluster.yaml"))

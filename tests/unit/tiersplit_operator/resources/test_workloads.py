from itertools import pairwise

import pytest

from tests.support.operator_context import context
from tiersplit_core.errors import ManifestError
from tiersplit_operator.resources.workloads import stage_threads, workload
from tiersplit_operator.settings import RegistrySettings, RoutesSettings

EDGE = {"name": "edge"}


def built(tier=0, *, changes=None, base_bytes=0, **spec):
    about = context(changes, **spec)
    return workload(about, about.resource.spec.tiers[tier], base_bytes)


def pod_of(document):
    return document["spec"]["template"]["spec"]


def container_of(document):
    return pod_of(document)["containers"][0]


def after(document, flag):
    arguments = container_of(document)["args"]
    return arguments[arguments.index(flag) + 1]


def test_a_tier_with_replicas_is_a_deployment_with_that_number():
    document = built(2)
    assert (document["kind"], document["spec"]["replicas"]) == ("Deployment", 2)


def test_without_replicas_the_number_is_left_to_whoever_scales():
    assert "replicas" not in built(1)["spec"]


def test_every_node_makes_a_daemon_set():
    document = built(0, tiers=[{"name": "edge", "placement": "EveryNode"}])
    assert document["kind"] == "DaemonSet"
    assert document["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_recreate_ends_the_old_pod_first():
    assert built(tiers=[{"name": "edge", "rollout": "Recreate"}])["spec"]["strategy"] == {"type": "Recreate"}


def test_the_first_tier_tolerates_an_unreachable_node_for_ever_and_the_others_half_a_minute():
    first, second = (pod_of(built(tier))["tolerations"] for tier in (0, 1))
    assert all("tolerationSeconds" not in item for item in first)
    assert {item["tolerationSeconds"] for item in second} == {30}


def test_only_the_first_tier_serves_clients():
    names = [[port["name"] for port in container_of(built(tier))["ports"]] for tier in (0, 1)]
    assert ("inference" in names[0], "inference" in names[1]) == (True, False)
    assert "--serve" not in container_of(built(1))["args"]


def test_a_pod_fits_the_restricted_standard_and_cannot_write_its_image():
    pod, container = pod_of(built()), container_of(built())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False


def test_the_memory_limit_is_the_budget_and_the_runtime():
    assert container_of(built(base_bytes=79 * 2**20))["resources"]["limits"]["memory"] == "143Mi"


def test_a_given_memory_limit_stands_and_requests_never_exceed_it():
    tiers = [{"name": "edge", "memory": "16Mi", "resources": {"limits": {"memory": "100Mi"}}}]
    found = container_of(built(tiers=tiers))["resources"]
    assert (found["limits"]["memory"], found["requests"]["memory"]) == ("100Mi", "100Mi")


def test_every_container_has_requests_and_limits_so_that_a_quota_admits_it():
    for tier in range(3):
        found = container_of(built(tier))["resources"]
        assert {"cpu", "memory"} <= found["limits"].keys()
        assert {"cpu", "memory"} <= found["requests"].keys()


@pytest.mark.parametrize(("limit", "threads"), [("250m", 1), ("1", 1), ("1500m", 2), ("4", 4)])
def test_threads_are_the_processor_limit_rounded_up(limit, threads):
    tier = context(tiers=[{"name": "edge", "resources": {"limits": {"cpu": limit}}}]).resource.spec.tiers[0]
    assert stage_threads(tier) == threads


def test_a_processor_limit_that_is_no_quantity_is_refused_with_its_field():
    tier = context(tiers=[{"name": "edge", "resources": {"limits": {"cpu": "many"}}}]).resource.spec.tiers[0]
    with pytest.raises(ManifestError, match=r"spec\.tiers\[edge\]\.resources\.limits\.cpu"):
        stage_threads(tier)


def test_certificates_are_mounted_unless_tls_is_off():
    assert after(built(), "--tls-dir") == "/etc/tiersplit/tls"
    secrets = [volume["secret"] for volume in pod_of(built())["volumes"] if "secret" in volume]
    assert secrets == [{"secretName": "digits-tls"}]
    off = built(tls={"mode": "Off"})
    assert "--tls-dir" not in container_of(off)["args"]
    assert all("secret" not in volume for volume in pod_of(off)["volumes"])


def test_the_controller_is_trusted_by_the_certificate_that_the_route_carries():
    changes = {"routes": RoutesSettings(address="routes.ops:9443", ca_pem="PEM")}
    document = built(changes=changes)
    assert after(document, "--controller") == "routes.ops:9443"
    assert after(document, "--controller-ca") == "/etc/tiersplit/route/controller-ca.crt"


def test_registry_credentials_are_mounted_where_the_settings_name_a_secret():
    changes = {"registry": RegistrySettings("r.test/x", secret="pull", ca_pem="PEM")}
    document = built(changes=changes)
    assert {"name": "DOCKER_CONFIG", "value": "/etc/tiersplit/registry"} in container_of(document)["env"]
    assert after(document, "--registry-ca") == "/etc/tiersplit/route/registry-ca.crt"
    assert "--registry-plain-http" not in container_of(document)["args"]


def test_the_pod_has_time_to_drain():
    document = built()
    needed = float(after(document, "--drain-wait-s")) + float(after(document, "--drain-timeout-s"))
    assert pod_of(document)["terminationGracePeriodSeconds"] > needed


def test_a_template_joins_and_labels_that_select_pods_stay():
    template = {
        "metadata": {"labels": {"team": "vision", "tiersplit.dev/tier": "other"}, "annotations": {"a": "b"}},
        "spec": {
            "priorityClassName": "high",
            "imagePullSecrets": [{"name": "pull"}],
            "tolerations": [{"key": "edge", "operator": "Exists"}],
            "containers": [{"name": "stage", "env": [{"name": "OMP_NUM_THREADS", "value": "1"}]}],
        },
    }
    document = built(tiers=[{"name": "edge", "template": template}])
    labels = document["spec"]["template"]["metadata"]["labels"]
    assert (labels["team"], labels["tiersplit.dev/tier"]) == ("vision", "edge")
    pod, container = pod_of(document), container_of(document)
    assert pod["priorityClassName"] == "high"
    assert len(pod["tolerations"]) == 3
    assert {"name": "OMP_NUM_THREADS", "value": "1"} in container["env"]
    assert {"POD_NAME", "POD_IP", "NODE_NAME"} <= {item["name"] for item in container["env"]}
    assert container["command"] == ["python", "-m", "tiersplit_stage"]


def test_a_claim_keeps_the_cache_where_one_is_named():
    document = built(tiers=[{"name": "edge", "cache": {"claimName": "keep"}}])
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "keep"}} in pod_of(document)["volumes"]


@pytest.mark.parametrize(
    ("cache", "size_bytes"),
    [({}, 8 * 2**30), ({"sizeLimit": "1Gi"}, 2**30), ({"claimName": "keep"}, None)],
    ids=["default", "given", "claim"],
)
def test_blobs_stay_below_the_size_at_which_the_kubelet_evicts_the_pod(cache, size_bytes):
    document = built(tiers=[{"name": "edge", "cache": cache}])
    arguments = container_of(document)["args"]
    given = [int(size) for flag, size in pairwise(arguments) if flag == "--cache-limit-bytes"]
    assert given == ([] if size_bytes is None else [int(0.95 * size_bytes)])


def test_every_argument_is_one_that_a_stage_knows():
    from tiersplit_stage.options import parse  # noqa: PLC0415

    changes = {
        "routes": RoutesSettings(ca_pem="PEM"),
        "registry": RegistrySettings("r.test/x", plain_http=True, ca_pem="PEM"),
    }
    tiers = [{"name": "edge", "cache": {"sizeLimit": "1Gi"}}, {"name": "cloud"}]
    for tier in range(2):
        arguments = [
            text.replace("$(POD_IP)", "10.0.0.1")
            for text in container_of(built(tier, changes=changes, tiers=tiers))["args"]
        ]
        assert parse(arguments).tier == tiers[tier]["name"]

"""The API server that integration tests run against."""

import json

import pytest

from tests.cluster.apiserver import ApiServer
from tests.cluster.layout import KUBERNETES, ClusterError


def test_the_api_server_says_the_pinned_version(api_server: ApiServer) -> None:
    assert json.loads(api_server.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"] == KUBERNETES


def test_another_user_may_do_only_what_rbac_gives_them(api_server: ApiServer) -> None:
    asking = ("--kubeconfig", str(api_server.user_kubeconfig("reader")), "get", "configmaps", "--namespace=kube-public")
    with pytest.raises(ClusterError, match="Forbidden"):
        api_server.kubectl(*asking)
    namespace = "--namespace=kube-public"
    api_server.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", namespace)
    api_server.kubectl("create", "rolebinding", "reader", "--role=reader", "--user=reader", namespace)
    assert api_server.kubectl(*asking) == ""


def test_a_pod_can_be_created_without_a_controller_manager(api_server: ApiServer) -> None:
    api_server.kubectl("run", "waiting", "--image=none.test/none:1")
    assert api_server.kubectl("get", "pod", "waiting", "-o", "jsonpath={.status.phase}") == "Pending"

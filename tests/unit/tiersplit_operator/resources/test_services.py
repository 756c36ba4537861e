from tests.support.operator_context import context
from tiersplit_operator.resources.addresses import tier_addresses
from tiersplit_operator.resources.disruption import disruption_budget
from tiersplit_operator.resources.policies import network_policy
from tiersplit_operator.resources.services import front_service, tier_service


def test_clients_reach_the_head_of_their_own_node_where_every_node_has_one():
    everywhere = context(tiers=[{"name": "edge", "placement": "EveryNode"}, {"name": "cloud"}])
    assert front_service(everywhere)["spec"]["internalTrafficPolicy"] == "Local"
    assert "internalTrafficPolicy" not in front_service(context())["spec"]


def test_the_front_service_is_called_like_the_resource_and_selects_heads():
    document = front_service(context())
    assert document["metadata"]["name"] == "digits"
    selector = document["spec"]["selector"]
    assert selector.items() <= context().labels("edge").items()
    assert not selector.items() <= context().labels("edge", "profile").items()
    assert document["spec"]["ports"][0]["appProtocol"] == "grpc"


def test_a_tiers_service_has_an_address_for_every_stage_ready_or_not():
    about = context()
    spec = tier_service(about, about.resource.spec.tiers[1])["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)


def test_a_tier_in_a_private_network_is_reached_as_the_manifest_says():
    service = {"type": "LoadBalancer", "annotations": {"lb": "internal"}, "externalAddress": "split.example.org:443"}
    about = context(tiers=[{"name": "edge"}, {"name": "cloud", "service": service}])
    document = tier_service(about, about.resource.spec.tiers[1])
    assert document["spec"]["type"] == "LoadBalancer"
    assert document["metadata"]["annotations"] == {"lb": "internal"}
    assert tier_addresses(about) == {"cloud": "split.example.org:443"}


def test_nobody_dials_the_first_tier():
    assert tier_addresses(context()) == {
        "mdc": "digits-mdc.shop.svc.cluster.local.:9000",
        "cloud": "digits-cloud.shop.svc.cluster.local.:9000",
    }


def test_one_stage_at_a_time_may_be_evicted_and_a_broken_one_always():
    about = context()
    spec = disruption_budget(about, about.resource.spec.tiers[0])["spec"]
    assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_activations_come_from_stages_of_the_same_resource_alone():
    rules = network_policy(context())["spec"]["ingress"]
    assert {port["port"] for port in rules[0]["ports"]} == {8001, 9090, 9001}
    assert rules[1]["from"] == [{"podSelector": {"matchLabels": {"tiersplit.dev/deployment": "digits"}}}]


def test_every_child_is_owned_without_blocking_its_owners_deletion():
    (owner,) = front_service(context())["metadata"]["ownerReferences"]
    assert owner["uid"] == "u-1"
    assert owner["blockOwnerDeletion"] is False

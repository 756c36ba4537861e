"""Services: one that clients use, and a headless one per tier for the tier before it."""

from tiersplit_api.v1alpha1.tiers import ServiceType, Tier, TierPlacement
from tiersplit_operator.resources.context import Context, stage_selector
from tiersplit_operator.resources.names import front_service_name, tier_service_name
from tiersplit_operator.resources.pods import Tree, metadata
from tiersplit_operator.resources.ports import ACTIVATIONS, ACTIVATIONS_NAME, INFERENCE, INFERENCE_NAME


def front_service(context: Context) -> Tree:
    """The Service of the heads; where every node has one, clients reach that of their own node."""
    first = context.resource.spec.tiers[0]
    port = {"name": "grpc", "port": INFERENCE, "targetPort": INFERENCE_NAME, "appProtocol": "grpc", "protocol": "TCP"}
    spec: Tree = {
        "type": first.service.type.value,
        "selector": stage_selector(context.name, first.name),
        "ports": [port],
    }
    if first.placement is TierPlacement.EVERY_NODE:
        spec["internalTrafficPolicy"] = "Local"
    labels = context.labels(first.name)
    annotations = {"annotations": dict(first.service.annotations)} if first.service.annotations else {}
    about = metadata(context, front_service_name(context.name), labels, **annotations)
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}


def tier_service(context: Context, tier: Tier) -> Tree:
    """How the tier before reaches `tier`: every stage's address, ready or not.

    Stages check each other's health themselves, and their golden check needs stages that are not ready yet. A tier in a
    private network has a Service of the wanted type instead of a headless one; the first tier's is for its metrics.
    """
    port = {
        "name": ACTIVATIONS_NAME,
        "port": ACTIVATIONS,
        "targetPort": ACTIVATIONS_NAME,
        "appProtocol": "grpc",
        "protocol": "TCP",
    }
    spec: Tree = {
        "selector": stage_selector(context.name, tier.name),
        "ports": [port],
        "publishNotReadyAddresses": True,
    }
    first = tier.name == context.resource.spec.tiers[0].name
    if first or tier.service.type is ServiceType.CLUSTER_IP:
        spec |= {"type": "ClusterIP", "clusterIP": "None"}
    else:
        spec["type"] = tier.service.type.value
    annotations = {} if first or not tier.service.annotations else {"annotations": dict(tier.service.annotations)}
    about = metadata(context, tier_service_name(context.name, tier.name), context.labels(tier.name), **annotations)
    return {"apiVersion": "v1", "kind": "Service", "metadata": about, "spec": spec}

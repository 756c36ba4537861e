"""The NetworkPolicy of a resource: who may open connections to its stages and Jobs."""

from tiersplit_operator.resources import ports
from tiersplit_operator.resources.context import DEPLOYMENT_LABEL, Context
from tiersplit_operator.resources.names import policy_name
from tiersplit_operator.resources.pods import Tree, metadata


def network_policy(context: Context) -> Tree:
    """Heads, metrics and health are reached from anywhere; activations come from stages of the same resource.

    Health is asked by the kubelet, which not every network lets through by itself; nothing connects to a Job.
    """
    ours = {"podSelector": {"matchLabels": {DEPLOYMENT_LABEL: context.name}}}
    open_ports = [{"port": port, "protocol": "TCP"} for port in (ports.INFERENCE, ports.METRICS, ports.HEALTH)]
    outside = any(tier.service.external_address for tier in context.resource.spec.tiers)
    between: Tree = {"ports": [{"port": ports.ACTIVATIONS, "protocol": "TCP"}]}
    if not outside:
        between["from"] = [ours]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(context, policy_name(context.name), context.labels()),
        "spec": {
            "podSelector": {"matchLabels": {DEPLOYMENT_LABEL: context.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": open_ports}, between],
        },
    }

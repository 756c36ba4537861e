"""The disruption budget of a tier: one stage at a time may be evicted, a broken one always."""

from tiersplit_api.v1alpha1.tiers import Tier
from tiersplit_operator.resources.context import Context, stage_selector
from tiersplit_operator.resources.names import workload_name
from tiersplit_operator.resources.pods import Tree, metadata


def disruption_budget(context: Context, tier: Tier) -> Tree:
    """The PodDisruptionBudget."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(context, workload_name(context.name, tier.name), context.labels(tier.name)),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": stage_selector(context.name, tier.name)},
        },
    }

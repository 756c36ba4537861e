"""Where the tier before each tier dials it."""

from collections.abc import Mapping

from tiersplit_operator.resources.context import Context
from tiersplit_operator.resources.names import tier_service_name
from tiersplit_operator.resources.ports import ACTIVATIONS


def tier_addresses(context: Context) -> Mapping[str, str]:
    """HOST:PORT per tier but the first, which nobody dials.

    The host is a name with an address for each stage: stages resolve it themselves, so that they find pods that were
    replaced while no operator was there to tell. It ends with a dot: without one, a pod's resolver tries each of its
    search domains first, every second.
    """
    return {
        tier.name: tier.service.external_address or _internal(context, tier.name)
        for tier in context.resource.spec.tiers[1:]
    }


def _internal(context: Context, tier: str) -> str:
    service = tier_service_name(context.name, tier)
    return f"{service}.{context.namespace}.svc.{context.settings.cluster_domain}.:{ACTIVATIONS}"

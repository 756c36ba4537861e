"""From a finished bundle to what can be served: intent, catalogue, and a route."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tiersplit_api.v1alpha1.adaptation import Prometheus
from tiersplit_api.v1alpha1.tiers import Rollout
from tiersplit_api.v1alpha1.types import SplitDeployment
from tiersplit_bundle import media
from tiersplit_bundle.bundle import Bundle
from tiersplit_bundle.layout import parse_document
from tiersplit_control.catalogue import Catalogue
from tiersplit_control.intent import Intent, intent_of
from tiersplit_control.quality import Quality
from tiersplit_control.routing import make_route
from tiersplit_core.errors import OperationError
from tiersplit_core.planning.surface_json import surface_from_json
from tiersplit_core.profile.json import profile_from_json
from tiersplit_core.profile.layers import TierProfile
from tiersplit_wire.v1 import route_pb2 as pb

MAX_BATCH = 256
"""Largest batch that heads take, at least; a surface that was made for larger ones says so."""


class BundleSource(Protocol):
    """Where bundles are read from."""

    async def bundle(self, reference: str) -> Bundle:
        """The bundle of `oci://HOST/REPOSITORY@DIGEST` with its graph, surface and profiles; segments stay away.

        Raises:
            BundleError: it is damaged or none.
            OperationError: the registry does not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a manifest asks of adaptation; as long as it stays the same, nothing has to be made again.

    Attributes:
        intent: tiers, links and how eager the policy is.
        queries: its own queries of Prometheus.
        crowded: tiers whose nodes have no room for two bundles at once.
    """

    intent: Intent
    queries: Prometheus
    crowded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Served:
    """What a bundle can serve for one resource.

    Attributes:
        wanted: what the manifest asks for.
        catalogue: the plans.
    """

    wanted: Wanted
    catalogue: Catalogue

    @property
    def intent(self) -> Intent:
        """What the manifest asks for, in numbers."""
        return self.wanted.intent


def wanted_by(resource: SplitDeployment) -> Wanted:
    """What a manifest asks of adaptation.

    Raises:
        ManifestError: it asks for something that is not planned.
    """
    crowded = frozenset(tier.name for tier in resource.spec.tiers if tier.rollout is Rollout.RECREATE)
    return Wanted(intent_of(resource), resource.spec.telemetry.prometheus, crowded)


def catalogue_of(bundle: Bundle) -> Catalogue:
    """The plans that a bundle carries: its newest surface, with the newest profile of each tier.

    Raises:
        BundleError: there is no surface, or a document is none.
    """
    surface = surface_from_json(bundle.read_json(media.SURFACE))
    blobs = {segment.id: segment.digest for segment in bundle.segments}
    return Catalogue(bundle.graph, surface.tiers, surface, _profiles(bundle), blobs, _quality(bundle))


def _quality(bundle: Bundle) -> Quality:
    known = bundle.accuracies
    return Quality() if known is None else Quality(accuracies=known.plans, whole=known.whole)


def _profiles(bundle: Bundle) -> dict[str, TierProfile]:
    found: dict[str, TierProfile] = {}
    for entry in bundle.layers:
        if entry.media_type == media.PROFILE:
            document = parse_document(bundle.read(entry.digest), entry.digest)
            profile = profile_from_json(document, bundle.graph, bundle.graph_digest)
            found[profile.tier] = profile
    return found


def plain_route(served: Served, bundle: Bundle, reference: str, addresses: Mapping[str, str]) -> pb.Route:
    """The route that serves what a bundle can: without epoch, selected plan, probe budget and guidance.

    Args:
        served: what it can.
        bundle: the bundle.
        reference: where stages pull it from.
        addresses: `HOST:PORT` by which the tier before each tier dials it.

    Raises:
        OperationError: the bundle was planned for other tiers, or lacks a segment.
    """
    intent, catalogue = served.intent, served.catalogue
    if intent.tier_names != catalogue.tiers:
        planned, asked = ", ".join(catalogue.tiers), ", ".join(intent.tier_names)
        raise OperationError(f"the bundle was planned for the tiers {planned}, the manifest has {asked}")
    largest = max(MAX_BATCH, *catalogue.surface.batches)
    dialled = {tier: (address,) for tier, address in addresses.items()}
    return make_route(intent, bundle, catalogue, dialled, largest, reference=reference)

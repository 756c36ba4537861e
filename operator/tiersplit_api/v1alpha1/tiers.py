"""`spec.tiers` and `spec.links`: where the model runs and what joins the places."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tiersplit_api.v1alpha1.base import ApiModel, CoreObject, Quantity, ShortText, TierName

BitWidth = Annotated[int, Field(json_schema_extra={"enum": [2, 4, 6, 8, 16, 32]})]
BIT_WIDTHS = (2, 4, 6, 8, 16, 32)


class TierPlacement(StrEnum):
    """How many stages a tier has."""

    REPLICAS = "Replicas"
    EVERY_NODE = "EveryNode"


class Rollout(StrEnum):
    """How a tier's pods are replaced."""

    SURGE = "Surge"
    RECREATE = "Recreate"


class ServiceType(StrEnum):
    """How a Service is reached."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"


class TierService(ApiModel):
    """How a tier is reached."""

    type: ServiceType = Field(
        default=ServiceType.CLUSTER_IP, description="type is the Service's type: ClusterIP, NodePort or LoadBalancer."
    )
    annotations: dict[str, Annotated[str, StringConstraints(max_length=4096)]] = Field(
        default_factory=dict, max_length=32, description="annotations are the Service's annotations."
    )
    external_address: ShortText | None = Field(
        default=None, description="externalAddress is HOST:PORT by which the tier before reaches this one."
    )


class TierCache(ApiModel):
    """Where a tier's stages keep segments."""

    size_limit: Quantity | None = Field(default=None, description="sizeLimit bounds the cache.")
    claim_name: ShortText | None = Field(
        default=None, description="claimName is a PersistentVolumeClaim to keep it in."
    )


class Tier(ApiModel):
    """A place where segments run."""

    name: TierName = Field(description="name is the tier's name.")
    node_selector: dict[str, ShortText] = Field(
        default_factory=dict, max_length=16, description="nodeSelector names the tier's nodes."
    )
    placement: TierPlacement = Field(
        default=TierPlacement.REPLICAS, description="placement is Replicas, or EveryNode for one stage on each node."
    )
    replicas: int | None = Field(
        default=None, ge=1, le=100, description="replicas is the number of stages; unset, an autoscaler may own it."
    )
    memory: Quantity | None = Field(
        default=None, description="memory is the planner's budget for weights and working set; unlimited when absent."
    )
    weight_bits: list[BitWidth] = Field(
        default_factory=lambda: [8, 32],
        min_length=1,
        max_length=6,
        description="weightBits are the bit widths that weights may have: 2, 4, 6, 8, 16, 32; "
        "fewer than 16 are tried on the first tier, where the model has calibration and validation data.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    activation_bits: list[BitWidth] = Field(
        default_factory=lambda: [8, 32],
        min_length=1,
        max_length=6,
        description="activationBits are the bit widths that activations may have: 2, 4, 6, 8, 16, 32; "
        "fewer than 16 are tried on the first tier, where the model has calibration and validation data.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    resources: CoreObject = Field(default_factory=dict, description="resources are core resource requirements.")
    template: CoreObject = Field(default_factory=dict, description="template is merged into the tier's pod template.")
    rollout: Rollout = Field(
        default=Rollout.SURGE, description="rollout says whether a new pod starts before the old one ends."
    )
    service: TierService = Field(default=TierService(), description="service says how the tier is reached.")
    cache: TierCache = Field(default=TierCache(), description="cache says where segments are kept.")


class Link(ApiModel):
    """What joins two neighbouring tiers."""

    source: TierName = Field(alias="from", description="from is the tier nearer to the edge.")
    target: TierName = Field(alias="to", description="to is the next tier.")
    bandwidth: Quantity | None = Field(
        default=None, description="bandwidth in bits per second, as in 10M; measured by probing when absent."
    )
    latency_milliseconds: int | None = Field(
        default=None, ge=0, le=60000, description="latencyMilliseconds is the propagation latency one way."
    )

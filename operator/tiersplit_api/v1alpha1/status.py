"""`status`: small, written by the controller alone."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tiersplit_api.v1alpha1.adaptation import Digest
from tiersplit_api.v1alpha1.base import ApiModel, Percent, Quantity, ShortText, TierName, Uri

Reason = Annotated[str, StringConstraints(pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=128)]
Milliseconds = Annotated[int, Field(ge=0, le=2**53)]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of the state, as the Kubernetes API conventions have it."""

    type: ShortText = Field(description="type is the condition's name, such as Ready.")
    status: ConditionStatus = Field(description="status is True, False or Unknown.")
    observed_generation: int = Field(
        default=0, ge=0, description="observedGeneration is the generation that was looked at."
    )
    last_transition_time: datetime = Field(description="lastTransitionTime is when status last changed.")
    reason: Reason = Field(description="reason is one word for programs.")
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        default="", description="message is a sentence for people."
    )


class StageStatus(ApiModel):
    """What one tier does in a plan."""

    tier: TierName = Field(description="tier is the tier's name.")
    layers: int = Field(default=0, ge=0, le=2**31 - 1, description="layers is how many layers run there.")
    compute: ShortText = Field(default="", description="compute is the time that they take, as in 12.4 ms.")
    sends: ShortText = Field(default="", description="sends is what goes on to the next tier, as in 96 KiB.")


class PlanStatus(ApiModel):
    """The plan that serves."""

    digest: Digest = Field(description="digest is the plan's name.")
    split: ShortText = Field(
        default="", description="split says how many layers each tier has, as in edge:12,cloud:40."
    )
    latency_milliseconds: Milliseconds | None = Field(
        default=None, description="latencyMilliseconds is the estimated latency."
    )
    latency: ShortText = Field(default="", description="latency is the estimated latency for people, as in 12.4 ms.")
    # No percentage by its type: the user's own function may give more than the 8 characters of one, or less than 0.
    accuracy: ShortText | None = Field(
        default=None, description="accuracy is what was measured on the validation data, with the files that serve."
    )
    bits: ShortText = Field(
        default="",
        description="bits are the widths of weights and activations that are fewer than the model's own, as in W8A8.",
    )
    form: ShortText = Field(
        default="", description="form is how layers of fewer bits run: int8 or packed; empty where there are none."
    )
    stages: list[StageStatus] = Field(
        default_factory=list,
        max_length=6,
        description="stages are what each tier does.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class SurfaceStatus(ApiModel):
    """The surface that plans are chosen from."""

    plans: int = Field(default=0, ge=0, le=64, description="plans is how many plans the surface has.")
    selectable: int = Field(
        default=0, ge=0, le=64, description="selectable is how many have answered their golden request."
    )
    bundle: Uri | None = Field(default=None, description="bundle is where the bundle that holds it lies.")
    gap: Percent | None = Field(
        default=None, description="gap is how far the best of its plans may be from the best of all."
    )


class LinkStatus(ApiModel):
    """What is known of one link."""

    source: TierName = Field(alias="from", description="from is the tier nearer to the edge.")
    target: TierName = Field(alias="to", description="to is the next tier.")
    bandwidth: Quantity | None = Field(
        default=None, description="bandwidth in bits per second; 0 when the link is down."
    )
    latency_milliseconds: Milliseconds | None = Field(default=None, description="latencyMilliseconds one way.")


class TierObservation(ApiModel):
    """What is known of one tier."""

    tier: TierName = Field(description="tier is the tier's name.")
    load: Percent = Field(default="100%", description="load is observed over profiled seconds.")


class Observation(ApiModel):
    """What was seen last."""

    latency_milliseconds: Milliseconds | None = Field(
        default=None, description="latencyMilliseconds is the mean seen by heads."
    )
    tiers: list[TierObservation] = Field(default_factory=list, max_length=6, description="tiers are the tiers' loads.")
    time: datetime | None = Field(default=None, description="time is when it was seen.")


class Estimate(ApiModel):
    """What the serving plan should take."""

    latency_milliseconds: Milliseconds | None = Field(
        default=None, description="latencyMilliseconds is the planner's estimate."
    )


class NodesOnPlan(ApiModel):
    """How many heads use one plan."""

    plan: Digest = Field(description="plan is the plan's name.")
    nodes: int = Field(ge=0, le=2**31 - 1, description="nodes is how many first-tier stages use it.")


class HistoryEntry(ApiModel):
    """One decision."""

    time: datetime = Field(description="time is when it was taken.")
    plan: Digest | None = Field(
        default=None, description="plan is the plan that was chosen; none where none can serve."
    )
    reason: Annotated[str, StringConstraints(max_length=256)] = Field(default="", description="reason says why.")


class Status(ApiModel):
    """The state of a SplitDeployment."""

    observed_generation: int = Field(
        default=0, ge=0, description="observedGeneration is the generation that was applied."
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=16,
        description="conditions are the aspects of the state.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    plan: PlanStatus | None = Field(default=None, description="plan is the plan that serves.")
    surface: SurfaceStatus | None = Field(default=None, description="surface is what plans are chosen from.")
    links: list[LinkStatus] = Field(
        default_factory=list,
        max_length=5,
        description="links are the links as estimated.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["from", "to"]},
    )
    estimate: Estimate | None = Field(default=None, description="estimate is what the plan should take.")
    observation: Observation | None = Field(default=None, description="observation is what was seen last.")
    nodes: list[NodesOnPlan] = Field(
        default_factory=list,
        max_length=8,
        description="nodes say how many first-tier stages use which plan.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["plan"]},
    )
    history: list[HistoryEntry] = Field(
        default_factory=list,
        max_length=20,
        description="history are the last moves, newest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )

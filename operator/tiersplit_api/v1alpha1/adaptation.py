"""What is wanted and how plans are changed: accuracy, objective, early exits, adaptation, telemetry."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from tiersplit_api.v1alpha1.base import ApiModel, LongText, Percent, off_as_word


class Minimize(StrEnum):
    """What a plan may minimise."""

    LATENCY = "Latency"
    EDGE_MEMORY = "EdgeMemory"
    LATENCY_AND_EDGE_MEMORY = "LatencyAndEdgeMemory"
    LATENCY_MAXIMIZE_EDGE_USE = "LatencyMaximizeEdgeUse"
    THROUGHPUT = "Throughput"


class Maximize(StrEnum):
    """What a plan may maximise."""

    ACCURACY = "Accuracy"


class RawInput(StrEnum):
    """Where the model's input may go."""

    ANY_TIER = "AnyTier"
    FIRST_TIER_ONLY = "FirstTierOnly"


class ExitMode(StrEnum):
    """Whether early exits are added."""

    OFF = "Off"
    AUTO = "Auto"


class AdaptationMode(StrEnum):
    """Who moves the split."""

    AUTO = "Auto"
    RECOMMEND = "Recommend"
    PAUSED = "Paused"


class FallbackBehavior(StrEnum):
    """What serves when observations fail."""

    LAST_PLAN = "LastPlan"
    FIRST_TIER = "FirstTier"


class Accuracy(ApiModel):
    """How much accuracy may be lost."""

    max_drop: Percent | None = Field(
        default=None, description="maxDrop is the largest loss in percentage points; 1% if unset."
    )
    min: Percent | None = Field(default=None, description="min is the lowest accuracy that is accepted.")


class Objective(ApiModel):
    """What the plan is chosen for."""

    minimize: Minimize | None = Field(
        default=None, description="minimize is what the plan minimises; Latency when unset."
    )
    maximize: Maximize | None = Field(default=None, description="maximize is what the plan maximises instead.")
    max_latency_milliseconds: int | None = Field(
        default=None,
        ge=1,
        le=3_600_000,
        description="maxLatencyMilliseconds bounds the latency when maximize is given.",
    )


class EarlyExit(ApiModel):
    """Early exits."""

    mode: Annotated[ExitMode, BeforeValidator(off_as_word)] = Field(
        default=ExitMode.OFF, description="mode is Off, or Auto to add exits where they pay."
    )
    max_exits: int = Field(default=3, ge=1, le=8, description="maxExits bounds the number of exits.")


class Fallback(ApiModel):
    """What serves when observations fail."""

    failure_threshold: int = Field(
        default=3, ge=1, le=100, description="failureThreshold is how many observations in a row must fail."
    )
    behavior: FallbackBehavior = Field(
        default=FallbackBehavior.LAST_PLAN, description="behavior is LastPlan, or FirstTier for the first tier alone."
    )


class Adaptation(ApiModel):
    """When the split moves."""

    mode: AdaptationMode = Field(
        default=AdaptationMode.AUTO, description="mode is Auto, Recommend (only say it) or Paused."
    )
    polling_period_seconds: int = Field(
        default=5, ge=1, le=3600, description="pollingPeriodSeconds is the time between two looks at the observations."
    )
    cooldown_period_seconds: int = Field(
        default=30, ge=0, le=86400, description="cooldownPeriodSeconds is the shortest time between two moves."
    )
    min_gain: Percent = Field(default="5%", description="minGain is how much better another plan must be.")
    fallback: Fallback = Field(default=Fallback(), description="fallback says what serves without observations.")


class Prometheus(ApiModel):
    """Queries that replace the stages' own observations."""

    bandwidth_query: LongText | None = Field(
        default=None, description="bandwidthQuery returns bits per second by link."
    )
    latency_query: LongText | None = Field(default=None, description="latencyQuery returns seconds one way by link.")
    load_query: LongText | None = Field(
        default=None, description="loadQuery returns observed over profiled seconds by tier."
    )


class Telemetry(ApiModel):
    """Where observations may also come from."""

    prometheus: Prometheus = Field(default=Prometheus(), description="prometheus holds overriding queries.")


Digest = Annotated[str, StringConstraints(pattern="^sha256:[0-9a-f]{64}$", max_length=71)]

"""`SplitDeployment`: the whole resource of design §4.5."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from tiersplit_api.v1alpha1.adaptation import Accuracy, Adaptation, EarlyExit, Objective, RawInput, Telemetry
from tiersplit_api.v1alpha1.base import DNS_LABEL_PATTERN, ApiModel, TierName
from tiersplit_api.v1alpha1.model import Import, Model
from tiersplit_api.v1alpha1.security import Tls
from tiersplit_api.v1alpha1.status import Status
from tiersplit_api.v1alpha1.tiers import Link, Tier

GROUP, VERSION, KIND = "tiersplit.dev", "v1alpha1", "SplitDeployment"
PINNED_PLAN = f"{GROUP}/pinned-plan"
BATCHES = f"{GROUP}/batches"
LOCAL_SLOWDOWN = f"{GROUP}/local-slowdown"
LOCAL_BATCHES = f"{GROUP}/local-batches"
WIRE_ENCODING = f"{GROUP}/wire-encoding"


class Metadata(ApiModel):
    """What tiersplit reads of a resource's metadata; the rest of it is left alone."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, StringConstraints(pattern=DNS_LABEL_PATTERN, max_length=40)] = Field(
        description="name is the resource's name; the model and its Service are called the same."
    )
    namespace: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="namespace is the resource's namespace."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="labels are the resource's labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="annotations are the resource's annotations.")
    generation: int | None = Field(default=None, description="generation counts changes of the spec.")


class Spec(ApiModel):
    """What is wanted."""

    model: Model = Field(description="model is the model that is divided.")
    import_: Import = Field(default=Import(), alias="import", description="import says how the import runs.")
    accuracy: Accuracy = Field(default=Accuracy(), description="accuracy says how much of it may be lost.")
    objective: Objective = Field(default=Objective(), description="objective is what the plan is chosen for.")
    tiers: list[Tier] = Field(
        min_length=1,
        max_length=6,
        description="tiers are the places where the model runs, in the order in which data flows.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    links: list[Link] = Field(
        default_factory=list,
        max_length=5,
        description="links join neighbouring tiers; absent ones are measured.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["from", "to"]},
    )
    raw_input: RawInput = Field(
        default=RawInput.ANY_TIER,
        description="rawInput is FirstTierOnly where the input must not leave the first tier.",
    )
    result_tier: TierName | None = Field(
        default=None, description="resultTier is the tier that needs the result; the first one when absent."
    )
    early_exit: EarlyExit = Field(default=EarlyExit(), description="earlyExit says whether exits are added.")
    adaptation: Adaptation = Field(default=Adaptation(), description="adaptation says when the split moves.")
    telemetry: Telemetry = Field(default=Telemetry(), description="telemetry says where observations come from.")
    tls: Tls = Field(default=Tls(), description="tls says how stages and clients recognise each other on a cluster.")


class SplitDeployment(ApiModel):
    """A model, divided over tiers."""

    api_version: Literal["tiersplit.dev/v1alpha1"] = Field(description="apiVersion is tiersplit.dev/v1alpha1.")
    kind: Literal["SplitDeployment"] = Field(description="kind is SplitDeployment.")
    metadata: Metadata = Field(description="metadata is the resource's metadata.")
    spec: Spec = Field(description="spec is what is wanted.")
    status: Status | None = Field(default=None, description="status is the state, written by the controller.")

"""`spec.model` and `spec.import`: where the model comes from and what goes into it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tiersplit_api.v1alpha1.base import FACTORY_PATTERN, ApiModel, CoreObject, ShortText, Uri

CallableName = Annotated[str, StringConstraints(pattern=FACTORY_PATTERN, max_length=253)]


class WeightsFrom(StrEnum):
    """Where a torch factory's weights come from."""

    FACTORY = "Factory"
    URI = "Uri"
    RANDOM = "Random"


class Datatype(StrEnum):
    """Datatypes of the Open Inference Protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"


class Metric(StrEnum):
    """How answers are compared with the validation data."""

    TOP1 = "Top1"
    TOP5 = "Top5"
    MEAN_AVERAGE_PRECISION = "MeanAveragePrecision"
    MEAN_IOU = "MeanIoU"
    FUNCTION = "Function"


class TorchSource(ApiModel):
    """A torch model made by a callable."""

    factory: CallableName = Field(
        description="factory is the callable that returns the model, as in torchvision.models:resnet50."
    )
    weights: WeightsFrom = Field(
        default=WeightsFrom.FACTORY,
        description="weights says whether the factory's own weights are kept, read from weightsUri, or random.",
    )
    weights_uri: Uri | None = Field(
        default=None, description="weightsUri is where the weights are when weights is Uri."
    )


class ModelSource(ApiModel):
    """Exactly one of the ways in."""

    torch: TorchSource | None = Field(default=None, description="torch is a model made by a Python callable.")
    exported_program_uri: Uri | None = Field(
        default=None, description="exportedProgramUri is a program saved by torch.export (.pt2)."
    )
    onnx_uri: Uri | None = Field(default=None, description="onnxUri is an ONNX file.")
    bundle: Uri | None = Field(
        default=None, description="bundle is a bundle that was imported before, as oci:// or a path."
    )


class ModelInput(ApiModel):
    """One input tensor of the model."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(
        description="name is what clients call the input."
    )
    datatype: Datatype = Field(default=Datatype.FP32, description="datatype is what the model computes with.")
    wire_datatype: Datatype | None = Field(
        default=None, description="wireDatatype is what clients send: UINT8, or the same as datatype when absent."
    )
    shape: list[Annotated[int, Field(ge=-1, le=2**31)]] = Field(
        min_length=1, max_length=8, description="shape is the input's shape; -1 stands first and is the batch."
    )


class Calibration(ApiModel):
    """Data from which statistics of the activations are taken."""

    uri: Uri | None = Field(
        default=None,
        description="uri is an .npz file with x; without it random data is used, and no fewer bits are tried.",
    )
    samples: int = Field(default=128, ge=1, le=65536, description="samples is how many rows of it are used.")


class Validation(ApiModel):
    """Data on which the accuracy of every plan is verified."""

    uri: Uri | None = Field(
        default=None, description="uri is an .npz file with x and y; without it only lossless plans serve."
    )
    metric: Metric = Field(
        default=Metric.TOP1,
        description="metric is how answers are compared with y; Function is your own.",
    )
    function: CallableName | None = Field(
        default=None,
        description="function is the callable that makes a number of outputs and y when metric is Function.",
    )

    @property
    def metric_name(self) -> str:
        """What commands and bundles call the metric: its word, or the user's own function."""
        return self.metric.value if self.function is None else self.function


class Model(ApiModel):
    """The model that is divided."""

    source: ModelSource = Field(description="source is where the model comes from.")
    inputs: list[ModelInput] = Field(
        default_factory=list,
        max_length=8,
        description="inputs are the model's input tensors; a torch source needs them.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    calibration: Calibration = Field(default=Calibration(), description="calibration is data for statistics.")
    validation: Validation = Field(default=Validation(), description="validation is data for the accuracy.")


class EnvironmentVariable(ApiModel):
    """A variable of the import's container."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        description="name is the variable's name."
    )
    value: Annotated[str, StringConstraints(max_length=4096)] | None = Field(
        default=None, description="value is the variable's value."
    )
    value_from: CoreObject | None = Field(default=None, description="valueFrom is a core EnvVarSource.")


class SecretReference(ApiModel):
    """A Secret of the resource's namespace."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(
        description="name is the Secret's name."
    )


class Import(ApiModel):
    """How the import runs on a cluster."""

    image: ShortText | None = Field(default=None, description="image is the image that holds the user's factory.")
    image_pull_secrets: list[SecretReference] = Field(
        default_factory=list,
        max_length=8,
        description="imagePullSecrets are the Secrets with which the image is pulled.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    env: list[EnvironmentVariable] = Field(
        default_factory=list, max_length=64, description="env are environment variables of the import."
    )
    volumes: list[CoreObject] = Field(
        default_factory=list, max_length=16, description="volumes are core volumes with a mountPath each."
    )
    resources: CoreObject = Field(default_factory=dict, description="resources are core resource requirements.")
    node_selector: dict[str, ShortText] = Field(
        default_factory=dict, max_length=16, description="nodeSelector says on which nodes the import may run."
    )

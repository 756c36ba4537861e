"""What a person may say about an import, and how it is written on the command line."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_core.quantization.statistics import Clip, Metric

DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""Datatypes of the Open Inference Protocol by which inputs are described, with their numpy names."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAME = re.compile(r"^[A-Za-z0-9_/][A-Za-z0-9_.:/\-]{0,127}$")
_SHAPE = re.compile(r"^(?:-1|batch)(?:x[1-9][0-9]{0,7}){0,15}$")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a model is imported.

    Attributes:
        name: the model's name; None: after its source.
        inputs: its input tensors at batch size 1, in the order of its arguments, under the names by which clients call
            them; an ONNX file's own names may stand in any order. Empty: as the source says.
        wire_uint8: whether the image input arrives as bytes and normalisation becomes the first layer.
        mean: per channel, of the range 0 to 1; None: ImageNet's for torchvision's models, else 0.
        std: as `mean`; else 1.
        weights: a safetensors file or a `weights_only` state dict that is loaded into the module.
        random_weights: whether weights that nobody trained are wanted.
        seed: of random weights and of the golden input.
        optimise: whether norms are folded, activations joined and no-ops dropped.
        calibration: an .npz file whose `x` (or arrays named as the inputs) are samples.
        samples: how many of them are used.
        distortion: how the harm of quantising a layer is measured.
        clip: how the ranges of quantised tensors are chosen.
    """

    name: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    wire_uint8: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    weights: Path | None = None
    random_weights: bool = False
    seed: int = 0
    optimise: bool = True
    calibration: Path | None = None
    samples: int = field(default=128)
    distortion: Metric = Metric.MSE
    clip: Clip = Clip.MSE


def parse_input(text: str) -> TensorSpec:
    """The input that `name:FP32:-1x3x224x224` describes, at batch size 1.

    Raises:
        ModelError: it is written otherwise.
    """
    parts = text.rsplit(":", 2)
    if len(parts) != 3 or not _NAME.match(parts[0]) or not _SHAPE.match(parts[2]):
        raise ModelError(f"{text!r} is no input; write NAME:DATATYPE:SHAPE, as in input:FP32:-1x3x224x224", "--input")
    if parts[1] not in DATATYPES:
        raise ModelError(f"{parts[1]!r} is no datatype; write one of {', '.join(DATATYPES)}", "--input")
    sizes = [int(size) for size in parts[2].split("x")[1:]]
    return TensorSpec(parts[0], DATATYPES[parts[1]], (1, *sizes))


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers of `0.485,0.456,0.406`.

    Raises:
        ModelError: they are none.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ModelError(
            f"{text!r} is no list of numbers; write one per channel, as in 0.485,0.456,0.406", option
        ) from None

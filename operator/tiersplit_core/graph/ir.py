"""The layer graph: the one representation that import produces and everything else reads."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np

from tiersplit_core.errors import GraphError

INPUT = "input"
"""The name by which layers read the model's input (all of its tensors together)."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor at batch size 1.

    Attributes:
        name: the tensor's name in the ONNX graph.
        dtype: its numpy dtype name, such as `float32`.
        shape: its shape at batch size 1; the element count grows linearly with the batch size.
        batch_axis: the one axis that grows: at batch size n it has `n * shape[batch_axis]` entries.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    batch_axis: int = 0

    @property
    def elements(self) -> int:
        """Elements per sample."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes per sample."""
        return self.elements * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layer's one convolution or linear map, as an array of multipliers sees it.

    A linear map is a convolution with a kernel of 1 × 1 over its rows: the height counts rows, the width is 1.

    Attributes:
        kernel: height and width.
        stride: along height and width.
        groups: how many parts the channels are divided into, each convolved by itself.
        input_shape: channels, height and width of one sample that it reads, padding left out.
        output_shape: channels, height and width of one sample that it computes.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    groups: int
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    @property
    def weight_elements(self) -> int:
        """Weights of the kernel, biases left out."""
        return self.output_shape[0] * self.input_shape[0] // self.groups * math.prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per sample."""
        return self.weight_elements * self.output_shape[1] * self.output_shape[2]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the unit that has a tier.

    Attributes:
        name: unique in its graph; also the name of the value that the layer computes.
        op: its (first) operator, such as `Conv`.
        inputs: the layers it reads, or `INPUT`; at least one, without repetition.
        tensors: the tensors it computes that other layers or the caller read.
        macs: multiply-accumulates per sample, counted before folding.
        parameters: learnt numbers, counted before folding.
        weight_bytes: bytes of the constants it reads when it runs.
        geometry: of its convolution or linear map; None where it has none or several.
        opaque: whether sizes inside of it depend on data, those of its results excepted; it runs on the last tier.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    tensors: tuple[TensorSpec, ...]
    macs: int = 0
    parameters: int = 0
    weight_bytes: int = 0
    geometry: Geometry | None = None
    opaque: bool = False

    @property
    def output_bytes(self) -> int:
        """Bytes per sample of everything it hands on."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """Elements per sample of everything it hands on."""
        return sum(tensor.elements for tensor in self.tensors)


@dataclass(frozen=True)
class LayerGraph:
    """A network as layers in an execution order.

    Attributes:
        name: what the model is called.
        inputs: the model's input tensors, read under the one name `INPUT`.
        layers: in an execution order: each layer reads only `INPUT` and layers before it.
        outputs: the layers whose values are the model's result.
        output_names: the caller's names of the result: (key such as `out` or `output`, tensor name), in order.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    output_names: tuple[tuple[str, str], ...] = field(default=())

    def __post_init__(self) -> None:
        _check_layers(self)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Position of each layer in the execution order."""
        return MappingProxyType({layer.name: i for i, layer in enumerate(self.layers)})

    @cached_property
    def readers(self) -> Mapping[str, tuple[str, ...]]:
        """The layers that read each value (`INPUT` included), in execution order."""
        found: dict[str, list[str]] = {INPUT: [], **{layer.name: [] for layer in self.layers}}
        for layer in self.layers:
            for name in layer.inputs:
                found[name].append(layer.name)
        return MappingProxyType({name: tuple(names) for name, names in found.items()})

    @property
    def input_bytes(self) -> int:
        """Bytes per sample of the model's input."""
        return sum(tensor.size_bytes for tensor in self.inputs)

    def __getitem__(self, name: str) -> Layer:
        return self.layers[self.index[name]]


def _check_layers(graph: LayerGraph) -> None:
    seen = {INPUT}
    for i, layer in enumerate(graph.layers):
        if layer.name in seen:
            raise GraphError(f"the name {layer.name!r} is taken", f"layers[{i}].name")
        if not layer.inputs:
            raise GraphError("a layer reads at least one value", f"layers[{i}].inputs")
        for j, name in enumerate(layer.inputs):
            if name not in seen:
                raise GraphError(f"{name!r} is neither 'input' nor a layer before this one", f"layers[{i}].inputs[{j}]")
        seen.add(layer.name)
    for i, name in enumerate(graph.outputs):
        if name not in seen or name == INPUT:
            raise GraphError(f"no layer is called {name!r}", f"outputs[{i}]")

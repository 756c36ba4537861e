"""Rewriting a model or segment so that its weights and activations have the bit widths of a plan.

Weights become integers behind a `DequantizeLinear` per output channel, activations pass a pair of `QuantizeLinear` and
`DequantizeLinear`, biases are corrected and become integers of the product's scale: the form from which ONNX Runtime
makes integer kernels, so that what is evaluated is what runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tiersplit_core.quantization.bias import convolution_shift, product_shift
from tiersplit_core.quantization.grid import Grid, grid_of
from tiersplit_core.quantization.statistics import FLOAT_BITS, Statistics
from tiersplit_core.quantization.weights import QuantisedWeights, quantise_weights
from tiersplit_import.cutter import layer_of
from tiersplit_import.kernels import Kernel, kernels_of
from tiersplit_import.net import Array
from tiersplit_import.proto import EXTERNAL_FROM_BYTES, LAYER_KEY, external_proto

_BYTE = 8
_MOST_BIAS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Widths:
    """Bit widths of one layer; 16 and more leave it as it is."""

    weight_bits: int = 32
    activation_bits: int = 32

    @property
    def quantises_weights(self) -> bool:
        """Whether its weights become integers."""
        return self.weight_bits < FLOAT_BITS

    @property
    def quantises_activations(self) -> bool:
        """Whether what it hands on is rounded."""
        return self.activation_bits < FLOAT_BITS


FLOAT = Widths()


class Store(Protocol):
    """Where the constants of the rewritten model go."""

    def constant(self, name: str, value: Array) -> TensorProto:
        """An initialiser called `name`."""

    def weights(self, name: str, value: QuantisedWeights) -> TensorProto:
        """An initialiser of quantised weights; it may have another name."""


@dataclass
class Memory:
    """Keeps large constants in `arrays`, as `session_of` takes them."""

    arrays: dict[str, Array] = field(default_factory=dict)

    def constant(self, name: str, value: Array) -> TensorProto:
        """An initialiser; large ones refer to `arrays`."""
        if value.nbytes < EXTERNAL_FROM_BYTES:
            return numpy_helper.from_array(value, name)
        self.arrays[name] = value
        return external_proto(name, value, "memory")

    def weights(self, name: str, value: QuantisedWeights) -> TensorProto:
        """Integers of a byte each, whatever their bits."""
        return self.constant(name, value.values)


def quantised_model(
    model: ModelProto,
    constants: Mapping[str, Array],
    statistics: Statistics,
    widths: Mapping[str, Widths],
    store: Store,
    narrow: bool = True,
) -> ModelProto:
    """The model with the bit widths that `widths` gives to its layers; layers that it does not name stay as they are.

    Args:
        model: the canonical model or a segment of it.
        constants: the constants of its kernels.
        statistics: from calibration with this model.
        widths: by layer.
        store: where constants go that the model does not have yet.
        narrow: whether each layer's results alone are rounded, to as many bits as it says, as in theory; else what it
            reads is rounded too, and all with 8 bits, which processors compute with.

    Raises:
        StatisticsError: the statistics lack a layer's bit width.
    """
    work = _Rewriting(model, constants, statistics, widths, store, narrow)
    return work.result()


class _Rewriting:
    def __init__(
        self,
        model: ModelProto,
        constants: Mapping[str, Array],
        statistics: Statistics,
        widths: Mapping[str, Widths],
        store: Store,
        narrow: bool,
    ) -> None:
        self._model, self._constants, self._store = model, constants, store
        self._statistics, self._widths = statistics, widths
        self._kernels = {kernel.name: kernel for kernel in kernels_of(model)}
        self._narrow = narrow
        self._nodes: list[NodeProto] = []
        self._made: set[str] = set()
        self._added: dict[str, TensorProto] = {}
        self._grids: dict[str, Grid] = {}
        self._bits = {
            tensor: max(self._of(layer.name).activation_bits, 0 if narrow else _BYTE)
            for layer in statistics.layers
            if self._of(layer.name).quantises_activations
            for tensor in layer.ranges
        }

    def result(self) -> ModelProto:
        """The rewritten model."""
        for node in self._model.graph.node:
            self._rewrite(node)
        made = ModelProto()
        made.CopyFrom(self._model)
        del made.graph.node[:], made.graph.initializer[:], made.graph.value_info[:]
        read = {name for node in self._nodes for name in node.input}
        made.graph.node.extend(self._nodes)
        kept = [tensor for tensor in self._model.graph.initializer if tensor.name in read]
        made.graph.initializer.extend((*kept, *self._added.values()))
        return made

    def _of(self, layer: str) -> Widths:
        return self._widths.get(layer, FLOAT)

    def _rewrite(self, node: NodeProto) -> None:
        layer, made = layer_of(node), NodeProto()
        made.CopyFrom(node)
        if self._of(layer).quantises_activations and not self._narrow:
            made.input[:] = [self._rounded_input(name, layer) for name in node.input]
        kernel = self._kernels.get(node.name)
        if kernel is not None and self._of(layer).quantises_weights:
            self._quantise_kernel(made, kernel, self._of(layer).weight_bits)
        rounded = [name for name in node.output if name in self._bits]
        made.output[:] = [f"{name}#real" if name in rounded else name for name in node.output]
        self._nodes.append(made)
        self._made.update(node.output)
        for name in rounded:
            self._round(f"{name}#real", name, name, self._bits[name], layer)

    def _rounded_input(self, name: str, layer: str) -> str:
        """`name` rounded where a quantised layer reads what is not; rounding what was rounded elsewhere is exact."""
        if name not in self._statistics.ranges or (name in self._bits and name in self._made):
            return name
        copy = f"{name}#rounded"
        if copy not in self._grids:
            self._round(name, copy, name, self._bits.get(name, _BYTE), layer)
        return copy

    def _round(self, source: str, target: str, about: str, bits: int, layer: str) -> None:
        """Append the nodes that round `source` to `target` on the grid of the tensor `about`."""
        grid = grid_of(self._statistics.ranges[about][bits], bits)
        self._grids[target] = grid
        if bits < _BYTE:
            ends = [self._constant(f"{target}#{k}", np.float32(end)) for k, end in enumerate(grid.range)]
            source = self._append("Clip", [source, *ends], f"{target}#clipped", layer)
        about_grid = [
            self._constant(f"{target}#scale", np.float32(grid.scale)),
            self._constant(f"{target}#zero", np.uint8(grid.zero_point)),
        ]
        whole = self._append("QuantizeLinear", [source, *about_grid], f"{target}#whole", layer)
        self._append("DequantizeLinear", [whole, *about_grid], target, layer)

    def _quantise_kernel(self, node: NodeProto, kernel: Kernel, bits: int) -> None:
        weights = self._constants[kernel.weight]
        found = quantise_weights(weights, bits, kernel.axis, self._statistics.clip)
        # Kernels that share their weights get a name each: ONNX Runtime 1.31 makes bytes without sign of each by name.
        whole = self._store.weights(f"{kernel.name}#{bits}", found)
        self._added[whole.name] = whole
        scales = self._constant(f"{kernel.name}#{bits}.scales", found.scales)
        inputs = [whole.name, scales]
        if whole.data_type == TensorProto.INT8:  # ONNX Runtime's integer kernels want their zero points said
            inputs.append(self._constant(f"{kernel.name}#{bits}.zeros", np.zeros(len(found.scales), np.int8)))
        node.input[1] = self._append("DequantizeLinear", inputs, f"{kernel.name}#weights", kernel.layer, found.axis)
        bias = self._corrected(kernel, found.dequantised() - weights, len(found.scales))
        if bias is not None:
            node.input[:] = [*node.input[:2], self._bias(node.input[0], kernel, bias, found.scales)]

    def _corrected(self, kernel: Kernel, difference: Array, outputs: int) -> Array | None:
        """The bias that takes back the shift; None where the operator has none and cannot get one."""
        means = self._statistics.means.get(kernel.source)
        plain = kernel.op in {"MatMul", "ConvTranspose"}
        if plain or (means is None and not kernel.bias):
            return None
        bias: Array = np.zeros(outputs) if not kernel.bias else np.asarray(self._constants[kernel.bias], np.float64)
        return bias if means is None else bias - _shift(kernel, difference, np.asarray(means))

    def _bias(self, source: str, kernel: Kernel, bias: Array, scales: Array) -> str:
        """The bias as integers of the product's scale where the input has one, else as it is."""
        grid, name = self._grids.get(source), f"{kernel.name}#bias"
        if grid is None or bias.shape != scales.shape:
            return self._constant(name, bias.astype(np.float32))
        steps = (np.float32(grid.scale) * scales).astype(np.float32)
        whole = np.rint(bias / steps.astype(np.float64))
        if np.abs(whole).max(initial=0) > _MOST_BIAS:
            return self._constant(name, bias.astype(np.float32))
        inputs = [self._constant(f"{name}.whole", whole.astype(np.int32)), self._constant(f"{name}.steps", steps)]
        return self._append("DequantizeLinear", inputs, name, kernel.layer, 0)

    def _constant(self, name: str, value: Array | np.generic) -> str:
        if name not in self._added:
            self._added[name] = self._store.constant(name, np.asarray(value))
        return name

    def _append(self, op: str, inputs: Sequence[str], output: str, layer: str, axis: int | None = None) -> str:
        node = helper.make_node(op, inputs, [output], name=f"{output}#{op}", axis=axis)
        node.metadata_props.add(key=LAYER_KEY, value=layer)
        self._nodes.append(node)
        return output


def _shift(kernel: Kernel, difference: Array, means: Array) -> Array:
    if kernel.op == "Conv":
        return convolution_shift(difference, means, kernel.groups)
    return product_shift(difference if kernel.axis == 1 else difference.T, means)

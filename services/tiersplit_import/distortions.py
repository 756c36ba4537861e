"""What quantising each layer would cost: the statistics that planning bit widths needs."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from tiersplit_core.graph.ir import Layer, LayerGraph
from tiersplit_core.quantization.grid import grid_of
from tiersplit_core.quantization.histogram import Histogram
from tiersplit_core.quantization.ranges import choose_range, mean_squared_error
from tiersplit_core.quantization.statistics import (
    BIT_WIDTHS,
    Clip,
    LayerStatistics,
    Metric,
    Range,
    Statistics,
)
from tiersplit_core.quantization.weights import quantise_weights, weight_error
from tiersplit_import.calibrate import Seen
from tiersplit_import.kernels import Kernel, kernels_of
from tiersplit_import.net import Array

_SIMPLE = frozenset({"Relu", "Clip"})
"""Activations that ONNX Runtime computes as part of an integer kernel: what stands before them is not rounded."""


Report = Callable[[str], None]


def silent(_: str) -> None:
    """Reports nothing."""


def wanted_tensors(model: ModelProto, graph: LayerGraph) -> dict[str, int | None]:
    """The tensors that calibration must see, with the axis of the channel means that bias correction needs."""
    kernels = kernels_of(model)
    names = {spec.name for spec in (*graph.inputs, *(spec for layer in graph.layers for spec in layer.tensors))}
    names |= {kernel.source for kernel in kernels} | inner_results(model, kernels)
    described = {info.name for info in (*model.graph.input, *model.graph.output, *model.graph.value_info)}
    axes = {kernel.source: kernel.source_axis for kernel in kernels}
    return {name: axes.get(name) for name in sorted(names & described)}


def inner_results(model: ModelProto, kernels: list[Kernel]) -> set[str]:
    """Results of kernels that an activation reads which no integer kernel computes with them."""
    readers: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, set()).add(node.op_type)
    return {kernel.result for kernel in kernels if readers.get(kernel.result, set()) - _SIMPLE}


def layer_statistics(
    model: ModelProto,
    constants: Mapping[str, Array],
    graph: LayerGraph,
    seen: Mapping[str, Seen],
    clip: Clip,
    report: Report = silent,
) -> Statistics:
    """Sizes, ranges and mean squared errors of every layer.

    Args:
        model: the canonical model.
        constants: every floating-point constant by name.
        graph: its layer graph.
        seen: what calibration saw of `wanted_tensors`.
        clip: how ranges are chosen.
        report: is told how far it is.
    """
    kernels = kernels_of(model)
    inner = inner_results(model, kernels)
    measure = _Measure(constants, {name: found.histogram for name, found in seen.items()}, clip)
    layers = []
    for i, layer in enumerate(graph.layers):
        report(f"quantising layer {i + 1} of {len(graph.layers)}")
        own = [kernel for kernel in kernels if kernel.layer == layer.name]
        layers.append(measure.layer(layer, own, inner))
    inputs = measure.ranges([spec.name for spec in graph.inputs])
    return Statistics(
        metric=Metric.MSE,
        clip=clip,
        samples=max(found.samples for found in seen.values()),
        layers=tuple(layers),
        input_distortion=measure.of_activations(inputs),
        input_ranges=inputs,
        means={kernel.source: seen[kernel.source].means for kernel in kernels if kernel.source in seen},
    )


@dataclass(frozen=True, slots=True)
class _Measure:
    constants: Mapping[str, Array]
    seen: Mapping[str, Histogram]
    clip: Clip

    def layer(self, layer: Layer, kernels: Sequence[Kernel], inner: Collection[str]) -> LayerStatistics:
        """All about one layer."""
        weights = {kernel.weight: kernel.axis for kernel in kernels}
        handed = self.ranges([spec.name for spec in layer.tensors])
        between = [kernel.result for kernel in kernels if kernel.result in inner and kernel.result not in handed]
        return LayerStatistics(
            name=layer.name,
            weight_elements=sum(self.constants[name].size for name in weights),
            output_elements=sum(spec.elements for spec in layer.tensors if spec.name in handed),
            weight_distortion=self.of_weights(weights) if weights else {},
            activation_distortion=self.of_activations(handed),
            ranges=handed | self.ranges(between),
            kept_bytes=max(layer.weight_bytes - sum(self.constants[name].nbytes for name in weights), 0),
        )

    def ranges(self, names: Sequence[str]) -> dict[str, dict[int, Range]]:
        """The ranges of those tensors that are floating-point and were seen."""
        known = [name for name in names if name in self.seen and self.seen[name].total]
        return {name: {bits: choose_range(self.seen[name], bits, self.clip) for bits in BIT_WIDTHS} for name in known}

    def of_weights(self, weights: Mapping[str, int]) -> dict[int, float]:
        """Mean squared error over the elements of all constants, given with their axes."""
        sizes = [self.constants[name].size for name in weights]
        found = {}
        for bits in BIT_WIDTHS:
            errors = [self._weight_error(name, bits, axis) for name, axis in weights.items()]
            found[bits] = float(np.average(errors, weights=sizes))
        return found

    def _weight_error(self, name: str, bits: int, axis: int) -> float:
        return weight_error(self.constants[name], quantise_weights(self.constants[name], bits, axis, self.clip))

    def of_activations(self, ranges: Mapping[str, Mapping[int, Range]]) -> dict[int, float]:
        """Mean squared error over the elements of all tensors."""
        sizes = [self.seen[name].total for name in ranges]
        found = {}
        for bits in BIT_WIDTHS if ranges else ():
            errors = [mean_squared_error(self.seen[name], grid_of(at[bits], bits)) for name, at in ranges.items()]
            found[bits] = float(np.average(errors, weights=sizes))
        return found

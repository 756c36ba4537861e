"""Distortions that need the whole model: what the answers lose when one layer alone is quantised.

Nothing here needs gradients. The Hessian's trace comes from finite differences of a loss that is least, with a
gradient of 0, for the model as it is: the divergence of its answers from its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, helper

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_core.quantization.distortion import cross_entropy_rise, divergence, mean_trace, output_error
from tiersplit_core.quantization.grid import grid_of
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics
from tiersplit_import.calibrate import Seen
from tiersplit_import.distortions import Report, layer_statistics, silent
from tiersplit_import.kernels import kernels_of
from tiersplit_import.net import Array
from tiersplit_import.probe import run
from tiersplit_import.proto import session_of
from tiersplit_import.quantise import FLOAT, Memory, Widths, quantised_model

_SAMPLES = 16
"""How many calibration samples the answers are compared on."""

_PROBES = 4
_STEP = 1e-2
"""Of a tensor's root mean square: how far a probe moves each number."""

_SHIFT = "shift"

_COMPARE: Mapping[Metric, Callable[[Array, Array], float]] = {
    Metric.ONE_AT_A_TIME: output_error,
    Metric.CROSS_ENTROPY: cross_entropy_rise,
    Metric.KL: divergence,
}


@dataclass(frozen=True, slots=True)
class Whole:
    """A model and what it is run on.

    Attributes:
        model: the canonical model.
        constants: every constant of a kernel, and all that lie outside of the model.
        graph: its layer graph.
        samples: per input, samples along the first axis.
    """

    model: ModelProto
    constants: Mapping[str, Array]
    graph: LayerGraph
    samples: Mapping[str, Array]


def measured(
    whole: Whole, seen: Mapping[str, Seen], clip: Clip = Clip.MSE, metric: Metric = Metric.MSE, report: Report = silent
) -> Statistics:
    """What quantising each layer costs, by a metric.

    Args:
        whole: the model and its calibration data.
        seen: what `gather` saw of its `wanted_tensors`.
        clip: how ranges are chosen.
        metric: what a distortion is.
        report: is told how far it is.

    Raises:
        ModelError: the model has no floating-point scores as its first output, which the metric compares.
    """
    found = layer_statistics(whole.model, whole.constants, whole.graph, seen, clip, report)
    return rated(whole, found, metric, report)


def rated(whole: Whole, statistics: Statistics, metric: Metric, report: Report = silent) -> Statistics:
    """The statistics with the distortions of another metric.

    Raises:
        ModelError: the model has no floating-point scores as its first output, which the metric compares.
    """
    if metric is Metric.MSE:
        return statistics
    few = replace(whole, samples={name: value[:_SAMPLES] for name, value in whole.samples.items()})
    work = _Traces(few, statistics) if metric is Metric.HESSIAN_TRACE else _Answers(few, statistics, _COMPARE[metric])
    layers = []
    for i, layer in enumerate(statistics.layers):
        report(f"distortion of layer {i + 1} of {len(statistics.layers)}")
        layers.append(
            replace(
                layer,
                weight_distortion=work.weights(layer) if layer.weight_distortion else {},
                activation_distortion=work.activations(layer) if layer.activation_distortion else {},
            )
        )
    return replace(statistics, metric=metric, layers=tuple(layers), input_distortion=work.input())


class _Answers:
    """Compares answers with one layer quantised to those of the model as it is."""

    def __init__(self, whole: Whole, statistics: Statistics, compare: Callable[[Array, Array], float]) -> None:
        self._whole, self._statistics, self._compare = whole, statistics, compare
        self._own = _answer(whole, whole.model, whole.constants)

    def weights(self, layer: LayerStatistics) -> dict[int, float]:
        """By bit width of this layer's weights."""
        return {bits: self._with(layer.name, replace(FLOAT, weight_bits=bits)) for bits in BIT_WIDTHS}

    def activations(self, layer: LayerStatistics) -> dict[int, float]:
        """By bit width of what this layer hands on."""
        return {bits: self._with(layer.name, replace(FLOAT, activation_bits=bits)) for bits in BIT_WIDTHS}

    def input(self) -> dict[int, float]:
        """By bit width of the model's input."""
        ranges = self._statistics.input_ranges
        return {bits: self._with_input(bits) for bits in BIT_WIDTHS} if ranges else {}

    def _with(self, name: str, widths: Widths) -> float:
        store = Memory()
        whole = self._whole
        model = quantised_model(whole.model, whole.constants, self._statistics, {name: widths}, store)
        return self._compare(self._own, _answer(whole, model, {**whole.constants, **store.arrays}))

    def _with_input(self, bits: int) -> float:
        rounded = {
            name: grid_of(self._statistics.input_ranges[name][bits], bits).rounded(value).astype(value.dtype)
            if name in self._statistics.input_ranges
            else value
            for name, value in self._whole.samples.items()
        }
        whole = replace(self._whole, samples=rounded)
        return self._compare(self._own, _answer(whole, whole.model, whole.constants))


class _Traces:
    """D = tr(H)·MSE: the mean trace of the Hessian times the squared error of all elements (HAWQ-V2, equation 5)."""

    def __init__(self, whole: Whole, statistics: Statistics) -> None:
        self._whole, self._statistics = whole, statistics
        self._own = _answer(whole, whole.model, whole.constants)
        self._kernels = kernels_of(whole.model)

    def weights(self, layer: LayerStatistics) -> dict[int, float]:
        """By bit width of this layer's weights."""
        names = {kernel.weight for kernel in self._kernels if kernel.layer == layer.name}
        trace = sum(self._of_weight(name) for name in sorted(names))
        return {bits: trace * error for bits, error in layer.weight_distortion.items()}

    def activations(self, layer: LayerStatistics) -> dict[int, float]:
        """By bit width of what this layer hands on."""
        handed = [spec for spec in self._whole.graph[layer.name].tensors if spec.name in layer.ranges]
        trace = sum(self._of_tensor(spec) for spec in handed)
        return {bits: trace * error for bits, error in layer.activation_distortion.items()}

    def input(self) -> dict[int, float]:
        """By bit width of the model's input."""
        handed = [spec for spec in self._whole.graph.inputs if spec.name in self._statistics.input_ranges]
        trace = sum(self._of_input(spec.name) for spec in handed)
        return {bits: trace * error for bits, error in self._statistics.input_distortion.items()}

    def _of_weight(self, name: str) -> float:
        value = self._whole.constants[name]
        model = _copy(self._whole.model)
        kept = [tensor for tensor in model.graph.initializer if tensor.name != name]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape))
        return self._trace(self._session(model), name, value, value)

    def _of_tensor(self, spec: TensorSpec) -> float:
        model, samples = _copy(self._whole.model), len(next(iter(self._whole.samples.values())))
        shape = [size * samples if axis == spec.batch_axis else size for axis, size in enumerate(spec.shape)]
        (maker,) = (k for k, node in enumerate(model.graph.node) if spec.name in node.output)
        node = model.graph.node[maker]
        node.output[:] = [f"{name}#real" if name == spec.name else name for name in node.output]
        model.graph.node.insert(maker + 1, helper.make_node("Add", [f"{spec.name}#real", _SHIFT], [spec.name]))
        model.graph.input.append(helper.make_tensor_value_info(_SHIFT, TensorProto.FLOAT, shape))
        model.graph.output.append(helper.make_tensor_value_info(f"{spec.name}#real", TensorProto.FLOAT, None))
        session = self._session(model)
        (value,) = run(session, [f"{spec.name}#real"], {**self._whole.samples, _SHIFT: np.zeros(shape, np.float32)})
        return self._trace(session, _SHIFT, np.zeros(shape, np.float32), value)

    def _of_input(self, name: str) -> float:
        value = self._whole.samples[name]
        return self._trace(self._session(self._whole.model), name, value, value)

    def _session(self, model: ModelProto) -> ort.InferenceSession:
        return session_of(model, self._whole.constants)

    def _trace(self, session: ort.InferenceSession, name: str, centre: Array, value: Array) -> float:
        """Of the loss over `name`, around `centre`; `value` says how large its numbers are."""
        output = [self._whole.graph.output_names[0][1]]

        def loss(shift: Array) -> float:
            moved = (centre + shift.reshape(centre.shape)).astype(np.float32)
            return divergence(self._own, run(session, output, {**self._whole.samples, name: moved})[0])

        step = _STEP * max(float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))), 1e-12)
        return mean_trace(loss, centre.size, _PROBES, step) * centre.size


def _copy(model: ModelProto) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(model)
    return made


def _answer(whole: Whole, model: ModelProto, constants: Mapping[str, Array]) -> Array:
    """The first output; its second axis is of scores."""
    (found,) = run(session_of(model, constants), [whole.graph.output_names[0][1]], whole.samples)
    if found.dtype.kind != "f" or found.ndim < 2:
        raise ModelError("its first output are no scores of shape (samples, classes); use mse", "--distortion")
    return found

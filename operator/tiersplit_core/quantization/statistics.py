"""What calibration found out about a model's layers: sizes, ranges and distortions, for each bit width.

A layer's distortion is AUTO-SPLIT's D_i of §3.1: for weights D_i^w = MSE(w_i(16), w_i(b)), for activations
D_i^a = MSE(a_i(16), a_i(b)), each a mean over the layer's elements, not a sum. Other metrics (`Metric`) take its place
without changing what is planned with it. 16 bits and more have none, by the paper's definition.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from tiersplit_core.errors import StatisticsError

BIT_WIDTHS = (2, 4, 6, 8)
"""Bit widths to which a layer's weights and activations may be quantised (AUTO-SPLIT, remark 1)."""

FLOAT_BITS = 16
"""At this bit width and above nothing is quantised: the distortion is 0."""

Range = tuple[float, float]
"""The lowest and the highest real number that the integers of a tensor reach; 0 lies between them."""


class Metric(StrEnum):
    """How the harm of quantising a layer is measured; the words of `--distortion`."""

    MSE = "mse"
    """Mean squared error of the layer's own weights or activations, as the paper."""
    ONE_AT_A_TIME = "one-at-a-time"
    """Mean squared error of the model's outputs when this layer alone is quantised."""
    CROSS_ENTROPY = "cross-entropy"
    """By how much the cross-entropy to the class that the model itself answers rises; never below 0."""
    KL = "kl"
    """Kullback-Leibler divergence of the quantised model's scores from the model's own."""
    HESSIAN_TRACE = "hessian-trace"
    """The layer's squared error weighted by the mean trace of the loss's Hessian."""


class Clip(StrEnum):
    """How the range of a tensor is chosen; the words of `--clip`."""

    MIN_MAX = "min-max"
    """All that was seen: nothing is clipped."""
    MSE = "mse"
    """The range with the least mean squared error over a histogram of what was seen."""
    ACIQ = "aciq"
    """The analytic optimum for a Laplace or Gauss distribution, whichever fits better."""


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What calibration found out about one layer.

    Attributes:
        name: the layer's name in its graph.
        weight_elements: numbers of its kernels and matrices: those that are stored in the layer's bit width.
        output_elements: numbers per sample of the floating-point values that it hands on.
        weight_distortion: D^w for each bit width of `BIT_WIDTHS`; empty where there is no weight to quantise.
        activation_distortion: D^a for each bit width; empty where it hands on no floating-point values.
        ranges: tensor name to bit width to range.
        kept_bytes: bytes of its constants that stay as they are, such as biases.
    """

    name: str
    weight_elements: int
    output_elements: int
    weight_distortion: Mapping[int, float]
    activation_distortion: Mapping[int, float]
    ranges: Mapping[str, Mapping[int, Range]] = field(default_factory=dict)
    kept_bytes: int = 0

    def distortion(self, weight_bits: int, activation_bits: int) -> float:
        """D_i^w + D_i^a (AUTO-SPLIT, equation 4).

        Raises:
            StatisticsError: a bit width below 16 has not been measured.
        """
        return _of(self.weight_distortion, weight_bits, self.name) + _of(
            self.activation_distortion, activation_bits, self.name
        )

    def weight_bytes(self, bits: int) -> int:
        """Bytes that its constants need with weights of `bits` bits: those kept, and ceil(elements · bits / 8)."""
        return self.kept_bytes + (self.weight_elements * bits + 7) // 8


@dataclass(frozen=True)
class Statistics:
    """What calibration found out about a model.

    Attributes:
        metric: what the distortions measure.
        clip: how the ranges were chosen.
        samples: how many samples were seen.
        layers: in the graph's order.
        input_distortion: D^a of the model's input for each bit width; empty where it is no floating-point tensor.
        input_ranges: input tensor name to bit width to range.
        means: tensor name to the mean of each of its channels, for the tensors that kernels and matrices read: what
            bias correction needs.
    """

    metric: Metric
    clip: Clip
    samples: int
    layers: tuple[LayerStatistics, ...]
    input_distortion: Mapping[int, float] = field(default_factory=dict)
    input_ranges: Mapping[str, Mapping[int, Range]] = field(default_factory=dict)
    means: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @cached_property
    def by_name(self) -> Mapping[str, LayerStatistics]:
        """The layers by their names."""
        return MappingProxyType({layer.name: layer for layer in self.layers})

    @cached_property
    def ranges(self) -> Mapping[str, Mapping[int, Range]]:
        """Every tensor's ranges, the inputs' too."""
        found = dict(self.input_ranges)
        for layer in self.layers:
            found |= layer.ranges
        return MappingProxyType(found)

    def __getitem__(self, name: str) -> LayerStatistics:
        return self.by_name[name]


def _of(distortion: Mapping[int, float], bits: int, name: str) -> float:
    if bits >= FLOAT_BITS or not distortion:
        return 0.0
    if bits not in distortion:
        raise StatisticsError(f"layer {name!r} has no distortion for {bits} bits; use {sorted(distortion)} or 16")
    return distortion[bits]

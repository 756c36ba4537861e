"""Bit widths as numpy arrays: what every layer costs at each of its widths, and a problem at chosen ones.

A choice is one whole number per layer: 0 runs it as it is, v runs it as its v-th variant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tiersplit_core.codec.bitpack import packed_bytes
from tiersplit_core.cost.arrays import Bools, Floats, Ints, ProblemArrays
from tiersplit_core.cost.payload import sent_payload_bytes
from tiersplit_core.cost.problem import Problem, ProblemLayer, Variant

MEETS = 1e-9
"""Sums of distortions that differ by this share are one: their order of summation differs."""


@dataclass(frozen=True, slots=True)
class WidthArrays:
    """What L layers cost at up to V widths each; column 0 is the layer as it is.

    Attributes:
        exists: whether the layer has that variant, shape (L, V).
        seconds: seconds per tier, infinite where the tier cannot run it, shape (L, V, M).
        weight_bytes: bytes of weights, shape (L, V).
        own_bytes: bytes of its value on the tier that computes it, shape (L, V).
        sent_bytes: bytes of its value on a link, shape (L, V).
        sent_bits: bits per element on a link, 0 where it travels as it is, shape (L, V).
        distortion: D_i^w + D_i^a, shape (L, V).
        weight_bits: bits of weights, 0 in column 0, shape (L, V).
        activation_bits: bits of activations, 0 in column 0, shape (L, V).
    """

    exists: Bools
    seconds: Floats
    weight_bytes: Ints
    own_bytes: Ints
    sent_bytes: Ints
    sent_bits: Ints
    distortion: Floats
    weight_bits: Ints
    activation_bits: Ints

    @property
    def on_first(self) -> Bools:
        """Whether the first tier can run that variant, shape (L, V)."""
        return np.asarray(self.exists & np.isfinite(self.seconds[:, :, 0]))

    @property
    def able(self) -> Bools:
        """Whether the first tier can run the layer at any width, shape (L,)."""
        return np.asarray(self.on_first.any(axis=1))

    def usable(self, max_distortion: float | None) -> Bools:
        """Whether a tier can run that variant, and it does not err more than all may by itself, shape (L, V, M)."""
        limit = np.inf if max_distortion is None else max_distortion * (1 + MEETS)
        return np.asarray((self.exists & (self.distortion <= limit))[:, :, None] & np.isfinite(self.seconds))

    def total_distortion(self, choice: Ints) -> float:
        """The summed quantisation error of a choice, shape (L,) (AUTO-SPLIT, equation 4)."""
        return float(self.distortion[np.arange(len(choice)), choice].sum())


def width_arrays(arrays: ProblemArrays) -> WidthArrays:
    """The width arrays of a problem."""
    layers, tiers = arrays.problem.layers, [tier.name for tier in arrays.problem.tiers]
    count = 1 + max(len(layer.variants) for layer in layers)
    exists = np.arange(count) <= np.array([len(layer.variants) for layer in layers])[:, None]
    seconds = np.full((len(layers), count, len(tiers)), np.inf)
    seconds[:, 0] = np.where(arrays.able, arrays.seconds, np.inf)
    numbers = np.zeros((6, len(layers), count), dtype=np.int64)
    numbers[:4, :, 0] = arrays.weight_bytes, arrays.own_bytes[1:], arrays.sent_bytes[1:], arrays.sent_bits[1:]
    distortion = np.zeros((len(layers), count))
    for i, layer in enumerate(layers):
        for v, variant in enumerate(layer.variants, start=1):
            numbers[:, i, v] = _numbers(arrays.problem, layer, variant)
            seconds[i, v] = [variant.seconds.get(tier, np.inf) for tier in tiers]
            distortion[i, v] = variant.distortion
    weights, own, sent, sent_bits, weight_bits, activation_bits = numbers
    return WidthArrays(exists, seconds, weights, own, sent, sent_bits, distortion, weight_bits, activation_bits)


def one_width(arrays: ProblemArrays) -> WidthArrays:
    """The width arrays of a problem whose layers run as they are, on every tier, shape (L, 1)."""
    shape = (arrays.layers, 1)
    none = np.zeros(shape, dtype=np.int64)
    return WidthArrays(
        exists=np.ones(shape, dtype=bool),
        seconds=arrays.seconds[:, None, :],
        weight_bytes=arrays.weight_bytes[:, None],
        own_bytes=arrays.own_bytes[1:, None],
        sent_bytes=arrays.sent_bytes[1:, None],
        sent_bits=arrays.sent_bits[1:, None],
        distortion=np.zeros(shape),
        weight_bits=none,
        activation_bits=none,
    )


def _numbers(problem: Problem, layer: ProblemLayer, variant: Variant) -> tuple[int, ...]:
    """Bytes of weights, of the held and of the sent value, bits of the sent one, of weights and of activations."""
    elements = layer.elements or 0
    bits = problem.transmission_bits.get(layer.name, variant.activation_bits)
    own = packed_bytes(elements, variant.held_bits or variant.activation_bits)
    sent = sent_payload_bytes(layer.name, elements, bits, problem.batch)
    return variant.weight_bytes, own, sent, bits, variant.weight_bits, variant.activation_bits


def at_widths(arrays: ProblemArrays, widths: WidthArrays, choice: Ints) -> ProblemArrays:
    """The problem with every layer at its chosen width, shape (L,), on the tiers that can run that.

    It holds for placements that put each layer with a chosen variant on such a tier.
    """
    rows = np.arange(len(choice))

    def with_input(of_input: Ints, of_layers: Ints) -> Ints:
        return np.concatenate((of_input[:1], of_layers[rows, choice]))

    seconds = widths.seconds[rows, choice]
    return replace(
        arrays,
        seconds=np.where(np.isfinite(seconds), seconds, arrays.seconds),
        weight_bytes=widths.weight_bytes[rows, choice],
        own_bytes=with_input(arrays.own_bytes, widths.own_bytes),
        sent_bytes=with_input(arrays.sent_bytes, widths.sent_bytes),
        sent_bits=with_input(arrays.sent_bits, widths.sent_bits),
    )


def named_widths(layers: Sequence[ProblemLayer], choice: Ints) -> Mapping[str, tuple[int, int]]:
    """(weight bits, activation bits) per layer that a choice, shape (L,), does not run as it is."""
    chosen = [(layer.name, layer.variants[v - 1]) for layer, v in zip(layers, choice.tolist(), strict=True) if v]
    return {name: (variant.weight_bits, variant.activation_bits) for name, variant in chosen}


def uniform_choice(widths: WidthArrays, weight_bits: int, activation_bits: int, able: Bools | None = None) -> Ints:
    """The choice with the same bits everywhere, shape (L,).

    A layer that lacks them takes the widest of its variants that is no wider, else its narrowest; one without variants
    runs as it is.

    Args:
        widths: the layers.
        weight_bits: bits of weights.
        activation_bits: bits of activations.
        able: which variants may be taken, shape (L, V); None: those that the first tier can run.
    """
    usable = (widths.on_first if able is None else able) & (widths.weight_bits > 0)
    fits = usable & (widths.weight_bits <= weight_bits) & (widths.activation_bits <= activation_bits)
    bits = widths.weight_bits * 64 + widths.activation_bits
    widest = np.where(fits, bits, -1).argmax(axis=1)
    narrowest = np.where(usable, bits, np.iinfo(np.int64).max).argmin(axis=1)
    return np.where(fits.any(axis=1), widest, np.where(usable.any(axis=1), narrowest, 0))

"""Bit widths for a planning problem: its layers' variants, from what calibration found out and seconds per width."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product

from tiersplit_core.cost.problem import CANNOT_RUN_S, Problem, ProblemLayer, Variant
from tiersplit_core.errors import StatisticsError
from tiersplit_core.graph.ir import LayerGraph
from tiersplit_core.profile.systolic import SystolicArray, elements_read, layer_seconds
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import BIT_WIDTHS, FLOAT_BITS, LayerStatistics, Statistics

_BYTE, _REAL_BITS = 8, 32
_STORED_NARROW = (2, 4)
"""ONNX has integers of these bits; packed weights of other widths are bytes."""

SecondsOf = Callable[[str, int, int], float]
"""Seconds of a layer, by its name, at weights and activations of so many bits: L_i(b_i^w, b_i^a) of AUTO-SPLIT §3.1."""


def with_variants(
    problem: Problem, statistics: Statistics, seconds: Mapping[str, SecondsOf], widths: Sequence[int] = BIT_WIDTHS
) -> Problem:
    """The problem whose layers may run at all pairs of bit widths.

    A layer without weights has one variant per activation width; one that hands on no floating-point values has none,
    nor has one that not every tier can run.

    Args:
        problem: of the same graph; its seconds and bytes are those of layers as they are.
        statistics: distortions and sizes, per sample.
        seconds: per tier that can run quantised layers, at the problem's batch size.
        widths: the bit widths B.

    Raises:
        StatisticsError: a layer has no statistics, or not at one of the widths.
    """
    for layer in problem.layers:
        if layer.name not in statistics.by_name:
            raise StatisticsError(f"the layer {layer.name!r} was not calibrated; calibrate this graph", "layers")
    layers = (_with_variants(layer, statistics[layer.name], problem.batch, seconds, widths) for layer in problem.layers)
    return replace(problem, layers=tuple(layers))


def _with_variants(
    layer: ProblemLayer, found: LayerStatistics, batch: int, seconds: Mapping[str, SecondsOf], widths: Sequence[int]
) -> ProblemLayer:
    if not found.activation_distortion or CANNOT_RUN_S in layer.seconds.values():
        return layer
    pairs = product(widths, repeat=2) if found.weight_elements else zip(widths, widths, strict=True)
    variants = tuple(
        Variant(
            weight_bits=w,
            activation_bits=a,
            weight_bytes=found.weight_bytes(w),
            seconds={tier: of(layer.name, w, a) for tier, of in seconds.items()},
            distortion=found.distortion(w, a),
        )
        for w, a in pairs
    )
    return replace(layer, elements=found.output_elements * batch, variants=variants)


def useful_forms(
    weight_bits: Sequence[int], activation_bits: Sequence[int], *, memory_limited: bool
) -> tuple[RunForm, ...]:
    """The forms that are worth looking at on a tier; none where its weights may not have fewer bits.

    Integer kernels round activations too. Packed weights are slower, and there for memory's sake alone.

    Args:
        weight_bits: bit widths that weights may have.
        activation_bits: bit widths that activations may have.
        memory_limited: whether the tier's memory has a limit.
    """
    weights, activations = (min(bits, default=FLOAT_BITS) < FLOAT_BITS for bits in (weight_bits, activation_bits))
    able = {RunForm.INT8: weights and activations, RunForm.PACKED: weights and memory_limited}
    return tuple(form for form, is_able in able.items() if is_able)


def with_form(
    problem: Problem,
    statistics: Statistics,
    form: RunForm,
    seconds: Mapping[str, float],
    weight_bits: Sequence[int],
    activation_bits: Sequence[int],
) -> Problem:
    """The problem whose first tier may run layers in a form in which it was measured.

    Integer kernels compute with bytes whatever the bit widths, so narrower weights are smaller in downloads alone;
    packed weights are as small in memory, next to activations as they are. In both, fewer bits of activations make
    what crosses a link smaller.

    Args:
        problem: of a graph that was calibrated; its seconds and bytes are those of layers as they are.
        statistics: distortions and sizes, per sample.
        form: int8 or packed.
        seconds: per layer that was measured in that form on the first tier, at the problem's batch size.
        weight_bits: bit widths that weights may have; those of 16 and more are left aside.
        activation_bits: bit widths that activations may have, likewise unless the form leaves them as they are.
    """
    pairs = _pairs_of(form, weight_bits, activation_bits)
    layers = tuple(
        _in_form(layer, statistics.by_name.get(layer.name), problem, form, seconds.get(layer.name), pairs)
        for layer in problem.layers
    )
    return replace(problem, layers=layers)


def _pairs_of(form: RunForm, weight_bits: Sequence[int], activation_bits: Sequence[int]) -> list[tuple[int, int]]:
    weights = [bits for bits in weight_bits if bits < FLOAT_BITS]
    activations = [bits for bits in activation_bits if bits < FLOAT_BITS]
    if form is RunForm.PACKED:
        activations.append(_REAL_BITS)
    return list(product(weights, activations))


def _in_form(
    layer: ProblemLayer,
    found: LayerStatistics | None,
    problem: Problem,
    form: RunForm,
    seconds: float | None,
    pairs: Sequence[tuple[int, int]],
) -> ProblemLayer:
    if found is None or seconds is None or not found.activation_distortion or CANNOT_RUN_S in layer.seconds.values():
        return layer
    own = pairs if found.weight_elements else list(dict.fromkeys((a, a) for _, a in pairs))
    packed = form is RunForm.PACKED
    variants = tuple(
        Variant(
            weight_bits=w,
            activation_bits=a,
            weight_bytes=found.weight_bytes(w if packed and w in _STORED_NARROW else _BYTE),
            seconds={problem.tiers[0].name: seconds},
            distortion=found.distortion(w, a),
            held_bits=_REAL_BITS if packed else max(a, _BYTE),
        )
        for w, a in own
        if min(w, a) < FLOAT_BITS
    )
    return replace(layer, elements=found.output_elements * problem.batch, variants=variants)


def systolic_seconds(graph: LayerGraph, hardware: SystolicArray, batch: int = 1) -> SecondsOf:
    """Seconds per layer and bit widths on a simulated accelerator (AUTO-SPLIT §5.1)."""
    reads = {layer.name: elements_read(graph, layer) for layer in graph.layers}

    def seconds_of(name: str, weight_bits: int, activation_bits: int) -> float:
        return layer_seconds(graph[name], reads[name], hardware, weight_bits, activation_bits, batch)

    return seconds_of

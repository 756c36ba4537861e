"""Systolic arrays: seconds per layer of the accelerators that AUTO-SPLIT simulates (table 1, §5.1).

The cycles follow the analytic model of SCALE-Sim: Samajdar et al., "A systematic methodology for characterizing
scalability of DNN accelerators using SCALE-Sim", ISPASS 2020, §III. A layer is a matrix product that is cut into folds
of the array's rows × columns; on an array of R × C a fold with T steps takes 2R + C + T − 2 cycles. As in SCALE-Sim,
each layer reads what it needs from the off-chip memory and writes its result there, through double-buffered on-chip
memory.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing

ORIGINAL_BITS = 16
"""Bit width of weights and activations that nobody has quantised (AUTO-SPLIT, §3.1)."""

_INPUT_BITS = 8
_MULTIPLIER_BITS = 8
_STORED_WEIGHT_BITS = 32


class Dataflow(StrEnum):
    """Which operand stays in the array while the others stream through it."""

    OUTPUT_STATIONARY = "os"
    WEIGHT_STATIONARY = "ws"


@dataclass(frozen=True, slots=True)
class SystolicArray:
    """An accelerator.

    Attributes:
        tier: the tier that it stands for in AUTO-SPLIT.
        rows: rows of multipliers.
        columns: columns of multipliers.
        clock_hz: cycles per second; each multiplier does one 8-bit multiply-accumulate per cycle.
        dataflow: what stays in the array.
        on_chip_bytes: memory on the chip; while one half is computed on, the other one is filled.
        off_chip_bytes: memory beside the chip.
        bandwidth: bytes per second between the two.
    """

    tier: str
    rows: int
    columns: int
    clock_hz: float
    dataflow: Dataflow
    on_chip_bytes: int
    off_chip_bytes: int
    bandwidth: float


# Grids and dataflow are those of SCALE-Sim's published configurations; the clocks give table 1's performance. Its 34
# GOPs are 168 multiply-accumulates at Eyeriss's published 200 MHz, counted as one operation each; its 96 TOPs are the
# TPU's 65,536 at its published 700 MHz only if they count as two.
ARRAYS: Mapping[str, SystolicArray] = {
    "eyeriss": SystolicArray(
        tier="edge",
        rows=12,
        columns=14,
        clock_hz=34e9 / (12 * 14),
        dataflow=Dataflow.WEIGHT_STATIONARY,
        on_chip_bytes=192 * 2**10,
        off_chip_bytes=4 * 2**30,
        bandwidth=1e9,
    ),
    "tpu": SystolicArray(
        tier="cloud",
        rows=256,
        columns=256,
        clock_hz=96e12 / 2 / (256 * 256),
        dataflow=Dataflow.WEIGHT_STATIONARY,
        on_chip_bytes=28 * 2**20,
        off_chip_bytes=16 * 2**30,
        bandwidth=13e9,
    ),
}
"""The hardware of AUTO-SPLIT's table 1, by the names that `tiersplit profile --simulate` knows."""


@dataclass(frozen=True, slots=True)
class Product:
    """A layer as a matrix product.

    Attributes:
        pixels: rows of the result: positions of the output, over all samples.
        filters: columns of the result.
        window: products that are summed for each of its numbers.
    """

    pixels: int
    filters: int
    window: int


@dataclass(frozen=True, slots=True)
class Folds:
    """How often the array is filled for a layer.

    Attributes:
        count: number of folds.
        cycles: cycles of each.
    """

    count: int
    cycles: int


def layer_seconds(
    layer: Layer,
    inputs: Mapping[str, int],
    hardware: SystolicArray,
    weight_bits: int,
    activation_bits: int,
    batch: int = 1,
) -> float:
    """Seconds of one layer, L_i(b_i^w, b_i^a) of AUTO-SPLIT (§3.1).

    Arithmetic and transfers overlap, because one half of the on-chip memory is filled while the array works on the
    other half; only the first fold waits for its data. For F equal folds that makes max(arithmetic, transfers) +
    min(arithmetic, transfers) / F.

    Args:
        layer: the layer; its weights are stored as float32.
        inputs: elements per sample of each value that it reads (`elements_read`); the model's input moves as bytes.
        hardware: the accelerator.
        weight_bits: bit width of the weights.
        activation_bits: bit width of what the layer reads and computes.
        batch: samples in one run.

    Raises:
        ProfileError: a bit width or the batch size is below 1.
    """
    for name, value in (("weight_bits", weight_bits), ("activation_bits", activation_bits), ("batch", batch)):
        if value < 1:
            raise ProfileError(f"{value} is too small; write 1 or more", name)
    folds = folds_of(product_of(layer, batch), hardware)
    passes = multiplier_passes(weight_bits, activation_bits)
    arithmetic = passes * folds.count * folds.cycles / hardware.clock_hz
    weights = layer.weight_bytes * weight_bits / _STORED_WEIGHT_BITS
    read = batch * _bytes_read(inputs, activation_bits)
    written = batch * layer.elements * activation_bits / 8
    transfers = moved_bytes(weights, read, written, hardware.on_chip_bytes) / hardware.bandwidth
    return max(arithmetic, transfers) + min(arithmetic, transfers) / max(1, folds.count)


def elements_read(graph: LayerGraph, layer: Layer) -> dict[str, int]:
    """Elements per sample of each value that `layer` reads, by the name under which it reads it."""
    own = sum(tensor.elements for tensor in graph.inputs)
    return {name: own if name == INPUT else graph[name].elements for name in layer.inputs}


def product_of(layer: Layer, batch: int) -> Product | None:
    """The matrix product that `layer` amounts to; None where it multiplies nothing.

    Groups of channels are laid out as SCALE-Sim's published topologies do it for depthwise convolutions: the windows of
    all groups lie one below the other, the filters of one group side by side.
    """
    if layer.geometry is not None:
        seen = layer.geometry
        channels, height, width = seen.output_shape
        window = seen.input_shape[0] * math.prod(seen.kernel)
        return Product(batch * height * width, max(1, channels // seen.groups), window)
    if layer.macs == 0 or layer.elements == 0:
        return None
    filters = layer.tensors[0].shape[-1] if layer.tensors[0].shape else 1
    pixels = -(-layer.elements // filters)
    return Product(batch * pixels, filters, -(-layer.macs // (pixels * filters)))


def folds_of(product: Product | None, hardware: SystolicArray) -> Folds:
    """Folds of a matrix product over the array (SCALE-Sim, ISPASS 2020, §III): ⌈S_R / R⌉ · ⌈S_C / C⌉."""
    if product is None:
        return Folds(0, 0)
    if hardware.dataflow is Dataflow.WEIGHT_STATIONARY:
        down, steps = product.window, product.pixels
    else:
        down, steps = product.pixels, product.window
    count = -(-down // hardware.rows) * -(-product.filters // hardware.columns)
    return Folds(count, 2 * hardware.rows + hardware.columns + steps - 2)


def multiplier_passes(weight_bits: int, activation_bits: int) -> int:
    """How often an 8-bit multiplier works for one product.

    Once for all widths up to 8 bits (AUTO-SPLIT, §5.1); wider operands are cut into bytes: half the speed where one
    operand has 16 bits, a quarter where both have (Jouppi et al., "In-datacenter performance analysis of a tensor
    processing unit", ISCA 2017, §2).
    """
    return -(-weight_bits // _MULTIPLIER_BITS) * -(-activation_bits // _MULTIPLIER_BITS)


def moved_bytes(weights: float, read: float, written: float, on_chip_bytes: int) -> float:
    """Bytes between the off-chip and the on-chip memory for one layer.

    The result is written once. Where half of the on-chip memory holds the weights or what the layer reads, both are
    read once; where it holds neither, the better of two orders is taken: portions of weights with all inputs read for
    each of them, or portions of inputs with all weights read for each.

    Args:
        weights: bytes of the layer's weights.
        read: bytes of the activations that it reads.
        written: bytes of the activations that it computes.
        on_chip_bytes: the memory on the chip.
    """
    half = on_chip_bytes / 2
    by_weights = weights + read * max(1, math.ceil(weights / half))
    by_inputs = read + weights * max(1, math.ceil(read / half))
    return min(by_weights, by_inputs) + written


def simulate_array(
    graph: LayerGraph,
    hardware: SystolicArray,
    batches: Iterable[int],
    graph_digest: str,
    tier: str | None = None,
    bits: tuple[int, int] = (ORIGINAL_BITS, ORIGINAL_BITS),
) -> TierProfile:
    """The profile that the array model predicts for `graph`.

    Args:
        graph: the graph.
        hardware: the accelerator.
        batches: batch sizes.
        graph_digest: what the profile says it was made of.
        tier: the tier's name; default that of `hardware`.
        bits: bit widths of all weights and of all activations.
    """
    return TierProfile(
        tier=tier or hardware.tier,
        kind=ProfileKind.SIMULATED,
        graph=graph_digest,
        threads=1,
        machine=_describe(hardware, bits),
        batches={batch: _simulate_batch(graph, hardware, batch, bits) for batch in sorted(set(batches))},
    )


def _simulate_batch(graph: LayerGraph, hardware: SystolicArray, batch: int, bits: tuple[int, int]) -> BatchProfile:
    reads = {layer.name: elements_read(graph, layer) for layer in graph.layers}
    seconds = {layer.name: layer_seconds(layer, reads[layer.name], hardware, *bits, batch) for layer in graph.layers}
    weights = sum(layer.weight_bytes for layer in graph.layers) * bits[0] // _STORED_WEIGHT_BITS
    largest = max((sum(reads[layer.name].values()) + layer.elements for layer in graph.layers), default=0)
    return BatchProfile(
        layers={name: Timing(value) for name, value in seconds.items()},
        whole=Timing(math.fsum(seconds.values())),
        memory_bytes=weights + batch * largest * bits[1] // 8,
    )


def _bytes_read(inputs: Mapping[str, int], activation_bits: int) -> float:
    bits = {name: _INPUT_BITS if name == INPUT else activation_bits for name in inputs}
    return sum(elements * bits[name] for name, elements in inputs.items()) / 8


def _describe(hardware: SystolicArray, bits: tuple[int, int]) -> dict[str, str]:
    return {
        "model": "systolic array",
        "array": f"{hardware.rows}x{hardware.columns} {hardware.dataflow.value}",
        "clock_hz": f"{hardware.clock_hz:g}",
        "on_chip_bytes": str(hardware.on_chip_bytes),
        "off_chip_bytes": str(hardware.off_chip_bytes),
        "memory_bytes_per_s": f"{hardware.bandwidth:g}",
        "weight_bits": str(bits[0]),
        "activation_bits": str(bits[1]),
    }

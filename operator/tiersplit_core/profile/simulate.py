"""Simulated tiers: seconds per layer from a roofline, for hardware that is not at hand.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52(4), 2009: attainable speed is bounded by arithmetic or by memory traffic, whichever is
slower.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiersplit_core.errors import InputError, ProfileError
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.units import parse_quantity


@dataclass(frozen=True, slots=True)
class SimulatedTier:
    """Hardware as the roofline sees it.

    Attributes:
        name: the tier's name.
        peak_macs: multiply-accumulates per second.
        memory_bytes_per_s: bandwidth of the off-chip memory in bytes per second.
        on_chip_bytes: bytes that stay on the chip between layers.
        layer_overhead_s: seconds that starting a layer costs.
    """

    name: str
    peak_macs: float
    memory_bytes_per_s: float
    on_chip_bytes: int = 0
    layer_overhead_s: float = 0.0


_FIELDS = {
    "name": "the tier's name",
    "peakMacsPerSecond": "such as 34G",
    "memoryBytesPerSecond": "such as 1G",
    "onChipBytes": "such as 192Ki",
    "layerOverheadNanoseconds": "such as 5000",
}


def tier_from_mapping(value: object) -> SimulatedTier:
    """Read a tier file's content (its fields are those of `examples/tiers/*.yaml`).

    Raises:
        ProfileError: a field is missing, unknown or no quantity; its path is the field.
    """
    if not isinstance(value, dict):
        raise ProfileError("a simulated tier is a mapping of " + ", ".join(_FIELDS), "$")
    for name in value.keys() - _FIELDS.keys():
        raise ProfileError(f"this is not known; allowed are {', '.join(_FIELDS)}", f"$.{name}")
    name = value.get("name")
    if not isinstance(name, str) or not name:
        raise ProfileError("write the tier's name", "$.name")
    return SimulatedTier(
        name=name,
        peak_macs=_quantity(value, "peakMacsPerSecond", least=1),
        memory_bytes_per_s=_quantity(value, "memoryBytesPerSecond", least=1),
        on_chip_bytes=_quantity(value, "onChipBytes", default=0),
        layer_overhead_s=_quantity(value, "layerOverheadNanoseconds", default=0) / 1e9,
    )


def simulate(graph: LayerGraph, tier: SimulatedTier, batches: Iterable[int], graph_digest: str) -> TierProfile:
    """The profile that a roofline predicts for `graph` on `tier`.

    Args:
        graph: the graph; its MACs and bytes are per sample.
        tier: the hardware.
        batches: batch sizes.
        graph_digest: what the profile says it was made of.
    """
    return TierProfile(
        tier=tier.name,
        kind=ProfileKind.SIMULATED,
        graph=graph_digest,
        threads=1,
        machine=_describe(tier),
        batches={batch: _simulate_batch(graph, tier, batch) for batch in sorted(set(batches))},
    )


def layer_seconds(layer: Layer, tier: SimulatedTier, batch: int, input_bytes: int, weights_stay: bool) -> float:
    """Seconds of one layer: the slower of arithmetic and memory traffic, and the cost of starting it.

    Activations (inputs and outputs) stay on the chip as far as they fit, what is left over is written to memory or read
    from it. Weights are read from memory in each run, once per batch, unless all of the model's weights stay on the
    chip.

    Args:
        layer: the layer.
        tier: the hardware.
        batch: samples in one run.
        input_bytes: bytes per sample that the layer reads.
        weights_stay: whether the model's weights are on the chip.
    """
    activations = batch * (input_bytes + layer.output_bytes)
    moved = max(0, activations - tier.on_chip_bytes) + (0 if weights_stay else layer.weight_bytes)
    return tier.layer_overhead_s + max(batch * layer.macs / tier.peak_macs, moved / tier.memory_bytes_per_s)


def _simulate_batch(graph: LayerGraph, tier: SimulatedTier, batch: int) -> BatchProfile:
    reads = {layer.name: _input_bytes(graph, layer) for layer in graph.layers}
    largest = max((batch * (reads[layer.name] + layer.output_bytes) for layer in graph.layers), default=0)
    weights = sum(layer.weight_bytes for layer in graph.layers)
    weights_stay = weights + largest <= tier.on_chip_bytes
    seconds = {layer.name: layer_seconds(layer, tier, batch, reads[layer.name], weights_stay) for layer in graph.layers}
    return BatchProfile(
        layers={name: Timing(value) for name, value in seconds.items()},
        whole=Timing(sum(seconds.values())),
        memory_bytes=weights + largest,
    )


def _input_bytes(graph: LayerGraph, layer: Layer) -> int:
    return sum(graph.input_bytes if name == INPUT else graph[name].output_bytes for name in layer.inputs)


def _describe(tier: SimulatedTier) -> dict[str, str]:
    return {
        "model": "roofline",
        "peak_macs": f"{tier.peak_macs:g}",
        "memory_bytes_per_s": f"{tier.memory_bytes_per_s:g}",
        "on_chip_bytes": str(tier.on_chip_bytes),
        "layer_overhead_s": f"{tier.layer_overhead_s:g}",
    }


def _quantity(value: Mapping[str, object], name: str, *, least: int = 0, default: int | None = None) -> int:
    given = value.get(name, default)
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise ProfileError(f"write a quantity, {_FIELDS[name]}", f"$.{name}")
    try:
        amount = parse_quantity(given)
    except InputError as error:
        raise ProfileError(error.reason, f"$.{name}") from error
    if amount < least:
        raise ProfileError(f"{given!r} is too small; write at least {least}", f"$.{name}")
    return amount

"""A layer's variants and the bits on the links, as JSON (design §4.1)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiersplit_core.cost.payload import TRANSMISSION_BITS
from tiersplit_core.cost.problem import INPUT, ProblemLayer, Variant
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.json_fields import join, read_list, read_number, read_object, read_whole

MAX_VARIANTS = 64
_FIELDS = ("weight_bits", "activation_bits", "weight_bytes", "seconds", "distortion")
_HELD = "held_bits"

ReadSeconds = Callable[[Any, str], float]
"""Reads what one tier needs, given the value and its path."""


def read_variants(value: Any, path: str, tiers: Sequence[str], read_seconds: ReadSeconds) -> tuple[Variant, ...]:
    """The variants of a layer.

    Args:
        value: the list.
        path: where it stands.
        tiers: all tiers; a variant's `seconds` name those that can run it, a plain number is the first one's.
        read_seconds: reads the seconds of one tier.

    Raises:
        ProblemError: a field is wrong, or a pair of bit widths is given twice.
    """
    found: dict[tuple[int, int], Variant] = {}
    for i, entry in enumerate(read_list(value, path, 1, MAX_VARIANTS)):
        variant = _read_variant(entry, f"{path}[{i}]", tiers, read_seconds)
        widths = (variant.weight_bits, variant.activation_bits)
        if widths in found:
            raise ProblemError(f"weights of {widths[0]} and activations of {widths[1]} bits stand there twice", path)
        found[widths] = variant
    return tuple(found.values())


def _read_variant(value: Any, path: str, tiers: Sequence[str], read_seconds: ReadSeconds) -> Variant:
    fields = read_object(value, path, _FIELDS, (_HELD,))
    held = fields.get(_HELD)
    return Variant(
        read_bits(fields["weight_bits"], f"{path}.weight_bits"),
        read_bits(fields["activation_bits"], f"{path}.activation_bits"),
        read_whole(fields["weight_bytes"], f"{path}.weight_bytes"),
        _read_tier_seconds(fields["seconds"], f"{path}.seconds", tiers, read_seconds),
        read_number(fields["distortion"], f"{path}.distortion"),
        None if held is None else read_bits(held, f"{path}.{_HELD}"),
    )


def _read_tier_seconds(value: Any, path: str, tiers: Sequence[str], read_seconds: ReadSeconds) -> Mapping[str, float]:
    if not isinstance(value, dict):
        return {tiers[0]: read_seconds(value, path)}
    fields = read_object(value, path, (), tiers)
    if not fields:
        raise ProblemError(f"seconds for one tier at least are expected; tiers are {', '.join(tiers)}", path)
    return {tier: read_seconds(seconds, join(path, tier)) for tier, seconds in fields.items()}


def read_bits(value: Any, path: str) -> int:
    """A bit width of `TRANSMISSION_BITS`."""
    bits = read_whole(value, path)
    if bits not in TRANSMISSION_BITS:
        raise ProblemError(f"{bits} bits are none of {', '.join(map(str, TRANSMISSION_BITS))}", path)
    return bits


def read_transmission_bits(value: Any, layers: Sequence[ProblemLayer]) -> Mapping[str, int]:
    """Bits on links per layer: a number for all of them, an object for some, null for none.

    Raises:
        ProblemError: a bit width or name is wrong, or the layer does not say how many elements it hands on.
    """
    path = "transmission_bits"
    if value is None:
        return {}
    if isinstance(value, list):
        raise ProblemError("a bit width, or an object of layers and bit widths, is expected, not a list", path)
    given = value if isinstance(value, dict) else {layer.name: value for layer in layers}
    elements = {layer.name: layer.elements for layer in layers}
    for name in given:
        if name == INPUT:
            raise ProblemError("the input travels as it is; its size is graph.input_bytes", join(path, name))
        if name not in elements:
            raise ProblemError(f"no layer is called {name!r}", join(path, name))
        if elements[name] is None:
            position = list(elements).index(name)
            raise ProblemError("missing; transmission_bits need it", f"graph.layers[{position}].elements")
    if value is not given:
        return dict.fromkeys(given, read_bits(value, path))
    return {name: read_bits(bits, join(path, name)) for name, bits in given.items()}


def variants_to_json(variants: Sequence[Variant]) -> list[dict[str, Any]]:
    """The JSON list of a layer's variants."""
    return [
        {
            "weight_bits": variant.weight_bits,
            "activation_bits": variant.activation_bits,
            "weight_bytes": variant.weight_bytes,
            "seconds": dict(variant.seconds),
            "distortion": variant.distortion,
        }
        for variant in variants
    ]

"""Statistics as JSON, read strictly: every mistake is a `StatisticsError` with its JSON path."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from tiersplit_core.errors import StatisticsError
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Range, Statistics

FORMAT = "tiersplit.statistics.v1"
_MAX_LAYERS = 100_000
_MAX_TENSORS = 4096
_MAX_NAME_LENGTH = 512
_MAX_CHANNELS = 1_000_000

_Word = TypeVar("_Word", bound=StrEnum)


def statistics_to_json(statistics: Statistics) -> dict[str, Any]:
    """`statistics` as plain JSON values."""
    return {
        "format": FORMAT,
        "metric": statistics.metric.value,
        "clip": statistics.clip.value,
        "samples": statistics.samples,
        "input_distortion": _with_texts(statistics.input_distortion),
        "input_ranges": _ranges_to_json(statistics.input_ranges),
        "means": {name: list(found) for name, found in statistics.means.items()},
        "layers": [_layer_to_json(layer) for layer in statistics.layers],
    }


def statistics_from_json(value: object, layers: Sequence[str] | None = None) -> Statistics:
    """Read statistics.

    Args:
        value: what `json.loads` gave.
        layers: where given, exactly these layers must be there, in this order.

    Raises:
        StatisticsError: something is missing, unknown, negative, not finite or of another graph.
    """
    keys = ("format", "metric", "clip", "samples", "layers")
    top = _object(value, "$", keys, ("input_distortion", "input_ranges", "means"))
    if top["format"] != FORMAT:
        raise StatisticsError(f"these are no statistics; write {FORMAT!r}", "$.format")
    found = Statistics(
        metric=_word(Metric, top["metric"], "$.metric"),
        clip=_word(Clip, top["clip"], "$.clip"),
        samples=_whole(top["samples"], "$.samples", least=1),
        layers=_layers(top["layers"]),
        input_distortion=_distortion(top.get("input_distortion", {}), "$.input_distortion"),
        input_ranges=_ranges(top.get("input_ranges", {}), "$.input_ranges"),
        means=_means(top.get("means", {}), "$.means"),
    )
    _check_names([layer.name for layer in found.layers], layers)
    return found


def _layer_to_json(layer: LayerStatistics) -> dict[str, Any]:
    return {
        "name": layer.name,
        "weight_elements": layer.weight_elements,
        "output_elements": layer.output_elements,
        "kept_bytes": layer.kept_bytes,
        "weight_distortion": _with_texts(layer.weight_distortion),
        "activation_distortion": _with_texts(layer.activation_distortion),
        "ranges": _ranges_to_json(layer.ranges),
    }


def _with_texts(by_bits: Mapping[int, Any]) -> dict[str, Any]:
    return {str(bits): value for bits, value in sorted(by_bits.items())}


def _ranges_to_json(ranges: Mapping[str, Mapping[int, Range]]) -> dict[str, dict[str, list[float]]]:
    return {name: {bits: list(pair) for bits, pair in _with_texts(found).items()} for name, found in ranges.items()}


def _layers(value: object) -> tuple[LayerStatistics, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MAX_LAYERS:
        raise StatisticsError(f"write a list of 1 to {_MAX_LAYERS} layers", "$.layers")
    return tuple(_layer(entry, f"$.layers[{i}]") for i, entry in enumerate(value))


def _layer(value: object, path: str) -> LayerStatistics:
    keys = ("name", "weight_elements", "output_elements", "weight_distortion", "activation_distortion")
    entry = _object(value, path, keys, ("kept_bytes", "ranges"))
    return LayerStatistics(
        name=_name(entry["name"], f"{path}.name"),
        weight_elements=_whole(entry["weight_elements"], f"{path}.weight_elements"),
        output_elements=_whole(entry["output_elements"], f"{path}.output_elements"),
        weight_distortion=_distortion(entry["weight_distortion"], f"{path}.weight_distortion"),
        activation_distortion=_distortion(entry["activation_distortion"], f"{path}.activation_distortion"),
        ranges=_ranges(entry.get("ranges", {}), f"{path}.ranges"),
        kept_bytes=_whole(entry.get("kept_bytes", 0), f"{path}.kept_bytes"),
    )


def _check_names(names: list[str], layers: Sequence[str] | None) -> None:
    if len(set(names)) != len(names):
        raise StatisticsError("two layers have the same name", "$.layers")
    if layers is not None and names != list(layers):
        raise StatisticsError("these are another graph's layers; calibrate again with this model", "$.layers")


def _distortion(value: object, path: str) -> dict[int, float]:
    widths = [str(bits) for bits in BIT_WIDTHS]
    entry = _object(value, path, (), widths)
    found = {int(bits): _number(number, f"{path}.{bits}") for bits, number in entry.items()}
    for bits, number in found.items():
        if number < 0:
            raise StatisticsError(f"{number} is negative; a distortion is at least 0", f"{path}.{bits}")
    if found and len(found) != len(widths):
        raise StatisticsError(f"write all of the bit widths {', '.join(widths)}, or none", path)
    return found


def _ranges(value: object, path: str) -> dict[str, dict[int, Range]]:
    if not isinstance(value, dict) or len(value) > _MAX_TENSORS:
        raise StatisticsError("write an object of ranges by tensor", path)
    return {_name(name, path): _widths(entry, f"{path}.{name}") for name, entry in value.items()}


def _means(value: object, path: str) -> dict[str, tuple[float, ...]]:
    if not isinstance(value, dict) or len(value) > _MAX_LAYERS:
        raise StatisticsError("write an object of lists by tensor", path)
    return {_name(name, path): _numbers(entry, f"{path}.{name}") for name, entry in value.items()}


def _numbers(value: object, path: str) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > _MAX_CHANNELS:
        raise StatisticsError(f"write a list of at most {_MAX_CHANNELS} numbers", path)
    return tuple(_number(number, f"{path}[{i}]") for i, number in enumerate(value))


def _widths(value: object, path: str) -> dict[int, Range]:
    entry = _object(value, path, (), [str(bits) for bits in BIT_WIDTHS])
    return {int(bits): _range(pair, f"{path}.{bits}") for bits, pair in entry.items()}


def _range(value: object, path: str) -> Range:
    if not isinstance(value, list) or len(value) != 2:
        raise StatisticsError("write the lowest and the highest number", path)
    low, high = (_number(number, path) for number in value)
    if not low <= 0 <= high:
        raise StatisticsError(f"0 does not lie within {low} to {high}", path)
    return low, high


def _object(value: object, path: str, required: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise StatisticsError("write an object", path)
    for key in value:
        if key not in required and key not in optional:
            raise StatisticsError(f"{key!r} is not known; known are {', '.join((*required, *optional))}", path)
    for key in required:
        if key not in value:
            raise StatisticsError("this is required", f"{path}.{key}")
    return value


def _word(kind: type[_Word], value: object, path: str) -> _Word:
    try:
        return kind(str(value))
    except ValueError as error:
        known = ", ".join(word.value for word in kind)
        raise StatisticsError(f"{value!r} is not known; write one of {known}", path) from error


def _name(value: object, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_LENGTH:
        raise StatisticsError(f"write a name of 1 to {_MAX_NAME_LENGTH} characters", path)
    return value


def _number(value: object, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise StatisticsError(f"{value!r} is no finite number", path)
    return float(value)


def _whole(value: object, path: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 1 << 62:
        raise StatisticsError(f"{value!r} is not allowed; write a whole number of at least {least}", path)
    return value

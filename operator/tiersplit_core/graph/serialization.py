"""The layer graph as plain JSON values, and back with every mistake named by its path."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import Geometry, Layer, LayerGraph, TensorSpec

FORMAT_VERSION = 1
MAX_LAYERS = 100_000
MAX_AXES = 16
_MAX_COUNT = 2**62


def graph_to_json(graph: LayerGraph) -> dict[str, Any]:
    """`graph` as JSON values; `graph_from_json` reads them back to an equal graph."""
    return {
        "format": FORMAT_VERSION,
        "name": graph.name,
        "inputs": [_tensor_to_json(tensor) for tensor in graph.inputs],
        "layers": [_layer_to_json(layer) for layer in graph.layers],
        "outputs": list(graph.outputs),
        "output_names": [list(pair) for pair in graph.output_names],
    }


def graph_from_json(value: object) -> LayerGraph:
    """The graph that `value` describes.

    Raises:
        GraphError: `value` is no graph of this format; its `path` is where the mistake stands.
    """
    fields = _object(value, "")
    if fields.get("format") != FORMAT_VERSION:
        raise GraphError(f"expected {FORMAT_VERSION}, got {fields.get('format')!r}", "format")
    return LayerGraph(
        name=_text(fields.get("name"), "name"),
        inputs=_tensors(fields.get("inputs"), "inputs"),
        layers=tuple(_layer(item, f"layers[{i}]") for i, item in enumerate(_list(fields.get("layers"), "layers"))),
        outputs=_texts(fields.get("outputs"), "outputs"),
        output_names=_pairs(fields.get("output_names", []), "output_names"),
    )


def _tensor_to_json(tensor: TensorSpec) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "batch_axis": tensor.batch_axis,
    }


def _layer_to_json(layer: Layer) -> dict[str, Any]:
    optional: dict[str, Any] = {"opaque": True} if layer.opaque else {}
    if layer.geometry is not None:
        optional["geometry"] = _geometry_to_json(layer.geometry)
    return {
        "name": layer.name,
        "op": layer.op,
        "inputs": list(layer.inputs),
        "tensors": [_tensor_to_json(tensor) for tensor in layer.tensors],
        "macs": layer.macs,
        "parameters": layer.parameters,
        "weight_bytes": layer.weight_bytes,
        **optional,
    }


def _geometry_to_json(geometry: Geometry) -> dict[str, Any]:
    return {
        "kernel": list(geometry.kernel),
        "stride": list(geometry.stride),
        "groups": geometry.groups,
        "input_shape": list(geometry.input_shape),
        "output_shape": list(geometry.output_shape),
    }


def _layer(value: object, path: str) -> Layer:
    fields = _object(value, path)
    return Layer(
        name=_text(fields.get("name"), f"{path}.name"),
        op=_text(fields.get("op"), f"{path}.op"),
        inputs=_texts(fields.get("inputs"), f"{path}.inputs"),
        tensors=_tensors(fields.get("tensors"), f"{path}.tensors"),
        macs=_count(fields.get("macs", 0), f"{path}.macs"),
        parameters=_count(fields.get("parameters", 0), f"{path}.parameters"),
        weight_bytes=_count(fields.get("weight_bytes", 0), f"{path}.weight_bytes"),
        geometry=_geometry(fields["geometry"], f"{path}.geometry") if "geometry" in fields else None,
        opaque=_flag(fields.get("opaque", False), f"{path}.opaque"),
    )


def _geometry(value: object, path: str) -> Geometry:
    fields = _object(value, path)
    kernel, stride = (_sizes(fields.get(key), f"{path}.{key}", 2) for key in ("kernel", "stride"))
    before, after = (_sizes(fields.get(key), f"{path}.{key}", 3) for key in ("input_shape", "output_shape"))
    groups = _positive(fields.get("groups"), f"{path}.groups")
    if before[0] % groups or after[0] % groups:
        raise GraphError(f"{groups} groups do not divide the channels evenly", f"{path}.groups")
    return Geometry(
        kernel=(kernel[0], kernel[1]),
        stride=(stride[0], stride[1]),
        groups=groups,
        input_shape=(before[0], before[1], before[2]),
        output_shape=(after[0], after[1], after[2]),
    )


def _sizes(value: object, path: str, count: int) -> list[int]:
    items = _list(value, path)
    if len(items) != count:
        raise GraphError(f"expected {count} whole numbers", path)
    return [_positive(item, f"{path}[{i}]") for i, item in enumerate(items)]


def _tensors(value: object, path: str) -> tuple[TensorSpec, ...]:
    return tuple(_tensor(item, f"{path}[{i}]") for i, item in enumerate(_list(value, path)))


def _tensor(value: object, path: str) -> TensorSpec:
    fields = _object(value, path)
    shape = tuple(
        _count(size, f"{path}.shape[{i}]") for i, size in enumerate(_list(fields.get("shape"), f"{path}.shape"))
    )
    axis = _count(fields.get("batch_axis", 0), f"{path}.batch_axis")
    if len(shape) > MAX_AXES or axis >= max(len(shape), 1):
        raise GraphError(f"axis {axis} of shape {list(shape)} does not exist", f"{path}.batch_axis")
    return TensorSpec(
        _text(fields.get("name"), f"{path}.name"), _dtype(fields.get("dtype"), f"{path}.dtype"), shape, axis
    )


def _dtype(value: object, path: str) -> str:
    name = _text(value, path)
    try:
        known = np.dtype(name)
    except TypeError:
        known = np.dtype(object)
    if known.hasobject or known.name != name:
        raise GraphError(f"{name!r} is no numpy dtype; write a name such as float32", path)
    return name


def _object(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise GraphError(f"expected an object, got {type(value).__name__}", path)
    return value


def _list(value: object, path: str) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise GraphError(f"expected a list of at most {MAX_LAYERS} items", path)
    return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise GraphError(f"expected a text, got {value!r}", path)
    return value


def _texts(value: object, path: str) -> tuple[str, ...]:
    return tuple(_text(item, f"{path}[{i}]") for i, item in enumerate(_list(value, path)))


def _pairs(value: object, path: str) -> tuple[tuple[str, str], ...]:
    found = []
    for i, item in enumerate(_list(value, path)):
        pair = _texts(item, f"{path}[{i}]")
        if len(pair) != 2:
            raise GraphError("expected a pair of names", f"{path}[{i}]")
        found.append((pair[0], pair[1]))
    return tuple(found)


def _flag(value: object, path: str) -> bool:
    if not isinstance(value, bool):
        raise GraphError(f"expected true or false, got {value!r}", path)
    return value


def _positive(value: object, path: str) -> int:
    found = _count(value, path)
    if found == 0:
        raise GraphError("expected a whole number from 1 on, got 0", path)
    return found


def _count(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
        raise GraphError(f"expected a whole number from 0 on, got {value!r}", path)
    return value

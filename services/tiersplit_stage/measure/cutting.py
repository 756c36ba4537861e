"""Cutting chunks of layers from the whole model's file on the tier that measures them.

The import room cuts what is served. It needs libraries that no stage has, and a tier whose memory is short cannot wait
for chunks that somebody else makes to its measure.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_stage.measure.files import link_or_copy
from tiersplit_stage.measure.job import Program
from tiersplit_stage.measure.onnx_messages import ELEMENT_TYPES, Model, Value
from tiersplit_stage.measure.onnx_nodes import LAYER_KEY

_BATCH, _FILE = "batch", "chunk.onnx"


class ModelFile:
    """The whole model in one form, to cut from.

    Args:
        path: its ONNX file; large constants are files beside it.
        graph: its layer graph.

    Raises:
        ModelError: it is no ONNX model, or a node of it belongs to no layer.
    """

    def __init__(self, path: Path, graph: LayerGraph) -> None:
        try:
            self._model = Model.FromString(path.read_bytes())
        except DecodeError as error:
            raise ModelError(f"this is no ONNX file: {error}", str(path)) from error
        self._folder, self._graph = path.parent, graph
        self._layers = [_layer_of(node, str(path)) for node in self._nodes]

    @cached_property
    def stored(self) -> dict[str, int]:
        """Bytes of the constants that each layer reads, as they are once they are loaded."""
        sizes = {tensor.name: self._stored_bytes(tensor) for tensor in self._model.graph.initializer}
        read: dict[str, set[str]] = {name: set() for name in self._graph.index}
        for layer, node in zip(self._layers, self._nodes, strict=True):
            read[layer].update(name for name in _reads(node) if name in sizes)
        return {layer: sum(sizes[name] for name in names) for layer, names in read.items()}

    def cut(self, layers: Sequence[str], folder: Path) -> Program:
        """A program that runs `layers` alone, written to `folder` with what it reads.

        Tensors that only the model's file knows, such as a layer's input rounded to bytes, are computed again from
        those of the layer graph.

        Args:
            layers: consecutive layers.
            folder: an empty directory; the constants' files are linked or copied there.
        """
        chosen = set(layers)
        inside = [layer in chosen for layer in self._layers]
        made = {name for node, own in self._with(inside) if own for name in node.output}
        nodes = self._closed(inside)
        read = {name for node in nodes for name in _reads(node)}
        inputs = [spec for name, spec in self._values.items() if name in read and name not in made]
        outputs = [spec for name, spec in self._values.items() if name in made & self._needed_without(inside)]
        weights = self._write(nodes, read, inputs, outputs, folder)
        names = (tuple(spec.name for spec in inputs), tuple(spec.name for spec in outputs))
        return Program("chunk", str(folder / _FILE), *names, weights)

    @property
    def _nodes(self) -> Sequence[Any]:
        nodes: Sequence[Any] = self._model.graph.node
        return nodes

    @cached_property
    def _values(self) -> dict[str, TensorSpec]:
        """The tensors that may be handed on, in execution order."""
        tensors = (spec for layer in self._graph.layers for spec in layer.tensors)
        return {spec.name: spec for spec in (*self._graph.inputs, *tensors)}

    @cached_property
    def _makers(self) -> dict[str, int]:
        return {name: i for i, node in enumerate(self._nodes) for name in node.output if name}

    def _stored_bytes(self, tensor: Any) -> int:
        outside = {entry.key: entry.value for entry in tensor.external_data}
        if "location" not in outside:
            return int(tensor.ByteSize())
        return int(outside.get("length") or (self._folder / outside["location"]).stat().st_size)

    def _with(self, inside: Sequence[bool]) -> Iterator[tuple[Any, bool]]:
        return zip(self._nodes, inside, strict=True)

    def _closed(self, inside: Sequence[bool]) -> list[Any]:
        """The nodes inside, and those that compute what they read and nobody hands on."""
        wanted = {i for i, own in enumerate(inside) if own}
        waiting = list(wanted)
        while waiting:
            for name in _reads(self._nodes[waiting.pop()]):
                maker = self._makers.get(name)
                if maker is not None and maker not in wanted and name not in self._values:
                    wanted.add(maker)
                    waiting.append(maker)
        return [self._nodes[i] for i in sorted(wanted)]

    def _needed_without(self, inside: Sequence[bool]) -> set[str]:
        """What other layers or the caller read."""
        read = {name for node, own in self._with(inside) if not own for name in _reads(node)}
        return read | {tensor for _, tensor in self._graph.output_names} | self._results

    @cached_property
    def _results(self) -> set[str]:
        return {spec.name for name in self._graph.outputs for spec in self._graph[name].tensors}

    def _write(
        self,
        nodes: Sequence[Any],
        read: Collection[str],
        inputs: Iterable[TensorSpec],
        outputs: Iterable[TensorSpec],
        folder: Path,
    ) -> tuple[str, ...]:
        model = Model()
        model.CopyFrom(self._model)
        constants = [tensor for tensor in self._model.graph.initializer if tensor.name in read]
        contents = {"node": nodes, "initializer": constants, "value_info": ()}
        contents |= {"input": [_value(spec) for spec in inputs], "output": [_value(spec) for spec in outputs]}
        for field, items in contents.items():
            model.graph.ClearField(field)
            getattr(model.graph, field).extend(items)
        (folder / _FILE).write_bytes(model.SerializeToString())
        locations = {entry.value for item in constants for entry in item.external_data if entry.key == "location"}
        for location in locations:
            link_or_copy(self._folder / location, folder / location)
        return tuple(str(folder / location) for location in sorted(locations))


def _layer_of(node: Any, path: str) -> str:
    found = next((entry.value for entry in node.metadata_props if entry.key == LAYER_KEY), None)
    if found is None:
        raise ModelError(f"the node {node.name!r} belongs to no layer; import the model again", path)
    return str(found)


def _reads(node: Any) -> Iterator[str]:
    """The tensors that a node reads, its nested graphs included."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _reads(inner)


def _value(spec: TensorSpec) -> Any:
    """A tensor's type as the import writes it: its growing axis has a name, equal multiples of the batch equal ones."""
    if spec.dtype not in ELEMENT_TYPES:
        raise ModelError(f"{spec.name!r} is {spec.dtype}, which chunks cannot hand on", "layers")
    value = Value(name=spec.name)
    value.type.tensor_type.elem_type = ELEMENT_TYPES[spec.dtype]
    for axis, size in enumerate(spec.shape):
        dimension = value.type.tensor_type.shape.dim.add()
        if axis == spec.batch_axis:
            dimension.dim_param = _BATCH if size == 1 else f"{size}*{_BATCH}"
        else:
            dimension.dim_value = size
    return value

"""Cutting the canonical model: any set of layers that a plan may give to one tier is an ONNX file of its own."""

from collections.abc import Collection, Iterable, Sequence

from onnx import ModelProto, NodeProto, TensorProto

from tiersplit_bundle import Blob, media
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.errors import GraphError, ModelError
from tiersplit_core.graph.ir import INPUT, LayerGraph, TensorSpec
from tiersplit_core.planning.segments import SegmentSpec
from tiersplit_import.proto import LAYER_KEY, make_model, value_info


def boundary(graph: LayerGraph, layers: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The values that cross into and out of a set of layers, in execution order.

    Raises:
        GraphError: a layer does not exist, or a path leaves the set and comes back, so that it cannot run at once.
    """
    chosen = set(layers)
    for name in sorted(chosen - graph.index.keys()):
        raise GraphError(f"no layer is called {name!r}", "layers")
    reads = {name for key in chosen for name in graph[key].inputs} - chosen
    _check_convex(graph, chosen)
    inputs = tuple(name for name in (INPUT, *graph.index) if name in reads)
    read_outside = {name for layer in graph.layers if layer.name not in chosen for name in layer.inputs}
    handed = chosen & (read_outside | set(graph.outputs))
    return inputs, tuple(name for name in graph.index if name in handed)


def _check_convex(graph: LayerGraph, chosen: Collection[str]) -> None:
    left: set[str] = set()
    for layer in graph.layers:
        behind = left.intersection(layer.inputs)
        if layer.name in chosen and behind:
            raise GraphError(f"it reads {min(behind)!r}, which itself needs this segment", f"layers.{layer.name}")
        if layer.name not in chosen and (behind or any(name in chosen for name in layer.inputs)):
            left.add(layer.name)


class Cutter:
    """Cuts segments from one model.

    Args:
        model: the canonical model, its large constants outside.
        graph: its layer graph.
    """

    def __init__(self, model: ModelProto, graph: LayerGraph) -> None:
        self._graph = graph
        self._versions = {entry.domain: entry.version for entry in model.opset_import}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            self._nodes.setdefault(layer_of(node), []).append(node)

    def cut(self, segment: SegmentSpec) -> tuple[ModelProto, list[TensorSpec], list[TensorSpec]]:
        """The segment's model as it is, whatever its form, and the tensors that it reads and hands out.

        Raises:
            GraphError: the layers cannot run at once, or its values are not what crosses its boundary.
        """
        inputs, outputs = boundary(self._graph, segment.layers)
        _check_values(segment, inputs, outputs)
        chosen = set(segment.layers)
        nodes = [node for name in self._graph.index if name in chosen for node in self._nodes[name]]
        read = {name for node in nodes for name in node.input}
        constants = [tensor for name, tensor in self._constants.items() if name in read]
        before, after = self._tensors(segment.inputs), self._tensors(segment.outputs)
        infos = ([value_info(spec) for spec in before], [value_info(spec) for spec in after])
        return make_model(segment.base or segment.id, nodes, infos, constants, self._versions), before, after

    def _tensors(self, values: Iterable[str]) -> list[TensorSpec]:
        found: list[TensorSpec] = []
        for value in values:
            found.extend(self._graph.inputs if value == INPUT else self._graph[value].tensors)
        return found


def layer_of(node: NodeProto) -> str:
    """The layer that a node of the canonical model belongs to.

    Raises:
        ModelError: it is marked with none.
    """
    found = next((entry.value for entry in node.metadata_props if entry.key == LAYER_KEY), None)
    if found is None:
        raise ModelError("the node belongs to no layer; import the model again", f"node {node.name}")
    return found


def _check_values(segment: SegmentSpec, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    for given, needed, what in ((segment.inputs, inputs, "inputs"), (segment.outputs, outputs, "outputs")):
        missing = [name for name in needed if name not in given]
        if missing:
            raise GraphError(f"{missing[0]!r} crosses the boundary but is not listed", f"{segment.id}.{what}")
        foreign = [name for name in given if name not in needed]
        if foreign:
            raise GraphError(f"{foreign[0]!r} does not cross the boundary", f"{segment.id}.{what}")


def segment_blob(
    name: str, layers: Sequence[str], model: ModelProto, before: Sequence[TensorSpec], after: Sequence[TensorSpec]
) -> Blob:
    """The layer of a bundle that holds a segment.

    Args:
        name: its id.
        layers: the layers that it runs.
        model: its ONNX file; the names of its external constants are digests of blobs.
        before: the tensors that it reads.
        after: the tensors that it computes.
    """
    about = {
        "layers": list(layers),
        "inputs": [spec.name for spec in before],
        "outputs": [spec.name for spec in after],
        "weights": sorted(f"sha256:{location}" for location in _locations(model)),
    }
    annotations = {media.SEGMENT_ID: name, media.SEGMENT_ABOUT: canonical_json(about).decode()}
    return Blob(media.SEGMENT, model.SerializeToString(deterministic=True), annotations)


def _locations(model: ModelProto) -> set[str]:
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    return {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}

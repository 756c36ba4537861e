import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import GraphError
from tiersplit_core.graph.ir import INPUT, Geometry, Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_from_json, graph_to_json

TEXT = st.text(min_size=1, max_size=8)
COUNT = st.integers(0, 2**40)
TENSORS = st.builds(
    TensorSpec, TEXT, st.sampled_from(["float32", "uint8", "int64", "bool"]), st.tuples(st.just(1), COUNT), st.just(1)
)
SIZE = st.integers(1, 2**20)
SHAPE = st.tuples(SIZE, SIZE, SIZE)
GEOMETRIES = st.builds(Geometry, st.tuples(SIZE, SIZE), st.tuples(SIZE, SIZE), st.just(1), SHAPE, SHAPE)


@st.composite
def graphs(draw: st.DrawFn) -> LayerGraph:
    names = draw(st.lists(TEXT.filter(lambda name: name != INPUT), min_size=1, max_size=6, unique=True))
    layers = []
    for i, name in enumerate(names):
        inputs = draw(st.lists(st.sampled_from([INPUT, *names[:i]]), min_size=1, max_size=3, unique=True))
        tensors = tuple(draw(st.lists(TENSORS, max_size=2)))
        counts = [draw(COUNT) for _ in range(3)]
        about = (draw(st.none() | GEOMETRIES), draw(st.booleans()))
        layers.append(Layer(name, draw(TEXT), tuple(inputs), tensors, *counts, *about))
    return LayerGraph(draw(TEXT), (draw(TENSORS),), tuple(layers), (names[-1],), (("out", names[-1]),))


@given(graphs())
def test_what_is_written_is_read_back(graph: LayerGraph) -> None:
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph


def plain() -> dict[str, Any]:
    spec = TensorSpec("a", "float32", (1, 2))
    layer = Layer("a", "Conv", (INPUT,), (spec,), geometry=Geometry((3, 3), (1, 1), 2, (4, 6, 6), (8, 6, 6)))
    return graph_to_json(LayerGraph("m", (spec,), (layer,), ("a",), (("out", "a"),)))


MISTAKES = [
    (("format",), 2, "format"),
    (("name",), "", "name"),
    (("name",), 3, "name"),
    (("inputs",), None, "inputs"),
    (("layers",), {}, "layers"),
    (("layers", 0), [], "layers[0]"),
    (("layers", 0, "op"), None, "layers[0].op"),
    (("layers", 0, "inputs"), [], "layers[0].inputs"),
    (("layers", 0, "inputs"), ["b"], "layers[0].inputs[0]"),
    (("layers", 0, "macs"), -1, "layers[0].macs"),
    (("layers", 0, "macs"), True, "layers[0].macs"),
    (("layers", 0, "weight_bytes"), 1.5, "layers[0].weight_bytes"),
    (("layers", 0, "tensors", 0, "dtype"), "O", "layers[0].tensors[0].dtype"),
    (("layers", 0, "tensors", 0, "dtype"), "float33", "layers[0].tensors[0].dtype"),
    (("layers", 0, "tensors", 0, "shape"), [1, "2"], "layers[0].tensors[0].shape[1]"),
    (("layers", 0, "tensors", 0, "batch_axis"), 2, "layers[0].tensors[0].batch_axis"),
    (("layers", 0, "opaque"), 1, "layers[0].opaque"),
    (("layers", 0, "geometry"), None, "layers[0].geometry"),
    (("layers", 0, "geometry", "kernel"), [3], "layers[0].geometry.kernel"),
    (("layers", 0, "geometry", "stride", 1), 0, "layers[0].geometry.stride[1]"),
    (("layers", 0, "geometry", "groups"), 3, "layers[0].geometry.groups"),
    (("layers", 0, "geometry", "input_shape"), [4, 6], "layers[0].geometry.input_shape"),
    (("outputs",), ["b"], "outputs[0]"),
    (("output_names",), [["a"]], "output_names[0]"),
]


@pytest.mark.parametrize(("where", "what", "path"), MISTAKES, ids=[path for _, _, path in MISTAKES])
def test_a_mistake_is_named_by_its_path(where: tuple[Any, ...], what: object, path: str) -> None:
    value = copy.deepcopy(plain())
    spot: Any = value
    for key in where[:-1]:
        spot = spot[key]
    spot[where[-1]] = what
    with pytest.raises(GraphError) as caught:
        graph_from_json(value)
    assert caught.value.path == path


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(GraphError):
        graph_from_json([1])

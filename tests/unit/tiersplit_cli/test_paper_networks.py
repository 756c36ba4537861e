import pytest

from benchmarks.papers.autosplit_graphs import canonical_model
from tiersplit_cli.papers.numbering import paper_index
from tiersplit_cli.papers.stored import stored_graph, stored_models
from tiersplit_core.errors import InputError
from tiersplit_core.graph.ir import INPUT, Geometry, Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json

# millions of parameters and billions of multiply-accumulates, as torchvision's and Darknet's tables have them
PUBLISHED = {
    "resnet18": (11.69, 1.81),
    "resnet50": (25.56, 4.09),
    "resnext50_32x4d": (25.03, 4.23),
    "mobilenet_v2": (3.50, 0.30),
    "mnasnet1_0": (4.38, 0.31),
    "googlenet": (6.62, 1.50),
    "yolov3": (61.95, 32.93),
    "yolov3_tiny": (8.85, 2.78),
    "yolov3_spp": (63.00, 33.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_stored_graph_has_the_published_sizes(name: str) -> None:
    parameters, macs = PUBLISHED[name]
    graph = stored_graph(name)
    assert sum(layer.parameters for layer in graph.layers) / 1e6 == pytest.approx(parameters, abs=0.011)
    assert sum(layer.macs for layer in graph.layers) / 1e9 == pytest.approx(macs, rel=0.02)


@pytest.mark.parametrize("name", stored_models())
def test_every_layer_of_a_stored_graph_with_macs_has_its_geometry(name: str) -> None:
    for layer in stored_graph(name).layers:
        if not layer.opaque:
            assert (layer.geometry.macs if layer.geometry else 0) == layer.macs, layer.name


def test_a_network_that_is_not_stored_is_refused_with_those_that_are() -> None:
    with pytest.raises(InputError, match="resnet50, resnext50_32x4d"):
        stored_graph("lenet")


# AUTO-SPLIT, tables 9 and 10
NUMBERS = {
    "resnet50": {"conv1": 0, "layer4.0.conv3": 46, "layer4.1.conv3": 49, "layer4.2.conv3": 52, "fc": 53},
    "resnet18": {"layer2.0.downsample.0": 6, "layer2.0.conv2": 7, "fc": 20},
    "mnasnet1_0": {"layers.0": 0, "layers.3": 1, "classifier.1": 52},
    "yolov3": {"layers.0.conv": 0, "layers.82": 82, "layers.94": 94, "layers.106": 106},
    "yolov3_tiny": {"layers.16": 16, "layers.23": 23},
    "yolov3_spp": {"layers.89": 89, "layers.101": 101, "layers.113": 113},
}


@pytest.mark.parametrize("name", NUMBERS)
def test_layers_are_numbered_as_in_the_papers_tables(name: str) -> None:
    found = paper_index(stored_graph(name))
    assert {layer: found[layer] for layer in NUMBERS[name]} == NUMBERS[name]


@pytest.mark.parametrize(("name", "collected"), [("faster_rcnn", [10, 23, 42, 52]), ("faster_rcnn_late", [23, 42, 52])])
def test_the_pyramid_collects_features_of_the_layers_of_table_9(name: str, collected: list[int]) -> None:
    graph = stored_graph(name)
    found = paper_index(graph)
    pyramid = [layer for layer in graph.layers if ".inner_blocks." in layer.name]
    assert sorted(found[layer.inputs[0]] for layer in pyramid) == collected


def test_what_finds_detections_is_one_opaque_layer_at_the_end() -> None:
    graph = stored_graph("faster_rcnn")
    assert [layer.name for layer in graph.layers if layer.opaque] == ["roi_heads"] == [graph.layers[-1].name]
    assert sum(layer.parameters for layer in graph.layers) == 41_808_406


def test_a_layer_without_weights_has_the_number_of_the_last_one_that_it_hands_on() -> None:
    found = paper_index(stored_graph("resnet50"))
    assert (found["maxpool"], found["layer1.0.relu"], found["layer4.2.add"], found["avgpool"]) == (0, 4, 52, 52)


def test_what_stands_before_every_weight_has_the_number_of_the_input() -> None:
    spec = (TensorSpec("v", "float32", (1, 3, 4, 4)),)
    conv = Layer("conv", "Conv", ("pool",), spec, geometry=Geometry((1, 1), (1, 1), 1, (3, 4, 4), (3, 4, 4)))
    graph = LayerGraph("g", spec, (Layer("pool", "MaxPool", (INPUT,), spec), conv), ("conv",))
    assert paper_index(graph) == {"pool": -1, "conv": 0}


@pytest.mark.slow
def test_a_stored_graph_is_what_importing_the_network_gives() -> None:
    assert graph_to_json(stored_graph("resnet18")) == graph_to_json(canonical_model("resnet18").graph)

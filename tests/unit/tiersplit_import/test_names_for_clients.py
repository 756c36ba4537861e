"""What clients call the inputs and outputs of an imported model."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from tiersplit_bundle import Bundle
from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_import.export import export
from tiersplit_import.options import ImportOptions, parse_input
from tiersplit_import.pipeline import import_model

ODD_NAMES = ["images", "input.1", "images:0", "data/x", "0"]


def scaled_sum(path: Path, image: str = "image", scale: str = "scale", total: str = "total") -> None:
    """An ONNX file of image (n, 4) · relu(scale (n, 1)), and of relu(scale) as an output of its own."""
    nodes = [
        helper.make_node("Relu", [scale], ["factor"], name="factor"),
        helper.make_node("Mul", [image, "factor"], [total], name="product"),
    ]
    inputs = [
        helper.make_tensor_value_info(image, TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info(scale, TensorProto.FLOAT, ["n", 1]),
    ]
    outputs = [
        helper.make_tensor_value_info(total, TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("factor", TensorProto.FLOAT, ["n", 1]),
    ]
    graph = helper.make_graph(nodes, "scaled", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def imported(path: Path, *inputs: str) -> LayerGraph:
    described = tuple(parse_input(text) for text in inputs)
    return import_model(str(path), path.parent / "b", ImportOptions(inputs=described)).graph


def names(graph: LayerGraph) -> tuple[list[str], list[str]]:
    return [spec.name for spec in graph.inputs], [key for key, _ in graph.output_names]


@pytest.mark.parametrize("image", ODD_NAMES)
def test_clients_see_the_names_of_the_onnx_file(image: str, tmp_path: Path) -> None:
    scaled_sum(tmp_path / "m.onnx", image, total=f"{image}/total")
    graph = imported(tmp_path / "m.onnx")
    assert names(graph) == ([image, "scale"], [f"{image}/total", "factor"])
    inputs, outputs = Bundle.open(tmp_path / "b").golden()
    product = inputs[image] * np.maximum(inputs["scale"], 0)
    np.testing.assert_allclose(outputs[f"{image}/total"], product, rtol=1e-6)


@pytest.mark.parametrize("image", ODD_NAMES)
def test_names_of_the_onnx_file_can_be_described_in_any_order(image: str, tmp_path: Path) -> None:
    scaled_sum(tmp_path / "m.onnx", image)
    graph = imported(tmp_path / "m.onnx", "scale:FP32:-1x1", f"{image}:FP32:-1x4")
    assert [(spec.name, spec.shape) for spec in graph.inputs] == [(image, (1, 4)), ("scale", (1, 1))]


def test_other_names_for_all_inputs_of_the_onnx_file_stand_in_its_order(tmp_path: Path) -> None:
    scaled_sum(tmp_path / "m.onnx")
    graph = imported(tmp_path / "m.onnx", "frame:FP32:-1x4", "gain:FP32:-1x1")
    assert names(graph) == (["frame", "gain"], ["total", "factor"])


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (("image:FP32:-1x4", "gain:FP32:-1x1"), "no input 'gain'"),
        (("image:FP32:-1x4",), "described twice or not at all"),
        (("image:FP32:-1x4", "image:FP32:-1x1"), "described twice or not at all"),
    ],
)
def test_names_that_contradict_the_onnx_file_are_refused_with_what_to_write(
    inputs: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    scaled_sum(tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        imported(tmp_path / "m.onnx", *inputs)
    assert caught.value.path == "--input"
    assert said in caught.value.reason
    assert "write the file's names ['image', 'scale']" in caught.value.reason


def test_a_layer_with_several_tensors_does_not_take_the_name_of_an_input(tmp_path: Path) -> None:
    scaled_sum(tmp_path / "m.onnx", image="product:0")
    graph = imported(tmp_path / "m.onnx")
    tensors = [spec.name for layer in graph.layers for spec in layer.tensors]
    assert "product" not in [layer.name for layer in graph.layers]
    assert len({*tensors, "product:0"}) == len(tensors) + 1


class Scaled(nn.Module):
    """Two arguments, a dictionary as its answer."""

    def forward(self, image: torch.Tensor, scale: torch.Tensor) -> dict[str, torch.Tensor]:
        """The product and the factor."""
        factor = torch.relu(scale)
        return {"total": image * factor, "factor": factor}


class Doubled(nn.Module):
    """One argument, one tensor as its answer."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """Twice the frame."""
        return torch.relu(frame) * 2


def save_program(module: nn.Module, path: Path, *widths: int) -> None:
    example = tuple(torch.ones(2, width) for width in widths)
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in widths)
    torch.export.save(torch.export.export(module, example, dynamic_shapes=dynamic), path)


def test_clients_see_the_arguments_and_the_keys_of_an_exported_program(tmp_path: Path) -> None:
    save_program(Scaled(), tmp_path / "m.pt2", 4, 1)
    assert names(imported(tmp_path / "m.pt2")) == (["image", "scale"], ["total", "factor"])


def test_the_only_input_of_an_exported_program_has_its_arguments_name_too(tmp_path: Path) -> None:
    save_program(Doubled(), tmp_path / "m.pt2", 4)
    graph = imported(tmp_path / "m.pt2")
    assert names(graph) == (["frame"], ["output"])
    assert graph.layers[0].inputs == (INPUT,)


def test_a_described_input_of_an_exported_program_has_the_name_that_was_given(tmp_path: Path) -> None:
    save_program(Doubled(), tmp_path / "m.pt2", 4)
    assert names(imported(tmp_path / "m.pt2", "camera:FP32:-1x4")) == (["camera"], ["output"])


def test_the_image_of_torchvisions_models_is_called_as_their_argument() -> None:
    made = export("torchvision.models:squeezenet1_1", ImportOptions(random_weights=True))
    assert made.net.input_names == ["x"]

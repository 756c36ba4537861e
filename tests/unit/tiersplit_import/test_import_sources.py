from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file, save_model
from torchvision.models import mnasnet0_5

from tests.support import models
from tests.support.imports import import_copy
from tiersplit_bundle import Bundle
from tiersplit_core.errors import BundleError, ModelError
from tiersplit_import.export import export
from tiersplit_import.factory import load_module
from tiersplit_import.options import ImportOptions, parse_input, parse_numbers
from tiersplit_import.pipeline import default_name, import_model

IMAGE = (parse_input("input:FP32:-1x3x16x16"),)
CHAIN = "tests.support.models:chain"


def refused(source: str, tmp_path: Path, **options: object) -> str:
    options.setdefault("inputs", IMAGE)
    with pytest.raises(ModelError) as caught:
        import_model(source, tmp_path / "b", ImportOptions(**options))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("no_such_module:thing", "cannot be imported"),
        ("tests.support.models:thing", "has no 'thing'"),
        ("tests.support.models:INPUTS", "not a callable"),
        ("tests.support.models", "MODULE:CALLABLE"),
        ("tests.support.models:raising", "RuntimeError: no such variant"),
        ("tests.support.models:not_a_module", "not a torch.nn.Module"),
        ("tests.support.models:nonfinite", "not finite"),
        ("tests.support.models:zeros", "zeros only"),
        ("tests.support.models:dependent", "depends on data"),
        ("tests.support.models:fixed", "fixed somewhere in the model"),
        ("tests.support.models:mixed", "grow linearly"),
        ("torchvision.models:resnet18", "--random-weights"),
        ("missing.onnx", "no such file"),
        ("missing.pt2", "no such file"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_what_to_write(source: str, said: str, tmp_path: Path) -> None:
    assert said in refused(source, tmp_path)


def test_an_input_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    assert "fails on an input as described" in refused(CHAIN, tmp_path, inputs=(parse_input("x:FP32:-1x4x16x16"),))


def test_a_factory_of_ones_own_needs_its_inputs_described(tmp_path: Path) -> None:
    assert "--input" in refused(CHAIN, tmp_path, inputs=())


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    for name in ("broken.onnx", "broken.pt2"):
        path = tmp_path / name
        path.write_bytes(b"nothing that anybody reads")
        assert name in refused(str(path), tmp_path)


def test_weights_come_from_safetensors_or_a_state_dict(tmp_path: Path) -> None:
    state = {key: value * 1.5 for key, value in models.chain().state_dict().items() if value.is_floating_point()}
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    made = [
        import_model(CHAIN, tmp_path / f"b{i}", ImportOptions(inputs=IMAGE, weights=tmp_path / name))
        for i, name in enumerate(("w.safetensors", "w.pt"))
    ]
    plain = import_copy("chain", tmp_path / "plain")
    assert made[0].digest == made[1].digest != plain.digest


def test_of_tied_parameters_one_name_is_enough(tmp_path: Path) -> None:
    module = models.tied()
    with torch.no_grad():
        module.get_parameter("mix.weight").mul_(1.5)
    save_model(module, tmp_path / "w.safetensors")
    torch.save(module.state_dict(), tmp_path / "w.pt")
    inputs = tuple(parse_input(text) for text in models.INPUTS["tied"])
    made = [
        import_model(
            "tests.support.models:tied", tmp_path / name, ImportOptions(inputs=inputs, weights=tmp_path / name_)
        )
        for name, name_ in (("b0", "w.safetensors"), ("b1", "w.pt"))
    ]
    assert made[0].digest == made[1].digest != import_copy("tied", tmp_path / "plain").digest


def test_weights_fit_a_network_whose_state_has_a_version(tmp_path: Path) -> None:
    trained = mnasnet0_5()
    torch.save(dict(trained.state_dict()), tmp_path / "w.pt")
    module = load_module("torchvision.models:mnasnet0_5", ImportOptions(weights=tmp_path / "w.pt"))
    assert torch.equal(module.get_parameter("layers.0.weight"), trained.get_parameter("layers.0.weight"))


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    state = dict(models.chain().state_dict())
    state["head.1.weight"] = torch.zeros(2, 2)
    state["stranger"] = state.pop("features.0.weight")
    torch.save(state, tmp_path / "w.pt")
    said = refused(CHAIN, tmp_path, weights=tmp_path / "w.pt")
    assert "missing: features.0.weight" in said
    assert "unexpected: stranger" in said
    assert "of another shape: head.1.weight" in said


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    torch.save({"weight": Path}, tmp_path / "w.pt")
    assert "cannot be read" in refused(CHAIN, tmp_path, weights=tmp_path / "w.pt")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "chain.pt2"
    example = (torch.randn(2, 3, 16, 16),)
    made = torch.export.export(models.chain().eval(), example, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    torch.export.save(made, path)
    return path


def test_an_exported_program_is_a_source(program: Path, tmp_path: Path) -> None:
    made = import_model(str(program), tmp_path / "b", ImportOptions(inputs=IMAGE))
    factory = import_copy("chain", tmp_path / "f")
    assert made.graph == factory.graph


def test_an_onnx_file_is_a_source(program: Path, tmp_path: Path) -> None:
    path = tmp_path / "chain.onnx"
    torch.onnx.export(torch.export.load(program), (torch.randn(2, 3, 16, 16),), path, dynamo=True, verbose=False)
    made = import_model(str(path), tmp_path / "b", ImportOptions())
    factory = import_copy("chain", tmp_path / "f")
    assert [layer.op for layer in made.graph.layers] == [layer.op for layer in factory.graph.layers]
    assert sum(layer.macs for layer in made.graph.layers) == sum(layer.macs for layer in factory.graph.layers)
    wanted, got = Bundle.open(tmp_path / "f").golden()[1], Bundle.open(tmp_path / "b").golden()[1]
    np.testing.assert_allclose(*got.values(), *wanted.values(), rtol=1e-4, atol=1e-5)


def test_a_program_with_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(models.chain().eval(), (torch.randn(2, 3, 16, 16),)), tmp_path / "m.pt2")
    assert "must be dynamic" in refused(str(tmp_path / "m.pt2"), tmp_path, inputs=())


def legacy_model(path: Path, batch: int | str = "n", op: str = "Sigmoid") -> None:
    """As older exporters wrote it: plain names, opset 13, x * sigmoid(x) as two nodes, a shape computed from data."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 1, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="/stem/Conv"),
        helper.make_node(op, ["c"], ["s"], name="/act/Sigmoid"),
        helper.make_node("Mul", ["c", "s"], ["a"], name="/act/Mul"),
        helper.make_node("Shape", ["a"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["a", "target"], ["y"], name="/Reshape"),
    ]
    held = [
        onnx.numpy_helper.from_array(weight, "w"),
        onnx.numpy_helper.from_array(np.array(0), "zero"),
        onnx.numpy_helper.from_array(np.array([0]), "axes"),
        onnx.numpy_helper.from_array(np.array([16]), "rest"),
    ]
    graph = helper.make_graph(
        nodes,
        "legacy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 2, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 16])],
        held,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_an_older_onnx_file_is_raised_and_divided(tmp_path: Path) -> None:
    legacy_model(tmp_path / "legacy.onnx")
    graph = import_model(str(tmp_path / "legacy.onnx"), tmp_path / "b", ImportOptions()).graph
    assert [layer.name for layer in graph.layers] == ["stem"]
    assert graph["stem"].tensors[0].shape == (1, 16)
    plain = import_model(str(tmp_path / "legacy.onnx"), tmp_path / "n", ImportOptions(optimise=False)).graph
    assert len(plain.layers) == 4


def test_an_onnx_file_with_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    legacy_model(tmp_path / "legacy.onnx", batch=1)
    assert "dynamic batch" in refused(str(tmp_path / "legacy.onnx"), tmp_path, inputs=())


@pytest.mark.parametrize("text", ["", "x", "x:FP32", "x:FP32:3x4", "x:F32:-1x3", "x:FP32:-1x0", "x y:FP32:-1"])
def test_an_input_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="--input"):
        parse_input(text)


def test_numbers_written_otherwise_are_refused() -> None:
    assert parse_numbers("0.5,1", "--mean") == (0.5, 1.0)
    with pytest.raises(ModelError, match="--mean"):
        parse_numbers("a,b", "--mean")


@pytest.mark.parametrize(
    "options",
    [{"mean": (0.5,)}, {"wire_uint8": True, "std": (0.0,)}, {"wire_uint8": True, "mean": (0.1, 0.2)}],
)
def test_a_normalisation_that_makes_no_sense_is_refused(options: dict[str, object], tmp_path: Path) -> None:
    assert "--" in refused(CHAIN, tmp_path, **options)


@pytest.mark.parametrize("shape", [(0, 3, 16, 16), (4, 3, 16), (4, 16, 16, 3)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros(shape, np.float32))
    assert "its samples have shape" in refused(CHAIN, tmp_path, calibration=tmp_path / "data.npz")


def test_an_import_does_not_overwrite_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(BundleError, match="oci-layout"):
        import_model(CHAIN, tmp_path / "mine", ImportOptions(inputs=IMAGE))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_model_is_named_after_its_callable_or_file() -> None:
    assert default_name("torchvision.models:resnet18") == "resnet18"
    assert default_name("somewhere/plates.onnx") == "plates"


def test_the_reference_answers_in_the_order_of_the_outputs() -> None:
    made = export("tests.support.models:shuffle", ImportOptions(inputs=(parse_input("input:FP32:-1x3x8x8"),)))
    out, aux = made.reference({"input": np.ones((2, 3, 8, 8), np.float32)})
    assert (out.shape, aux.shape) == ((2, 2, 8, 8), (2, 2))

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.support import models
from tests.support.cutting import random_plans
from tests.support.imports import fresh_import, import_copy
from tiersplit_bundle import Bundle, media
from tiersplit_core.graph.ir import INPUT, LayerGraph
from tiersplit_core.planning.segments import segments_of
from tiersplit_import.segments import materialise


def names(graph: LayerGraph) -> list[str]:
    return [layer.name for layer in graph.layers]


def test_norms_and_activations_belong_to_the_layer_before_them(tmp_path: Path) -> None:
    graph = import_copy("chain", tmp_path / "b").graph
    assert names(graph) == ["features.0", "features.3", "features.4", "head.1", "head.4"]
    assert [layer.op for layer in graph.layers] == ["Conv", "MaxPool", "Conv", "Gemm", "Gemm"]


def test_without_optimising_every_module_is_a_layer(tmp_path: Path) -> None:
    graph = import_copy("chain", tmp_path / "b", optimise=False).graph
    modules = [f"features.{i}" for i in range(9)] + [f"head.{i}" for i in range(5)]
    assert names(graph) == modules


def test_parameters_and_macs_are_counted_before_folding(tmp_path: Path) -> None:
    wanted = sum(parameter.numel() for parameter in models.chain().parameters())
    macs = 256 * 8 * 27 + 64 * 8 * 18 + 512 * 16 + 16 * 5
    for name, options in (("plain", {}), ("kept", {"optimise": False})):
        graph = import_copy("chain", tmp_path / name, **options).graph
        assert sum(layer.parameters for layer in graph.layers) == wanted
        assert sum(layer.macs for layer in graph.layers) == macs
    folded = import_copy("chain", tmp_path / "b").graph["features.0"]
    assert folded.parameters == 8 * 27 + 16 and folded.weight_bytes == 4 * (8 * 27 + 8)


def test_a_norm_that_follows_no_convolution_is_one_scale_and_shift(tmp_path: Path) -> None:
    graph = import_copy("dense", tmp_path / "b").graph
    assert graph["norms.1"].op == "BatchNormalization"
    assert graph["norms.1"].parameters == 2 * 12
    model = onnx.load(str(Bundle.open(tmp_path / "b").model_path), load_external_data=False)
    (node,) = [node for node in model.graph.node if node.name == "norms.1"]
    held = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.raw_data}
    assert not held[node.input[3]].any() and (held[node.input[4]] == 1).all()


def test_each_part_of_a_split_crosses_alone(tmp_path: Path) -> None:
    graph = import_copy("shuffle", tmp_path / "b").graph
    parts = [layer for layer in graph.layers if layer.op == "Slice"]
    assert [layer.inputs for layer in parts] == [("stem",), ("stem",)]
    assert all(layer.output_bytes * 2 == graph["stem"].output_bytes for layer in parts)


def test_a_dictionary_keeps_its_keys(tmp_path: Path) -> None:
    made = import_copy("shuffle", tmp_path / "b")
    assert [key for key, _ in made.graph.output_names] == ["out", "aux"]
    _, outputs = Bundle.open(tmp_path / "b").golden()
    assert {key: value.shape for key, value in outputs.items()} == {"out": (1, 2, 8, 8), "aux": (1, 2)}


def test_the_batch_never_comes_from_a_layer_far_away(tmp_path: Path) -> None:
    graph = import_copy("attention", tmp_path / "b").graph
    (readers_of_input,) = graph.readers[INPUT]
    assert readers_of_input == "patch"
    assert graph["cat"].parameters == 16


def test_tied_parameters_are_one_blob_that_both_segments_name(tmp_path: Path) -> None:
    path = tmp_path / "b"
    graph = import_copy("tied", path).graph
    assert sum(layer.parameters for layer in graph.layers) == 1600 + 256 + 16 + 80 + 16
    (plan,) = random_plans(graph, 2, 1, 0)
    split = {name: "tier1" if name == "again" else "tier0" for name in plan.placement}
    bundle = materialise(path, segments_of(graph, [type(plan)(split)]))
    first, second = (set(segment.weights) for segment in bundle.segments)
    assert len(first & second) == 1
    (shared,) = first & second
    assert bundle.descriptor(shared).size == 256 * 4


def test_a_tied_parameter_that_is_read_transposed_is_one_blob_too(tmp_path: Path) -> None:
    path = tmp_path / "b"
    made = import_copy("shared", path)
    assert made.weight_bytes == 4 * (100 * 16 + 16 * 16 + 16)
    words, head = made.graph["words"], made.graph["head"]
    assert (words.weight_bytes, head.weight_bytes) == (100 * 16 * 4, 100 * 16 * 4)
    assert (words.parameters, head.parameters) == (100 * 16, 0)
    (plan,) = random_plans(made.graph, 2, 1, 0)
    split = {name: "tier1" if name == "head" else "tier0" for name in plan.placement}
    first, second = materialise(path, segments_of(made.graph, [type(plan)(split)])).segments
    assert len(set(first.weights) & set(second.weights)) == 1


def test_bytes_travel_where_the_wire_carries_bytes(tmp_path: Path) -> None:
    made = import_copy("chain", tmp_path / "b", wire_uint8=True, mean=(0.5, 0.4, 0.3), std=(0.2,))
    (spec,), first = made.graph.inputs, made.graph.layers[0]
    assert (spec.name, spec.dtype, spec.shape) == ("input", "uint8", (1, 3, 16, 16))
    assert (first.name, first.inputs, first.output_bytes) == ("normalise", (INPUT,), 4 * made.graph.input_bytes)
    inputs, outputs = Bundle.open(tmp_path / "b").golden()
    scaled = (inputs["input"] / 255 - np.array([0.5, 0.4, 0.3]).reshape(3, 1, 1)) / 0.2
    with torch.inference_mode():
        wanted = models.chain().eval()(torch.from_numpy(scaled.astype(np.float32))).numpy()
    np.testing.assert_allclose(outputs["output"], wanted, rtol=1e-4, atol=1e-5)


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    one = import_copy("shuffle", tmp_path / "one")
    assert fresh_import("shuffle", tmp_path / "other").digest == one.digest == Bundle.open(tmp_path / "one").digest


def test_importing_again_keeps_the_segments_that_were_cut(tmp_path: Path) -> None:
    graph = import_copy("dense", tmp_path / "b").graph
    made = materialise(tmp_path / "b", segments_of(graph, random_plans(graph, 2, 1, 1)))
    fresh_import("dense", tmp_path / "b")
    assert Bundle.open(tmp_path / "b").segments == made.segments


def test_importing_something_else_replaces_it(tmp_path: Path) -> None:
    import_copy("dense", tmp_path / "b")
    made = fresh_import("shuffle", tmp_path / "b")
    assert Bundle.open(tmp_path / "b").digest == made.digest
    assert Bundle.open(tmp_path / "b").name == "shuffle"


def test_statistics_cover_every_value(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).standard_normal((11, 3, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=samples)
    made = import_copy("dense", tmp_path / "b", calibration=tmp_path / "data.npz", samples=9)
    found = Bundle.open(tmp_path / "b").read_json(media.STATISTICS)
    assert found["samples"] == 9
    assert found["values"].keys() == {spec.name for layer in made.graph.layers for spec in layer.tensors}
    with torch.inference_mode():
        stem = models.dense().eval().stem(torch.from_numpy(samples[:9]))
    wanted = {"min": stem.min(), "max": stem.max(), "mean": stem.mean(), "std": stem.std(correction=0)}
    assert found["values"]["stem"] == pytest.approx({key: float(value) for key, value in wanted.items()}, rel=1e-4)
    inputs, _ = Bundle.open(tmp_path / "b").golden()
    np.testing.assert_array_equal(inputs["input"], samples[:1])

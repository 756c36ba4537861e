"""A small residual network as a bundle, made without torch: two convolutions, their sum, a pool and a linear layer."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from tiersplit_bundle import Blob, BundleWriter, media
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json

CHANNELS, SIDE, CLASSES = 8, 16, 10


def small_cnn(path):
    """Write the bundle to `path`; returns it."""
    with BundleWriter(path) as writer:
        writer.configure({"format": 1, "name": "small-cnn", "source": "test", "tiersplit": "0"})
        writer.add(Blob(media.GRAPH, canonical_json(graph_to_json(graph()))))
        writer.add(Blob(media.MODEL, model(writer).SerializeToString()))
        sample = np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)
        writer.add(Blob(media.GOLDEN, save({"input/x": sample, "output/y": np.zeros((1, CLASSES), np.float32)})))
    return path


def graph():
    """Five layers; the pool's flattening is part of the linear layer."""
    feature = (1, CHANNELS, SIDE, SIDE)
    per_tap = CHANNELS * SIDE * SIDE * 9
    return LayerGraph(
        "small-cnn",
        (TensorSpec("x", "float32", (1, 3, SIDE, SIDE)),),
        (
            Layer("conv1", "Conv", (INPUT,), (TensorSpec("a", "float32", feature),), per_tap * 3, 0, 4 * CHANNELS * 27),
            Layer("conv2", "Conv", ("conv1",), (TensorSpec("b", "float32", feature),), per_tap * CHANNELS, 0, 2304),
            Layer("add", "Add", ("conv2", "conv1"), (TensorSpec("c", "float32", feature),)),
            Layer("pool", "GlobalAveragePool", ("add",), (TensorSpec("d", "float32", (1, CHANNELS, 1, 1)),)),
            Layer("fc", "Gemm", ("pool",), (TensorSpec("y", "float32", (1, CLASSES)),), 80, 90, 4 * CHANNELS * CLASSES),
        ),
        ("fc",),
        (("y", "y"),),
    )


def model(writer):
    """The ONNX model, constants of 1 KiB and more outside."""
    draw = np.random.default_rng(0)
    constants = {
        "conv1.w": draw.standard_normal((CHANNELS, 3, 3, 3)),
        "conv2.w": draw.standard_normal((CHANNELS, CHANNELS, 3, 3)),
        "fc.w": draw.standard_normal((CHANNELS, CLASSES)),
    }
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        _node("conv1", 0, "Conv", ["x", "conv1.w"], "a.raw", **pads),
        _node("conv1", 1, "Relu", ["a.raw"], "a"),
        _node("conv2", 0, "Conv", ["a", "conv2.w"], "b", **pads),
        _node("add", 0, "Add", ["b", "a"], "c.raw"),
        _node("add", 1, "Relu", ["c.raw"], "c"),
        _node("pool", 0, "GlobalAveragePool", ["c"], "d"),
        _node("fc", 0, "Flatten", ["d"], "d.flat"),
        _node("fc", 1, "MatMul", ["d.flat", "fc.w"], "y"),
    ]
    infos = [_info("x", ["n", 3, SIDE, SIDE])], [_info("y", ["n", CLASSES])]
    made = helper.make_graph(nodes, "small", *infos, [_constant(writer, *item) for item in constants.items()])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _node(layer, position, op, inputs, output, **attributes):
    node = helper.make_node(op, inputs, [output], name=f"{layer}#{position}" if position else layer, **attributes)
    node.metadata_props.add(key="tiersplit.layer", value=layer)
    return node


def _info(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _constant(writer, name, array):
    tensor = numpy_helper.from_array(array.astype(np.float32), name)
    if len(tensor.raw_data) >= 1024:
        digest = writer.add(Blob(media.WEIGHTS, bytes(tensor.raw_data)))
        onnx.external_data_helper.set_external_data(tensor, digest.removeprefix("sha256:"))
        tensor.ClearField("raw_data")
    return tensor

"""A chain of convolutions whose weights are most of what it holds, as a bundle with quantised forms, without torch."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from tests.support.calibrated import with_statistics
from tests.support.quantised_cnn import variant_cutter
from tiersplit_bundle import Blob, Bundle, BundleWriter, extend, media
from tiersplit_bundle.layout import canonical_json
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_import.run_forms import whole_forms

CHANNELS, SIDE = 384, 4
WEIGHT_BYTES = 4 * 9 * CHANNELS**2
"""Of each layer: 5.3 MB."""


def heavy_cnn(path, layers):
    """The bundle at `path`: `layers` layers that hold nearly nothing but their weights."""
    with BundleWriter(path) as writer:
        writer.configure({"format": 1, "name": "heavy-cnn", "source": "test", "tiersplit": "0"})
        writer.add(Blob(media.GRAPH, canonical_json(graph_to_json(graph(layers)))))
        writer.add(Blob(media.MODEL, _model(writer, layers).SerializeToString()))
        writer.add(Blob(media.GOLDEN, save({"input/x": images(1), "output/y": images(1)})))
    return Bundle.open(path)


def quantised_heavy_cnn(path, layers):
    """The same, calibrated on two random images, with the whole model in its quantised forms."""
    known = with_statistics(heavy_cnn(path, layers), {"x": images(2)})
    return extend(known, whole_forms(variant_cutter(known), known.graph))


def images(count):
    """Inputs of the network, shape (count, channels, side, side)."""
    return np.random.default_rng(1).standard_normal((count, CHANNELS, SIDE, SIDE)).astype(np.float32)


def graph(layers):
    """Layers c0, c1, …: a convolution and its activation each."""
    names = [f"c{i}" for i in range(layers)]
    sources = [INPUT, *names]
    macs = SIDE**2 * WEIGHT_BYTES // 4
    return LayerGraph(
        "heavy-cnn",
        (_tensor("x"),),
        tuple(
            Layer(name, "Conv", (source,), (_tensor(_value(i, layers)),), macs, 0, WEIGHT_BYTES)
            for i, (name, source) in enumerate(zip(names, sources, strict=False))
        ),
        (names[-1],),
        (("y", "y"),),
    )


def _tensor(name):
    return TensorSpec(name, "float32", (1, CHANNELS, SIDE, SIDE))


def _value(i, layers):
    return "y" if i == layers - 1 else f"v{i}"


def _model(writer, layers):
    draw = np.random.default_rng(0)
    nodes, constants, source = [], [], "x"
    for i in range(layers):
        shape = (CHANNELS, CHANNELS, 3, 3)
        weights = draw.standard_normal(shape).astype(np.float32) * np.float32((2 / (9 * CHANNELS)) ** 0.5)
        constants.append(_outside(writer, f"c{i}.w", weights))
        nodes += [
            _node(f"c{i}", 0, "Conv", [source, f"c{i}.w"], f"raw{i}", pads=[1, 1, 1, 1]),
            _node(f"c{i}", 1, "Relu", [f"raw{i}"], _value(i, layers)),
        ]
        source = _value(i, layers)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", CHANNELS, SIDE, SIDE]) for name in ("x", "y")]
    made = helper.make_graph(nodes, "heavy", infos[:1], infos[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _node(layer, position, op, inputs, output, **attributes):
    node = helper.make_node(op, inputs, [output], name=f"{layer}#{position}" if position else layer, **attributes)
    node.metadata_props.add(key="tiersplit.layer", value=layer)
    return node


def _outside(writer, name, array):
    tensor = numpy_helper.from_array(array, name)
    digest = writer.add(Blob(media.WEIGHTS, bytes(tensor.raw_data)))
    onnx.external_data_helper.set_external_data(tensor, digest.removeprefix("sha256:"))
    tensor.ClearField("raw_data")
    return tensor

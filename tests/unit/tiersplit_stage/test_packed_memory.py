"""What running packed weights takes goes back to the system."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper

from tiersplit_core.quantization.forms import FORM_KEY, RunForm
from tiersplit_stage.plans import SegmentInfo
from tiersplit_stage.pool import BlobStore, SegmentPool, to_ort

INPUTS, WIDTHS = 64, (8192, 12288, 16384, 20480, 24576, 28672)
"""Weights of 64 × 8192 to 64 × 28672 real numbers: 2 to 7 MB each, 28 MB together, while they are not packed."""


def segment(folder: Path) -> SegmentInfo:
    """A segment of convolutions with weights of 4 bits, each of another size."""
    nodes, constants, outputs = [], [], []
    for i, width in enumerate(WIDTHS):
        packed = np.random.default_rng(i).bytes(width * INPUTS // 2)
        constants.append(helper.make_tensor(f"w{i}", TensorProto.INT4, [width, INPUTS, 1, 1], packed, raw=True))
        constants.append(onnx.numpy_helper.from_array(np.full(width, 0.1, np.float32), f"s{i}"))
        nodes.append(helper.make_node("DequantizeLinear", [f"w{i}", f"s{i}"], [f"r{i}"], axis=0))
        nodes.append(helper.make_node("Conv", ["x", f"r{i}"], [f"y{i}"]))
        outputs.append(helper.make_tensor_value_info(f"y{i}", TensorProto.FLOAT, [1, width, 1, 1]))
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, INPUTS, 1, 1])
    graph = helper.make_graph(nodes, "packed", [given], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    model.metadata_props.add(key=FORM_KEY, value=RunForm.PACKED.value)
    data = model.SerializeToString()
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return SegmentInfo("packed", f"sha256:{digest}", (), ("x",), tuple(f"y{i}" for i in range(len(WIDTHS))))


def test_what_packed_weights_take_while_they_run_is_not_held_afterwards(tmp_path: Path) -> None:
    held, process = segment(tmp_path), psutil.Process()
    pool = SegmentPool(BlobStore(tmp_path), 1)
    pool.load(held)
    values = {"x": to_ort(np.ones((1, INPUTS, 1, 1), np.float32))}
    loaded = process.memory_info().rss
    for _ in range(4):
        found = pool.run(held, values)
    # A runtime's first run alone takes about 9 MB.
    assert process.memory_info().rss - loaded < INPUTS * sum(WIDTHS) * 4 * 0.6
    assert float(np.abs(found["y5"].numpy()).max()) > 0

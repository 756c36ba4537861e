"""A small detector as an ONNX file: it finds bright quarters of a picture, and which of two colours they have."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CELL = 8, 4
CELLS = [(0, 0, 4, 4), (4, 0, 8, 4), (0, 4, 4, 8), (4, 4, 8, 8)]
"""Corners x1, y1, x2, y2 of the quarters, in pixels."""


def detector() -> bytes:
    """Answers `boxes` (n, 4, 4), `scores` (n, 4) and `labels` (n, 4); dark quarters score 0."""
    kernel = np.zeros((3, 2, CELL, CELL), np.float32)
    kernel[0], kernel[1, 0], kernel[2, 1] = 1 / 16, 1 / 16, 1 / 16
    values = {
        "kernel": kernel,
        "cells": np.array([CELLS], np.float32),
        "dark": np.float32(0.2),
        "shrink": np.array([0.5, 0.5, 0, 0], np.float32),
        "rows": np.array([0, 3, 4], np.int64),
        **{name: np.array([at], np.int64) for name, at in (("zero", 0), ("one", 1), ("three", 3), ("last", 2))},
    }
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["colours"], name="look", strides=[CELL, CELL]),
        helper.make_node("Reshape", ["colours", "rows"], ["flat"], name="flat"),
        helper.make_node("Transpose", ["flat"], ["found"], name="turn", perm=[0, 2, 1]),
        helper.make_node("Slice", ["found", "zero", "one", "last"], ["bright"], name="bright"),
        helper.make_node("Slice", ["found", "one", "three", "last"], ["classes"], name="classes"),
        helper.make_node("ArgMax", ["classes"], ["labels"], name="class", axis=2, keepdims=0),
        helper.make_node("Squeeze", ["bright", "last"], ["light"], name="light"),
        helper.make_node("Sub", ["light", "dark"], ["above"], name="above"),
        helper.make_node("Relu", ["above"], ["scores"], name="score"),
        helper.make_node("Mul", ["bright", "shrink"], ["moved"], name="move"),
        helper.make_node("Add", ["moved", "cells"], ["boxes"], name="box"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 2, SIDE, SIDE])
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4, 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["n", 4]),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "detector", [image], outputs, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 2, 8, 8) and what is in them (n, 4, 5): x1, y1, x2, y2 and colour, -1 where a quarter is dark."""
    draw = np.random.default_rng(seed)
    colours = draw.integers(-1, 2, (count, 4))
    image = np.zeros((count, 2, SIDE, SIDE), np.float32)
    for i, row in enumerate(colours):
        for (x, y, _, _), colour in zip(CELLS, row, strict=True):
            if colour >= 0:
                image[i, colour, y : y + CELL, x : x + CELL] = draw.uniform(0.7, 1)
    boxes = np.broadcast_to(np.array(CELLS), (count, 4, 4))
    return image, np.concatenate([boxes, colours[:, :, None]], axis=2).astype(np.float32)

"""ONNX files as a source; needs no torch."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.exported import OPSET, Exported
from tiersplit_import.net import Array, read_net
from tiersplit_import.options import ImportOptions
from tiersplit_import.probe import open_session, run


def export_onnx(path: Path, options: ImportOptions) -> Exported:
    """The graph of an ONNX file.

    Raises:
        ModelError: it is none, or cannot be raised to the opset that is used here.
    """
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"is no valid ONNX file: {str(error)[:300]}", str(path)) from error
    inputs = options.inputs or _onnx_inputs(model, path)
    if next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0) < OPSET:
        model = _upgraded(model, path)
    given = [value.name for value in model.graph.output]
    keys = ["output"] if len(given) == 1 else given
    net = read_net(model, inputs, keys, None)
    session = open_session(str(path))
    names = [value.name for value in session.get_inputs()]

    def reference(feeds: Mapping[str, Array]) -> list[Array]:
        return run(session, given, dict(zip(names, (feeds[spec.name] for spec in inputs), strict=True)))

    return Exported(net, reference)


def _upgraded(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:
        raise ModelError(
            f"cannot be raised to opset {OPSET}; export it with opset ≥ {OPSET}: {error}", str(path)
        ) from error


def _onnx_inputs(model: onnx.ModelProto, path: Path) -> tuple[TensorSpec, ...]:
    held = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in (value for value in model.graph.input if value.name not in held):
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].HasField("dim_value") or not all(dim.HasField("dim_value") for dim in dims[1:]):
            raise ModelError(
                "the first dimension alone must be dynamic; export with a dynamic batch dimension and describe other "
                "dynamic dimensions with --input",
                f"{path}: input {value.name}",
            )
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name
        found.append(TensorSpec(value.name, dtype, (1, *(dim.dim_value for dim in dims[1:]))))
    return (TensorSpec("input", found[0].dtype, found[0].shape),) if len(found) == 1 else tuple(found)

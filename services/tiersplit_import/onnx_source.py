"""ONNX files as a source; needs no torch."""

from collections.abc import Mapping, Sequence
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
    inputs = _described(options.inputs, model) if options.inputs else _onnx_inputs(model, path)
    if next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0) < OPSET:
        model = _upgraded(model, path)
    given = [value.name for value in model.graph.output]
    net = read_net(model, inputs, given, None)
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


def _fed(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller gives; older files list their weights as inputs too."""
    held = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in held]


def _described(inputs: Sequence[TensorSpec], model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """`inputs` in the file's order: by the file's names, or under other names in the order in which they are given."""
    own = [value.name for value in _fed(model)]
    named = {spec.name: spec for spec in inputs}
    if named.keys() == set(own):
        return tuple(named[name] for name in own)
    strangers = [spec.name for spec in inputs if spec.name not in own]
    if len(strangers) < len(inputs):
        said = f"the file has no input {strangers[0]!r}" if strangers else "an input is described twice or not at all"
        raise ModelError(
            f"{said}; write the file's names {own}, or for every input one that is none of them, in that order",
            "--input",
        )
    return tuple(inputs)


def _onnx_inputs(model: onnx.ModelProto, path: Path) -> tuple[TensorSpec, ...]:
    found = []
    for value in _fed(model):
        dims = value.type.tensor_type.shape.dim
        if not dims or dims[0].HasField("dim_value") or not all(dim.HasField("dim_value") for dim in dims[1:]):
            raise ModelError(
                "the first dimension alone must be dynamic; export with a dynamic batch dimension and describe other "
                "dynamic dimensions with --input",
                f"{path}: input {value.name}",
            )
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name
        found.append(TensorSpec(value.name, dtype, (1, *(dim.dim_value for dim in dims[1:]))))
    return tuple(found)

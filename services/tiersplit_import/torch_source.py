"""Torch modules and exported programs as a source; what is imported here is the only part that needs torch."""

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree

from tiersplit_core.errors import ModelError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import import kept, suppression
from tiersplit_import.exported import OPSET, Exported, Reference
from tiersplit_import.factory import default_inputs, load_module
from tiersplit_import.kept import keep_modules
from tiersplit_import.net import Array, Net, read_net
from tiersplit_import.one_layer import one_layer_paths, unite
from tiersplit_import.options import ImportOptions
from tiersplit_import.probe import random_inputs
from tiersplit_import.program_file import load_program

_EXAMPLE_BATCH = 2


def export_factory(source: str, options: ImportOptions) -> Exported:
    """The graph of what `module:callable` returns.

    Raises:
        ModelError: it cannot be loaded or exported.
    """
    default = () if options.inputs else default_inputs(source)
    module = load_module(source, options)
    inputs = options.inputs or _named_as_arguments(default, module)
    reference, keys = module, _keys(module, inputs, source)
    if not options.optimise:
        keep_modules(module)
    example = _example(inputs)
    dynamic = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    try:
        with _quiet():
            program = torch.export.export(module, example, dynamic_shapes=_nested(module, dynamic), strict=False)
    except Exception as error:
        raise ModelError(_why_not_exported(error), source) from error
    net = _to_net(program, inputs, keys, source)
    unite(net, one_layer_paths(module))
    return Exported(net, _torch_reference(reference, inputs))


def _named_as_arguments(inputs: Sequence[TensorSpec], module: nn.Module) -> tuple[TensorSpec, ...]:
    arguments = inspect.signature(module.forward).parameters
    return tuple(replace(spec, name=name) for spec, name in zip(inputs, arguments, strict=False))


def _nested(module: nn.Module, dynamic: tuple[dict[int, Any], ...]) -> Any:
    """Arguments that a `*args` parameter swallows are described in a tuple of their own."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    variadic = bool(parameters) and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL
    return (dynamic,) if variadic else dynamic


def _why_not_exported(error: Exception) -> str:
    text = str(error).strip()
    first = text.splitlines()[0][:300] if text else type(error).__name__
    if "data-dependent" in text.lower() or "unbacked" in text.lower():
        return f"a shape depends on data, which cannot be exported; end the model before it ({first})"
    if "batch" in text.lower() or "dynamic" in text.lower() or "specializ" in text.lower():
        return f"the batch size is fixed somewhere in the model; take it from x.shape[0] instead ({first})"
    return f"torch.export failed with {type(error).__name__}: {first}"


def export_program(path: Path, options: ImportOptions) -> Exported:
    """The graph of a program that `torch.export` saved.

    Raises:
        ModelError: it is none, or cannot be written as ONNX.
    """
    with _quiet():
        program = load_program(path)
    inputs = options.inputs or _program_inputs(program, path)
    module = program.module()
    keys = _keys(module, inputs, str(path))
    return Exported(_to_net(program, inputs, keys, str(path)), _torch_reference(module, inputs))


def _program_inputs(program: torch.export.ExportedProgram, path: Path) -> tuple[TensorSpec, ...]:
    names = set(program.graph_signature.user_inputs)
    values = [(node.name, node.meta["val"]) for node in program.graph.nodes if node.op == "placeholder"]
    found = []
    for name, value in ((name, value) for name, value in values if name in names):
        if isinstance(value.shape[0], int) or not all(isinstance(size, int) for size in value.shape[1:]):
            raise ModelError(
                "the first dimension alone must be dynamic; export with dynamic_shapes={0: torch.export.Dim.DYNAMIC} "
                "and describe other dynamic dimensions with --input",
                f"{path}: input {name}",
            )
        found.append(TensorSpec(name, str(value.dtype).removeprefix("torch."), (1, *value.shape[1:])))
    return tuple(found)


def _to_net(program: torch.export.ExportedProgram, inputs: Sequence[TensorSpec], keys: list[str], source: str) -> Net:
    try:
        with _quiet():
            onnx_program = torch.onnx.export(
                program,
                _example(inputs),
                dynamo=True,
                opset_version=OPSET,
                optimize=False,
                verbose=False,
                custom_translation_table=kept.TRANSLATIONS | suppression.TRANSLATIONS,
            )
    except Exception as error:
        text = str(error).strip()
        reason = next((line for line in reversed(text.splitlines()) if line.strip()), type(error).__name__)
        raise ModelError(f"cannot be written as ONNX opset {OPSET}: {reason[:300]}", source) from error
    if onnx_program is None:
        raise ModelError(f"cannot be written as ONNX opset {OPSET}", source)
    learnt = set(program.graph_signature.parameters)
    return read_net(onnx_program.model_proto, inputs, keys, learnt)


def _example(inputs: Sequence[TensorSpec], batch: int = _EXAMPLE_BATCH) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(value) for value in random_inputs(inputs, batch).values())


def _keys(module: nn.Module, inputs: Sequence[TensorSpec], source: str) -> list[str]:
    """The caller's names of the outputs: a dictionary's keys, `output`, or `output_0`, `output_1`, …."""
    try:
        with torch.inference_mode():
            result = module(*_example(inputs))
    except Exception as error:
        raise ModelError(
            f"the model fails on an input as described: {type(error).__name__}: {error}", source
        ) from error
    leaves, _ = _pytree.tree_flatten_with_path(result)
    keys = []
    for path, value in leaves:
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"the model returns a {type(value).__name__}; return tensors alone", source)
        keys.append(
            ".".join(str(getattr(part, "key", getattr(part, "idx", getattr(part, "name", "")))) for part in path)
        )
    return [f"output_{key}" if key.replace(".", "").isdigit() else key or "output" for key in keys]


def _torch_reference(module: nn.Module, inputs: Sequence[TensorSpec]) -> Reference:
    def reference(feeds: Mapping[str, Array]) -> list[Array]:
        with torch.inference_mode():
            result = module(*(torch.from_numpy(feeds[spec.name]) for spec in inputs))
        return [value.numpy() for value in _pytree.tree_leaves(result)]

    return reference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter talks a lot; what matters comes back as an error."""
    previous = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(previous)

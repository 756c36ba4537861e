"""From a source to an ONNX graph, with a reference that computes what the source computes."""

from importlib.util import find_spec
from pathlib import Path

from tiersplit_core.errors import ModelError
from tiersplit_import.exported import Exported
from tiersplit_import.onnx_source import export_onnx
from tiersplit_import.options import ImportOptions


def export(source: str, options: ImportOptions) -> Exported:
    """The graph of `source`: `module:callable`, a `.pt2` or an `.onnx` file.

    Raises:
        ModelError: it cannot be loaded or exported; the error says what to write instead.
    """
    suffix = Path(source).suffix
    if suffix in {".onnx", ".pt2"}:
        if options.weights is not None or options.random_weights:
            raise ModelError("--weights and --random-weights are for factories; a file has its weights inside", source)
        if not Path(source).is_file():
            raise ModelError("there is no such file", source)
    return export_onnx(Path(source), options) if suffix == ".onnx" else _export_torch(source, options)


def _export_torch(source: str, options: ImportOptions) -> Exported:
    if find_spec("torch") is None:
        raise ModelError("this installation has no torch; use the image with it, or give an ONNX file", source)
    from tiersplit_import.torch_source import export_factory, export_program  # noqa: PLC0415 - loads torch

    return export_program(Path(source), options) if Path(source).suffix == ".pt2" else export_factory(source, options)

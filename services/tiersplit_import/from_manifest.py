"""What `spec.model` asks for, as a source and options of an import."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tiersplit_api.v1alpha1.model import Model, ModelInput, WeightsFrom
from tiersplit_core.errors import InputError, ManifestError
from tiersplit_core.graph.ir import TensorSpec
from tiersplit_import.calibrate import MAX_SAMPLES
from tiersplit_import.options import ImportOptions, parse_input

SOURCE, INPUTS = "spec.model.source", "spec.model.inputs"
_WEIGHTS, _CALIBRATION = f"{SOURCE}.torch.weightsUri", "spec.model.calibration.uri"
_OPTIONS = {"--input": INPUTS, "--wire-datatype": INPUTS, "--weights": _WEIGHTS, "--calibration": _CALIBRATION}

Fetch = Callable[[str, str, str], Path]
"""Gives the file of a URI, from (URI, name of the file that it becomes, field of the manifest)."""


@dataclass(frozen=True, slots=True)
class Request:
    """An import as `import_model` takes it.

    Attributes:
        source: `module:callable` or a file.
        options: what else was said.
        fields: the field of the manifest for each file that it names.
        uris: the URI of each file that was fetched.
    """

    source: str
    options: ImportOptions
    fields: Mapping[str, str]
    uris: Mapping[str, str]

    def in_manifest(self, error: InputError) -> ManifestError:
        """The error as one of the manifest: its fields and URIs instead of files and options."""
        reason, path = error.reason, error.path
        field = next((self.fields[file] for file in self.fields if path.startswith(file)), _OPTIONS.get(path, SOURCE))
        for file, uri in self.uris.items():
            reason = reason.replace(file, uri)
        return ManifestError(reason, field)


def request_of(name: str, model: Model, fetch: Fetch) -> Request:
    """The import of `model`, its files fetched.

    Args:
        name: the resource's.
        model: `spec.model`; its source is no bundle.
        fetch: brings files here.

    Raises:
        ManifestError: a field is wrong.
        OperationError: a file could not be fetched.
    """
    files = _Files(fetch)
    source = _source(model, files)
    torch = model.source.torch
    given = None if torch is None or torch.weights is not WeightsFrom.URI else torch.weights_uri or ""
    options = ImportOptions(
        name=name,
        inputs=tuple(_input(item) for item in model.inputs),
        wire_uint8=any(item.wire_datatype not in {None, item.datatype} for item in model.inputs),
        weights=None if given is None else Path(files.get(given, f"weights{_suffix(given)}", _WEIGHTS)),
        random_weights=torch is not None and torch.weights is WeightsFrom.RANDOM,
        calibration=_calibration(model, files),
        samples=min(model.calibration.samples, MAX_SAMPLES),
    )
    return Request(source, options, files.fields, files.uris)


class _Files:
    """Fetches, and remembers which field and URI a file is of."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self.fields: dict[str, str] = {}
        self.uris: dict[str, str] = {}

    def get(self, uri: str, name: str, field: str) -> str:
        path = str(self._fetch(uri, name, field))
        self.fields[path], self.uris[path] = field, uri
        return path


def _source(model: Model, files: _Files) -> str:
    source = model.source
    if source.torch is not None:
        return source.torch.factory
    if source.exported_program_uri is not None:
        return files.get(source.exported_program_uri, "model.pt2", f"{SOURCE}.exportedProgramUri")
    return files.get(source.onnx_uri or "", "model.onnx", f"{SOURCE}.onnxUri")


def _calibration(model: Model, files: _Files) -> Path | None:
    uri = model.calibration.uri
    return None if uri is None else Path(files.get(uri, "calibration.npz", _CALIBRATION))


def _suffix(uri: str) -> str:
    return PurePosixPath(urlsplit(uri).path).suffix


def _input(item: ModelInput) -> TensorSpec:
    try:
        return parse_input(f"{item.name}:{item.datatype.value}:{'x'.join(map(str, item.shape))}")
    except InputError as error:
        raise ManifestError(error.reason, INPUTS) from error

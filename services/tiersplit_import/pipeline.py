"""The whole way from a source to a bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, numpy_helper

from tiersplit_bundle import Blob, BundleWriter, media
from tiersplit_bundle.layout import blob_file, canonical_json
from tiersplit_core.errors import ModelError
from tiersplit_core.graph.cuts import cuts_to_json
from tiersplit_core.graph.ir import LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_core.quantization.statistics import Statistics
from tiersplit_import.calibrate import gather, golden_inputs, golden_pair, read_samples, statistics
from tiersplit_import.cutter import Cutter
from tiersplit_import.distortions import wanted_tensors
from tiersplit_import.export import export
from tiersplit_import.exported import Exported, Reference
from tiersplit_import.fold import (
    drop_nothing,
    drop_zero_biases,
    fold_norms,
    normalise_input,
    sequences_to_slices,
    share_transposed,
    split_to_slices,
)
from tiersplit_import.group import Unit, group, layer_graph
from tiersplit_import.net import Array, Net
from tiersplit_import.options import IMAGENET_MEAN, IMAGENET_STD, ImportOptions
from tiersplit_import.probe import open_session, run
from tiersplit_import.proto import whole_model
from tiersplit_import.run_forms import VariantCutter, whole_forms
from tiersplit_import.sensitivity import Whole, measured
from tiersplit_import.static import fold_static
from tiersplit_import.verify import Difference, verify

CONFIG_FORMAT = 1
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import made.

    Attributes:
        path: the bundle.
        digest: of the manifest that was written.
        graph: the layer graph.
        weight_bytes: bytes of all constants, tied ones once.
        difference: between the source and what was imported.
        warnings: what a person should know.
    """

    path: Path
    digest: str
    graph: LayerGraph
    weight_bytes: int
    difference: Difference
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The result of `tiersplit import -o json`."""
        return {
            "bundle": str(self.path),
            "digest": self.digest,
            "name": self.graph.name,
            "layers": len(self.graph.layers),
            "parameters": sum(layer.parameters for layer in self.graph.layers),
            "macs": sum(layer.macs for layer in self.graph.layers),
            "weight_bytes": self.weight_bytes,
            "max_abs_difference": self.difference.absolute,
            "max_relative_difference": self.difference.relative,
            "cuts": cuts_to_json(self.graph),
            "warnings": list(self.warnings),
        }


@dataclass
class Canonical:
    """A model in the form in which it is cut: the graph, its layers, and what it must compute."""

    net: Net
    units: list[Unit]
    graph: LayerGraph
    reference: Reference


def canonicalise(exported: Exported, options: ImportOptions, name: str) -> Canonical:
    """Fold, join and name; see `ImportOptions` for what may be asked for.

    Raises:
        ModelError: the model cannot be divided; the error names the value or node.
    """
    net, reference = exported.net, exported.reference
    sequences_to_slices(net)
    fold_static(net)
    share_transposed(net)
    drop_zero_biases(net)
    split_to_slices(net)
    if options.wire_uint8:
        reference = _from_bytes(net, reference, options)
    if options.optimise:
        drop_nothing(net)
        fold_norms(net)
    units = group(net, fuse=options.optimise)
    return Canonical(net, units, layer_graph(net, units, name), reference)


def _from_bytes(net: Net, reference: Reference, options: ImportOptions) -> Reference:
    """Put normalisation into the graph; the reference gets what normalisation makes of the bytes."""
    if len(net.inputs) != 1 or len(net.inputs[0].shape) != 4 or net.inputs[0].dtype != "float32":
        raise ModelError("bytes can stand for one FP32 image of shape -1xCxHxW alone", "--wire-datatype")
    channels, name = net.inputs[0].shape[1], net.input_names[0]
    mean, std = _of_channels(options.mean, 0.0, channels, "--mean"), _of_channels(options.std, 1.0, channels, "--std")
    if min(std) <= 0:
        raise ModelError("write numbers above 0", "--std")
    normalise_input(net, mean, std)
    shape = (1, channels, 1, 1)
    scale, shift = np.asarray(std).reshape(shape), np.asarray(mean).reshape(shape)

    def from_bytes(feeds: Mapping[str, Array]) -> list[Array]:
        return reference({name: ((feeds[name] / 255.0 - shift) / scale).astype(np.float32)})

    return from_bytes


def _of_channels(given: Sequence[float] | None, default: float, channels: int, option: str) -> list[float]:
    if given is None:
        return [default] * channels
    if len(given) not in {1, channels}:
        raise ModelError(f"the image has {channels} channels, got {len(given)} numbers", option)
    return list(given) * (channels if len(given) == 1 else 1)


def import_model(source: str, path: str | Path, options: ImportOptions, report: Report = lambda _: None) -> Imported:
    """Import `source` into a bundle at `path`; nothing is left there where it fails.

    Args:
        source: `module:callable`, a `.pt2` or an `.onnx` file.
        path: the bundle's directory; one that holds this import already stays as it is.
        options: see there.
        report: is told what happens.

    Raises:
        ModelError: the model cannot be imported; the error says what to write instead.
        BundleError: `path` is something else than a bundle.
    """
    options = _with_defaults(source, options)
    name = options.name or default_name(source)
    with BundleWriter(path) as writer:
        report("exporting")
        exported = export(source, options)
        report("folding")
        model = canonicalise(exported, options, name)
        proto, target = _write_model(writer, model)
        report("checking against the original")
        session = open_session(target)
        difference = _verify(session, model, options.seed)
        report("calibrating")
        _write_data(writer, session, proto, model, options, report)
        writer.configure(_config(source, name, model.graph, options))
    return Imported(Path(path), writer.digest, model.graph, _weight_bytes(proto), difference, _warnings(options))


def default_name(source: str) -> str:
    """What a model is called where nobody says: its callable or its file."""
    text = Path(source).stem if Path(source).suffix in {".onnx", ".pt2"} else source.rpartition(":")[2]
    return text.rpartition(".")[2] or "model"


def _with_defaults(source: str, options: ImportOptions) -> ImportOptions:
    if not options.wire_uint8 and (options.mean or options.std):
        raise ModelError("--mean and --std describe what --wire-datatype UINT8 puts into the model", "--mean")
    if options.wire_uint8 and options.mean is None and options.std is None and source.startswith("torchvision."):
        return replace(options, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return options


def _write_model(writer: BundleWriter, model: Canonical) -> tuple[ModelProto, str]:
    def place(data: bytes) -> str:
        return writer.add(Blob(media.WEIGHTS, data)).removeprefix("sha256:")

    writer.add(Blob(media.GRAPH, canonical_json(graph_to_json(model.graph))))
    layers = [(unit.name, unit.nodes) for unit in model.units]
    proto = whole_model(model.net, layers, model.graph.name, place)
    digest = writer.add(Blob(media.MODEL, proto.SerializeToString(deterministic=True)))
    return proto, str(blob_file(writer.work, digest))


def _verify(session: ort.InferenceSession, model: Canonical, seed: int) -> Difference:
    tensors = [tensor for _, tensor in model.graph.output_names]
    keys = [key for key, _ in model.graph.output_names]
    return verify(model.reference, lambda feeds: run(session, tensors, feeds), model.graph.inputs, keys, seed)


def _write_data(
    writer: BundleWriter,
    session: ort.InferenceSession,
    proto: ModelProto,
    model: Canonical,
    options: ImportOptions,
    report: Report,
) -> None:
    graph = model.graph
    samples = None if options.calibration is None else read_samples(options.calibration, graph.inputs, options.samples)
    inputs = golden_inputs(graph, samples, options.seed)
    outputs = run(session, [tensor for _, tensor in graph.output_names], inputs)
    answers = dict(zip((key for key, _ in graph.output_names), outputs, strict=True))
    writer.add(Blob(media.GOLDEN, golden_pair(inputs, answers)))
    constants, wanted = model.net.constants, wanted_tensors(proto, graph)
    seen = gather(proto, constants, wanted, samples or inputs, report)
    writer.add(Blob(media.STATISTICS, canonical_json(statistics(graph, seen))))
    if samples is not None:
        whole = Whole(proto, constants, graph, samples)
        _write_quantised(writer, whole, measured(whole, seen, options.clip, options.distortion, report), report)


def _write_quantised(writer: BundleWriter, whole: Whole, found: Statistics, report: Report) -> None:
    """What quantising costs, and the whole model in each quantised form."""
    writer.add(Blob(media.QUANTIZATION, canonical_json(statistics_to_json(found))))
    report("quantising the whole model")
    for blob in whole_forms(VariantCutter(Cutter(whole.model, whole.graph), found, writer.blobs), whole.graph):
        writer.add(blob)


def _config(source: str, name: str, graph: LayerGraph, options: ImportOptions) -> dict[str, Any]:
    is_file = Path(source).suffix in {".onnx", ".pt2"}
    return {
        "format": CONFIG_FORMAT,
        "name": name,
        "source": Path(source).name if is_file else source,
        "random_weights": options.random_weights,
        "optimised": options.optimise,
        "inputs": [_input_json(spec) for spec in graph.inputs],
        "version": version("tiersplit"),
    }


def _input_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "dtype": spec.dtype, "shape": [-1, *spec.shape[1:]]}


def _weight_bytes(model: ModelProto) -> int:
    """Bytes of the model's constants; those that are one blob count once."""
    blobs, inside = {}, 0
    for tensor in model.graph.initializer:
        about = {entry.key: entry.value for entry in tensor.external_data}
        if about:
            blobs[about["location"]] = int(about["length"])
        else:
            inside += numpy_helper.to_array(tensor).nbytes
    return inside + sum(blobs.values())


def _warnings(options: ImportOptions) -> tuple[str, ...]:
    if not options.random_weights:
        return ()
    return ("random weights: the model computes nothing meaningful; give --weights for a trained one",)


__all__ = ["Canonical", "Imported", "canonicalise", "default_name", "import_model"]

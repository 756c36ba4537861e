"""What the bad-input table is made of: cases, and valid things to break."""

import copy
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.support.problem_documents import TWO_LAYERS as PROBLEM
from tests.support.wrong_manifests import GOOD as MANIFEST
from tiersplit_bundle import Blob, BundleWriter, media
from tiersplit_cli.main import exit_code, main
from tiersplit_core.errors import TiersplitError
from tiersplit_core.graph.ir import Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json
from tiersplit_wire.convert import array_to_proto
from tiersplit_wire.v1 import activation_pb2 as wire
from tiersplit_wire.v1 import inference_pb2 as inference
from tiersplit_wire.v1 import route_pb2 as route

REMOVE = object()
"""As a new value: the field is taken away."""

MODEL = route.Model(
    name="reader",
    version="1",
    inputs=[route.ModelTensor(name="input", tensor="input", datatype="FP32", shape=[-1, 4])],
    outputs=[route.ModelTensor(name="output", tensor="fc", datatype="FP32", shape=[-1, 2])],
    max_batch=8,
)


@dataclass(frozen=True)
class Outcome:
    """How the program took something: its exit code, what it said, and what it printed as a result."""

    code: int
    said: str
    printed: str = ""


@dataclass(frozen=True)
class Case:
    """One bad input.

    Attributes:
        label: what is wrong.
        give: hands the bad input over, in an empty directory.
        says: the field or path that the error names.
    """

    label: str
    give: Callable[[Path, Any], Outcome]
    says: str


def command(capture: Any, *arguments: str) -> Outcome:
    """Run the command line in this process."""
    before = sys.argv
    sys.argv = ["tiersplit", *arguments]
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1 if stop.code else 0
    finally:
        sys.argv = before
    output = capture.readouterr()
    return Outcome(code, " ".join(output.err.split()), output.out)


def call(function: Callable[[], object]) -> Outcome:
    """Call something that refuses bad input with one of the project's errors."""
    try:
        return Outcome(0, "", repr(function()))
    except TiersplitError as error:
        return Outcome(exit_code(error), str(error))


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """A copy of `value` with another value at `path`, such as `graph.layers.0.name`."""
    found = copy.deepcopy(value)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    at: Any = found
    for part in way:
        at = at[part]
    if new is REMOVE:
        del at[last]
    else:
        at[last] = new
    return found


def problem_text(text: str) -> Callable[[Path, Any], Outcome]:
    """`tiersplit plan` with a problem file of this text."""

    def give(folder: Path, capture: Any) -> Outcome:
        (folder / "problem.json").write_text(text)
        return command(capture, "plan", "--problem", str(folder / "problem.json"), "-o", "json")

    return give


def problem(path: str, new: Any) -> Callable[[Path, Any], Outcome]:
    """`tiersplit plan` with one field changed."""
    return problem_text(json.dumps(changed(PROBLEM, path, new)))


def manifest_text(text: str) -> Callable[[Path, Any], Outcome]:
    """`tiersplit run` with a manifest of this text."""

    def give(folder: Path, capture: Any) -> Outcome:
        (folder / "split.yaml").write_text(text)
        return command(capture, "run", "-f", str(folder / "split.yaml"))

    return give


def manifest(path: str, new: Any) -> Callable[[Path, Any], Outcome]:
    """`tiersplit run` with one field changed."""
    return manifest_text(yaml.safe_dump(changed(MANIFEST, path, new)))


def write_bundle(folder: Path) -> Path:
    """A small bundle: a graph of one layer, a model blob, one parameter."""
    spec = TensorSpec("fc", "float32", (2,))
    graph = LayerGraph(
        "reader", (TensorSpec("input", "float32", (4,)),), (Layer("fc", "Gemm", ("input",), (spec,)),), ("fc",)
    )
    with BundleWriter(folder / "reader.bundle") as writer:
        writer.configure({"format": 1, "name": "reader"})
        writer.add(Blob(media.GRAPH, json.dumps(graph_to_json(graph)).encode()))
        writer.add(Blob(media.MODEL, b"a model"))
        writer.add(Blob(media.WEIGHTS, bytes(range(64))))
    return folder / "reader.bundle"


def bundle(damage: Callable[[Path], object]) -> Callable[[Path, Any], Outcome]:
    """`tiersplit profile` with a bundle that was damaged."""

    def give(folder: Path, capture: Any) -> Outcome:
        path = write_bundle(folder)
        damage(path)
        return command(capture, "profile", "--bundle", str(path), "--batches", "1")

    return give


def blob_of(path: Path, media_type: str) -> Path:
    """The blob file of a media type in a bundle."""
    index = json.loads((path / "index.json").read_text())
    found = json.loads(blob(path, index["manifests"][0]["digest"]).read_text())
    return blob(path, next(entry["digest"] for entry in found["layers"] if entry["mediaType"] == media_type))


def blob(path: Path, digest: str) -> Path:
    """A blob's file."""
    return path / "blobs" / "sha256" / digest.removeprefix("sha256:")


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def activations(**changes: Any) -> wire.ActivationSet:
    """A good activation set, with fields changed."""
    found = wire.ActivationSet(request_id=bytes(16), plan="sha256:" + "0" * 64, rows=1)
    found.tensors.append(array_to_proto("conv1", np.ones((1, 4), np.float32)))
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def tensor(**changes: Any) -> wire.Tensor:
    """A good tensor of two rows, quantised to 8 bits, with fields changed."""
    found = array_to_proto("conv1", np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4), bits=8)
    for name, value in changes.items():
        if name == "shape":
            del found.shape[:]
            found.shape.extend(value)
        else:
            setattr(found, name, value)
    return found


def request(**changes: Any) -> inference.ModelInferRequest:
    """A good inference request of one row, with fields of its only input changed; `raw` are its bytes."""
    raw = changes.pop("raw", np.ones((1, 4), np.float32).tobytes())
    given = {"name": "input", "datatype": "FP32", "shape": [1, 4]} | changes
    found = inference.ModelInferRequest(model_name="reader", inputs=[given])
    if raw is not None:
        found.raw_input_contents.append(raw)
    return found


NAN = math.nan

"""Whatever is wrong with what is handed over: one clear error that names the place, and nothing half-written."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import bad_input as bad
from tests.support.bad_input import (
    NAN,
    REMOVE,
    Case,
    Outcome,
    bundle,
    call,
    manifest,
    manifest_text,
    problem,
    problem_text,
)
from tiersplit_bundle import Bundle, media
from tiersplit_stage.inference import read_inputs, wanted_outputs
from tiersplit_wire.convert import check_activations, parse_upstream, proto_to_array
from tiersplit_wire.v1 import activation_pb2 as wire
from tiersplit_wire.v1 import inference_pb2 as inference

EXIT_BAD_INPUT = 2
SLOWDOWN = "tiersplit.dev/local-slowdown"


def frame(function: Callable[[], object]) -> Callable[[Path, Any], Outcome]:
    return lambda folder, capture: call(function)


PROBLEMS = (
    Case("no JSON", problem_text("{"), "line 1"),
    Case("no object", problem_text("[]"), "object"),
    Case("nested without end", problem_text("[" * 100_000), "error"),
    Case("a number that JSON does not have", problem("links.0.bandwidth_bps", NAN), "NaN"),
    Case("no graph", problem("graph", REMOVE), "graph"),
    Case("an unknown field", problem("tires", []), "tires"),
    Case("no layers", problem("graph.layers", []), "graph.layers"),
    Case("a layer without a name", problem("graph.layers.0.name", REMOVE), "graph.layers[0].name"),
    Case("two layers of one name", problem("graph.layers.1.name", "a"), "graph.layers[1].name"),
    Case("a layer that is called input", problem("graph.layers.0.name", "input"), "graph.layers[0].name"),
    Case("a layer that reads nothing", problem("graph.layers.1.inputs", []), "graph.layers[1].inputs"),
    Case("a layer that reads a later one", problem("graph.layers.0.inputs", ["b"]), "graph.layers[0].inputs[0]"),
    Case("negative bytes", problem("graph.layers.0.output_bytes", -1), "graph.layers[0].output_bytes"),
    Case("bytes that are no number", problem("graph.layers.0.weight_bytes", "8"), "graph.layers[0].weight_bytes"),
    Case("bytes beyond all memory", problem("graph.input_bytes", 10**30), "graph.input_bytes"),
    Case("a tier without seconds", problem("graph.layers.1.seconds.c", REMOVE), "graph.layers[1].seconds"),
    Case("negative seconds", problem("graph.layers.1.seconds.c", -0.5), "graph.layers[1].seconds.c"),
    Case("an output that is no layer", problem("graph.outputs", ["z"]), "graph.outputs[0]"),
    Case("one tier", problem("tiers", [{"name": "e"}]), "tiers"),
    Case("two tiers of one name", problem("tiers.1.name", "e"), "tiers[1].name"),
    Case("memory that is no whole number", problem("tiers.0.memory_bytes", 1.5), "tiers[0].memory_bytes"),
    Case("a missing link", problem("links", []), "links"),
    Case(
        "a link backwards", problem("links.0", {"from": "c", "to": "e", "bandwidth_bps": 1, "latency_s": 0}), "links[0]"
    ),
    Case("no bandwidth", problem("links.0.bandwidth_bps", 0), "links[0].bandwidth_bps"),
    Case("a latency below zero", problem("links.0.latency_s", -1), "links[0].latency_s"),
    Case("an unknown objective", problem("objective", "joy"), "objective"),
    Case("a result tier that is not the first", problem("result_tier", "c"), "result_tier"),
    Case("an input tier that is not the first", problem("raw_input_tier", "c"), "raw_input_tier"),
    Case("a batch of nothing", problem("batch", 0), "batch"),
)
MANIFESTS = (
    Case("no YAML", manifest_text("spec: ["), "split.yaml"),
    Case("no mapping", manifest_text("- a"), "split.yaml"),
    Case("an alias", manifest_text("a: &x 1\nb: *x\n"), "split.yaml"),
    Case("a key twice", manifest_text("kind: A\nkind: B\n"), "kind"),
    Case("another kind", manifest("kind", "Deployment"), "kind"),
    Case("another version", manifest("apiVersion", "tiersplit.dev/v9"), "apiVersion"),
    Case("a name that is none", manifest("metadata.name", "Reader!"), "metadata.name"),
    Case("no model", manifest("spec.model", REMOVE), "spec.model"),
    Case("no source", manifest("spec.model.source", {}), "spec.model.source"),
    Case("a factory that is none", manifest("spec.model.source.torch.factory", "x"), "spec.model.source.torch.factory"),
    Case("an unknown datatype", manifest("spec.model.inputs.0.datatype", "FP8"), "spec.model.inputs[0].datatype"),
    Case("a size of zero", manifest("spec.model.inputs.0.shape", [-1, 0]), "spec.model.inputs[0].shape[1]"),
    Case("no tiers", manifest("spec.tiers", []), "spec.tiers"),
    Case("two tiers of one name", manifest("spec.tiers.1.name", "edge"), "spec.tiers[1].name"),
    Case("memory that is no quantity", manifest("spec.tiers.0.memory", "much"), "spec.tiers[0].memory"),
    Case("an unknown field", manifest("spec.tiers.0.memroy", "64Mi"), "spec.tiers[0].memroy"),
    Case("a link to nowhere", manifest("spec.links.0.to", "moon"), "spec.links[0]"),
    Case("a bandwidth with a unit", manifest("spec.links.0.bandwidth", "10 Mbps"), "spec.links[0].bandwidth"),
    Case("a percentage without its sign", manifest("spec.accuracy", {"maxDrop": "1"}), "spec.accuracy.maxDrop"),
    Case(
        "a float", manifest("spec.adaptation", {"cooldownPeriodSeconds": 0.5}), "spec.adaptation.cooldownPeriodSeconds"
    ),
    Case("a slow-down that is none", manifest("metadata.annotations", {SLOWDOWN: "edge=fast"}), SLOWDOWN),
    Case("an objective that is not planned", manifest("spec.objective", {"minimize": "EdgeMemory"}), "spec.objective"),
    Case("no such file", lambda folder, capture: bad.command(capture, "run", "-f", str(folder / "no.yaml")), "no.yaml"),
)
BUNDLES = (
    Case("no bundle", lambda folder, capture: bad.command(capture, "profile", "--bundle", str(folder / "x")), "x"),
    Case("no layout file", bundle(lambda path: (path / "oci-layout").unlink()), "oci-layout"),
    Case("an index that is no JSON", bundle(lambda path: (path / "index.json").write_text("{")), "index.json"),
    Case("an empty index", bundle(lambda path: (path / "index.json").write_text('{"manifests": []}')), "index.json"),
    Case("a flipped byte", bundle(lambda path: bad.flip(bad.blob_of(path, media.MODEL))), "sha256:"),
    Case("a flipped byte in a parameter", bundle(lambda path: bad.flip(bad.blob_of(path, media.WEIGHTS))), "sha256:"),
    Case("a missing blob", bundle(lambda path: bad.blob_of(path, media.GRAPH).unlink()), "sha256:"),
    Case("a cut blob", bundle(lambda path: bad.blob_of(path, media.MODEL).write_bytes(b"a")), "sha256:"),
)
FRAMES = (
    Case("no message", frame(lambda: parse_upstream(b"\xff" * 40)), "UpstreamFrame"),
    Case("an empty frame", frame(lambda: parse_upstream(b"")), "frame.kind"),
    Case(
        "a short request id",
        frame(lambda: parse_upstream(wire.UpstreamFrame(probe=wire.Probe(request_id=b"1")).SerializeToString())),
        "probe.request_id",
    ),
    Case("no rows", frame(lambda: check_activations(bad.activations(rows=0))), "activations.rows"),
    Case("a payload that is too short", frame(lambda: proto_to_array(bad.tensor(payload=b"12"))), "conv1.payload"),
    Case("a shape beyond all memory", frame(lambda: proto_to_array(bad.tensor(shape=[2**40, 4]))), "conv1.shape"),
    Case("an unknown dtype", frame(lambda: proto_to_array(bad.tensor(dtype="object"))), "tensor.dtype"),
    Case("a width that there is not", frame(lambda: proto_to_array(bad.tensor(bits=7))), "conv1.bits"),
    Case("a scale that is no number", frame(lambda: proto_to_array(bad.tensor(scale=NAN))), "conv1.scale"),
    Case("a zero point outside", frame(lambda: proto_to_array(bad.tensor(zero_point=256))), "conv1.zero_point"),
    Case(
        "bytes that are not zstd",
        frame(lambda: proto_to_array(bad.tensor(encoding=wire.ENCODING_ZSTD))),
        "conv1.payload",
    ),
)
REQUESTS = (
    Case("another input", frame(lambda: read_inputs(bad.request(name="x"), bad.MODEL)), "inputs"),
    Case("no input", frame(lambda: read_inputs(inference.ModelInferRequest(), bad.MODEL)), "inputs"),
    Case("another datatype", frame(lambda: read_inputs(bad.request(datatype="INT8"), bad.MODEL)), "inputs[0].datatype"),
    Case("another shape", frame(lambda: read_inputs(bad.request(shape=[1, 5]), bad.MODEL)), "inputs[0].shape"),
    Case("a negative size", frame(lambda: read_inputs(bad.request(shape=[-1, 4]), bad.MODEL)), "inputs[0].shape"),
    Case(
        "a batch that is too large", frame(lambda: read_inputs(bad.request(shape=[9, 4]), bad.MODEL)), "inputs[0].shape"
    ),
    Case("too few bytes", frame(lambda: read_inputs(bad.request(raw=b"123"), bad.MODEL)), "inputs[0]"),
    Case("no contents", frame(lambda: read_inputs(bad.request(raw=None), bad.MODEL)), "inputs[0]"),
    Case(
        "an unknown output",
        frame(lambda: wanted_outputs(inference.ModelInferRequest(outputs=[{"name": "x"}]), bad.MODEL)),
        "outputs[0].name",
    ),
)
TABLE = [
    pytest.param(case, id=f"{kind}-{case.label.replace(' ', '-')}")
    for kind, cases in (
        ("problem", PROBLEMS),
        ("manifest", MANIFESTS),
        ("bundle", BUNDLES),
        ("frame", FRAMES),
        ("request", REQUESTS),
    )
    for case in cases
]


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_refused_by_name_and_leaves_nothing(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "elsewhere"
    given = tmp_path / "given"
    elsewhere.mkdir()
    given.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("COLUMNS", "1000")
    outcome = case.give(given, capsys)
    assert outcome.code == EXIT_BAD_INPUT, outcome
    assert case.says in outcome.said
    assert "Traceback" not in outcome.said
    assert not outcome.printed
    assert not contents(elsewhere)
    assert not [name for name in contents(given) if name.endswith((".tmp", ".new", ".part"))]


def test_the_table_is_as_long_as_it_should_be() -> None:
    assert len(TABLE) >= 40
    assert min(map(len, (PROBLEMS, MANIFESTS, BUNDLES, FRAMES, REQUESTS))) >= 8


def test_what_the_cases_break_is_good_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert problem_text(json.dumps(bad.PROBLEM))(tmp_path, capsys).code == 0
    opened = Bundle.open(bad.write_bundle(tmp_path))
    assert opened.model_path.read_bytes() == b"a model"
    assert opened.graph.outputs == ("fc",)
    assert parse_upstream(wire.UpstreamFrame(activations=bad.activations()).SerializeToString())
    check_activations(bad.activations())
    assert proto_to_array(bad.tensor()).shape == (2, 4)
    assert read_inputs(bad.request(), bad.MODEL)[1] == 1

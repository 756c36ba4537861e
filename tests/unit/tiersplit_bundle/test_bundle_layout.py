import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from tiersplit_bundle import Blob, Bundle, BundleWriter, extend, media
from tiersplit_core.errors import BundleError
from tiersplit_core.graph.ir import INPUT, Layer, LayerGraph, TensorSpec
from tiersplit_core.graph.serialization import graph_to_json

SPEC = TensorSpec("conv", "float32", (1, 2))
GRAPH = LayerGraph(
    "m", (TensorSpec("input", "float32", (1, 2)),), (Layer("conv", "Conv", (INPUT,), (SPEC,)),), ("conv",)
)
ABOUT = {"layers": ["conv"], "inputs": ["input"], "outputs": ["conv"], "weights": []}


def write(path: Path, weights: bytes = b"w" * 64) -> str:
    with BundleWriter(path) as writer:
        writer.configure({"format": 1, "name": "m"})
        writer.add(Blob(media.GRAPH, json.dumps(graph_to_json(GRAPH)).encode()))
        writer.add(Blob(media.MODEL, b"model"))
        writer.add(Blob(media.WEIGHTS, weights))
        golden = {"input/input": np.ones((1, 2), np.float32), "output/out": np.zeros(3, np.float32)}
        writer.add(Blob(media.GOLDEN, save(golden)))
    return writer.digest


def blob(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def rewrite(root: Path, change: Any) -> None:
    """Change the manifest and make every digest fit, as an attacker would."""
    index = json.loads((root / "index.json").read_text())
    manifest = json.loads(blob(root, index["manifests"][0]["digest"]).read_bytes())
    change(manifest, index)
    data = json.dumps(manifest).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blob(root, digest).write_bytes(data)
    index["manifests"][0].update(digest=digest, size=len(data))
    (root / "index.json").write_text(json.dumps(index))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "b")
    return tmp_path / "b"


def test_what_was_written_is_read(root: Path) -> None:
    bundle = Bundle.open(root)
    assert (bundle.name, bundle.graph) == ("m", GRAPH)
    assert bundle.model_path.read_bytes() == b"model"
    inputs, outputs = bundle.golden()
    assert inputs["input"].tolist() == [[1, 1]] and outputs["out"].shape == (3,)
    assert bundle.base == bundle.digest and bundle.segments == ()


@pytest.mark.parametrize("media_type", [media.GRAPH, media.MODEL, media.WEIGHTS, media.GOLDEN])
def test_a_flipped_byte_is_refused_by_name(root: Path, media_type: str) -> None:
    (entry,) = [entry for entry in Bundle.open(root).layers if entry.media_type == media_type]
    data = bytearray(blob(root, entry.digest).read_bytes())
    data[len(data) // 2] ^= 1
    blob(root, entry.digest).write_bytes(data)
    bundle = Bundle.open(root)
    for use in (bundle.read, bundle.blob_path):
        with pytest.raises(BundleError) as caught:
            use(entry.digest)
        assert caught.value.path == entry.digest
    with pytest.raises(BundleError, match=entry.digest):
        _ = (bundle.graph, bundle.model_path, bundle.golden())


def test_every_blob_that_is_missing_or_cut_short_is_refused_when_it_is_opened(root: Path) -> None:
    for path in (root / "blobs" / "sha256").iterdir():
        data = path.read_bytes()
        for damage in (path.unlink, lambda path=path, data=data: path.write_bytes(data[:-1])):
            damage()
            with pytest.raises(BundleError) as caught:
                Bundle.open(root)
            assert path.name in caught.value.path
            path.write_bytes(data)
    Bundle.open(root)


def _layer(manifest: dict[str, Any], **changes: object) -> None:
    manifest["layers"][0].update(changes)


HOSTILE = {
    "a foreign layer": lambda m, i: _layer(m, mediaType="application/x-pickle"),
    "a foreign artifact": lambda m, i: m.update(artifactType="application/vnd.other"),
    "a foreign configuration": lambda m, i: m["config"].update(mediaType="application/json"),
    "a foreign manifest": lambda m, i: i["manifests"][0].update(mediaType="text/plain"),
    "two manifests": lambda m, i: i["manifests"].append(i["manifests"][0]),
    "a path as digest": lambda m, i: _layer(m, digest="sha256:../../../../etc/passwd"),
    "a digest with an end of line": lambda m, i: _layer(m, digest="sha256:" + "0" * 64 + "\n"),
    "another algorithm": lambda m, i: _layer(m, digest="md5:" + "0" * 64),
    "a size that is a lie": lambda m, i: _layer(m, size=3),
    "a size beyond everything": lambda m, i: _layer(m, size=2**70),
    "a size that is no number": lambda m, i: _layer(m, size="3"),
    "no layers": lambda m, i: m.pop("layers"),
    "layers that are none": lambda m, i: m.update(layers=[3]),
    "annotations that are none": lambda m, i: _layer(m, annotations={"a": 1}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused(root: Path, change: Any) -> None:
    rewrite(root, change)
    with pytest.raises(BundleError):
        Bundle.open(root)


def test_a_blob_that_leads_elsewhere_is_not_followed_out_of_its_digest(root: Path, tmp_path: Path) -> None:
    (entry,) = [entry for entry in Bundle.open(root).layers if entry.media_type == media.WEIGHTS]
    (tmp_path / "secret").write_bytes(b"s" * 64)
    blob(root, entry.digest).unlink()
    blob(root, entry.digest).symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match=entry.digest):
        Bundle.open(root).read(entry.digest)


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"imageLayoutVersion": "9"}'])
def test_a_broken_document_is_refused_by_name(root: Path, name: str, data: bytes) -> None:
    (root / name).write_bytes(data)
    with pytest.raises(BundleError, match=name):
        Bundle.open(root)


def test_a_document_beyond_its_limit_is_not_read(root: Path) -> None:
    with (root / "index.json").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(BundleError, match="larger than"):
        Bundle.open(root)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BundleError):
            Bundle.open(path)


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), BundleWriter(tmp_path / "b") as writer:
        writer.add(Blob(media.MODEL, b"half"))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_fails_leaves_the_old_bundle(root: Path) -> None:
    before = Bundle.open(root).digest
    with pytest.raises(RuntimeError), BundleWriter(root) as writer:
        raise RuntimeError(writer)
    assert Bundle.open(root).digest == before
    assert sorted(path.name for path in root.parent.iterdir()) == ["b"]


def test_the_same_content_is_the_same_digest(root: Path, tmp_path: Path) -> None:
    assert write(tmp_path / "again") == write(root) == Bundle.open(root).digest
    assert write(tmp_path / "other", b"x" * 64) != Bundle.open(root).digest


def segment(name: str, data: bytes) -> Blob:
    return Blob(media.SEGMENT, data, {media.SEGMENT_ID: name, media.SEGMENT_ABOUT: json.dumps(ABOUT)})


def test_an_old_reader_reads_on_while_a_bundle_grows(root: Path) -> None:
    old = Bundle.open(root)
    new = extend(old, [segment("head", b"onnx")])
    assert (old.segments, old.graph) == ((), GRAPH)
    (found,) = new.segments
    assert (found.id, found.layers, found.inputs, found.outputs) == ("head", ("conv",), ("input",), ("conv",))
    assert new.segment_path(found).read_bytes() == b"onnx"
    assert new.base == old.digest != new.digest
    assert extend(new, [segment("head", b"onnx")]).digest == new.digest


def test_a_replaced_document_is_the_one_that_is_read(root: Path) -> None:
    bundle = extend(Bundle.open(root), [Blob(media.SURFACE, b'{"a":1}')])
    assert bundle.read_json(media.SURFACE) == {"a": 1}
    newer = extend(bundle, [Blob(media.SURFACE, b'{"a":2}')], replace=True)
    assert newer.read_json(media.SURFACE) == {"a": 2}
    assert len([entry for entry in newer.layers if entry.media_type == media.SURFACE]) == 1
    with pytest.raises(BundleError, match="has no"):
        Bundle.open(root).read_json(media.PROFILE)


def test_writing_again_heals_a_damaged_blob(root: Path) -> None:
    bundle = Bundle.open(root)
    (entry,) = [entry for entry in bundle.layers if entry.media_type == media.WEIGHTS]
    blob(root, entry.digest).write_bytes(b"x" * 64)
    extend(bundle, [Blob(media.WEIGHTS, b"w" * 64)])
    assert Bundle.open(root).read(entry.digest) == b"w" * 64


def test_a_blob_that_the_manifest_does_not_list_is_not_read(root: Path) -> None:
    with pytest.raises(BundleError, match="does not list"):
        Bundle.open(root).read("sha256:" + "0" * 64)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_change_of_a_byte_anywhere_goes_unnoticed(root: Path, data: st.DataObject) -> None:
    files = sorted((root / "blobs" / "sha256").iterdir())
    path = data.draw(st.sampled_from(files))
    original = path.read_bytes()
    damaged = bytearray(original)
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        with pytest.raises(BundleError, match=path.name):
            bundle = Bundle.open(root)
            _ = bundle.name
            for entry in bundle.layers:
                bundle.blob_path(entry.digest)
    finally:
        path.write_bytes(original)


def test_reading_a_bundle_needs_neither_torch_nor_onnx(root: Path) -> None:
    code = (
        "import sys; from tiersplit_bundle import Bundle; b = Bundle.open(sys.argv[1]); b.golden(); b.graph;"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'grpc'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"

"""`--push` of `tiersplit import` and `tiersplit profile`, against a real registry."""

import json
import subprocess
import sys

import pytest

from tests.support.oci_registry import oci_registry
from tests.support.onnx_files import onnx_model
from tests.support.patience import START_S
from tiersplit_bundle import Bundle, media
from tiersplit_bundle.access import RegistryAccess
from tiersplit_bundle.reference import Reference
from tiersplit_bundle.registry import Registry
from tiersplit_core.profile.json import profile_from_json


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


def tiersplit(cwd, *arguments):
    command = [sys.executable, "-m", "tiersplit_cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=START_S)


def import_onnx(directory, running, repository, seed=0):
    (directory / "m.onnx").write_bytes(onnx_model(seed))
    push = ["--push", f"oci://{running.host}/{repository}", "--registry-plain-http"]
    return tiersplit(directory, "import", "m.onnx", "-b", f"{repository}.bundle", "-o", "json", *push)


def test_an_import_and_its_profiles_are_pushed_and_found_under_one_tag(running, tmp_path):
    done = import_onnx(tmp_path, running, "plates")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["pushed"] == f"oci://{running.host}/plates@{told['digest']}"
    measured = ["profile", "-b", "plates.bundle", "--batches", "1", "--budget-s", "0.02", "-o", "json"]
    for tier in ("edge", "cloud"):
        there = ["--push", f"oci://{running.host}/plates:latest", "--registry-plain-http"]
        done = tiersplit(tmp_path, *measured, "--tier", tier, *there)
        assert done.returncode == 0, done.stderr
    with Registry(Reference(running.host, "plates", "latest"), RegistryAccess(plain_http=True)) as registry:
        bundle = registry.pull_bundle(tmp_path / "pulled")
    assert bundle.base == Bundle.open(tmp_path / "plates.bundle").digest
    profiles = [entry for entry in bundle.layers if entry.media_type == media.PROFILE]
    tiers = [profile_from_json(json.loads(bundle.read(entry.digest)), bundle.graph).tier for entry in profiles]
    assert tiers == ["edge", "cloud"] == [entry.annotations[media.TIER] for entry in profiles]


def test_a_profile_is_not_pushed_to_another_models_bundle(running, tmp_path):
    assert import_onnx(tmp_path, running, "first").returncode == 0
    with Registry(Reference(running.host, "first", "latest"), RegistryAccess(plain_http=True)) as registry:
        before = registry.manifest()
        graph = b"{}"
        digest = registry.push_blob(graph)
        value = json.loads(before.data)
        for layer in value["layers"]:
            if layer["mediaType"] == media.GRAPH:
                layer.update(digest=digest, size=len(graph))
        registry.push_manifest(json.dumps(value).encode(), "other")
    push = ["--push", f"oci://{running.host}/first:other", "--registry-plain-http"]
    done = tiersplit(tmp_path, "profile", "-b", "first.bundle", "--batches", "1", "--budget-s", "0.02", *push)
    assert done.returncode == 2
    assert "another model's bundle lies there" in done.stderr


@pytest.mark.parametrize("where", ["registry/plates", "oci://h/plates@sha256:" + "0" * 64, "oci://user:pw@h/plates"])
def test_a_wrong_target_is_refused_before_anything_is_made(tmp_path, where):
    (tmp_path / "m.onnx").write_bytes(onnx_model())
    done = tiersplit(tmp_path, "import", "m.onnx", "--push", where)
    assert done.returncode == 2
    assert "--push" in done.stderr
    assert "pw" not in done.stderr
    assert not (tmp_path / "m.bundle").exists()

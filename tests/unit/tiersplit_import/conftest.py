"""What tests of the import room's Jobs share."""

import json

import pytest

from tests.support.oci_registry import oci_registry
from tests.support.onnx_files import onnx_model
from tiersplit_import import job


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with oci_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def message(tmp_path, monkeypatch):
    """Reads what the Job left for the operator."""
    file = tmp_path / "termination-log"
    monkeypatch.setenv("TIERSPLIT_TERMINATION_FILE", str(file))
    return lambda: json.loads(file.read_text())


@pytest.fixture
def run_import(running, tmp_path):
    def run(model, repository, tag="import-1", *more):
        file = tmp_path / "model.json"
        file.write_text(json.dumps({"name": "plate-reader", "model": model}))
        push = ["--push", f"oci://{running.host}/{repository}", "--tag", tag, "--registry-plain-http"]
        return job.main(["import", "--model", str(file), *push, *more])

    return run


@pytest.fixture
def onnx_file(tmp_path):
    (tmp_path / "m.onnx").write_bytes(onnx_model())
    return tmp_path / "m.onnx"

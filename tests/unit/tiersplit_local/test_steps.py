"""The commands of a run's steps, and what their results depend on."""

import os
import signal
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.support.local_run import wait_for
from tests.support.patience import PATIENCE_S
from tiersplit_api.v1alpha1 import parse_manifest
from tiersplit_api.v1alpha1.model import Model
from tiersplit_core.errors import ManifestError
from tiersplit_local import steps
from tiersplit_local.run import ends_by_signals
from tiersplit_local.steps import import_arguments, local_file, run_command, source_key

HEAD = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: m}
spec:
  tiers: [{name: a}, {name: b}]
"""
TORCH = "  model:\n    source: {torch: {factory: 'own.net:make'%s}}\n    inputs: [{name: x, shape: [-1, 3, 8, 8]%s}]\n"


def model(text: str) -> Model:
    return parse_manifest(HEAD + text).spec.model


def arguments(text: str, folder: Path) -> list[str]:
    return import_arguments(model(text), "m", folder / "bundle", folder / "split.yaml")


def test_a_factory_keeps_its_weights(tmp_path: Path) -> None:
    found = arguments(TORCH % ("", ""), tmp_path)
    assert found[:5] == ["import", "--bundle", str(tmp_path / "bundle"), "--name", "m"]
    assert "own.net:make" in found
    assert found[found.index("--input") + 1] == "x:FP32:-1x3x8x8"
    assert not {"--random-weights", "--weights", "--wire-datatype"} & set(found)


def test_random_weights_and_a_camera_s_bytes_are_asked_for(tmp_path: Path) -> None:
    found = arguments(TORCH % (", weights: Random", ", wireDatatype: UINT8"), tmp_path)
    assert "--random-weights" in found
    assert found[found.index("--wire-datatype") + 1] == "UINT8"


def test_files_are_found_beside_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"w")
    found = arguments(TORCH % (", weights: Uri, weightsUri: w.safetensors", ""), tmp_path)
    assert found[found.index("--weights") + 1] == str(tmp_path / "w.safetensors")
    (tmp_path / "m.onnx").write_bytes(b"o")
    assert str(tmp_path / "m.onnx") in arguments("  model: {source: {onnxUri: 'file://m.onnx'}}\n", tmp_path)


def test_calibration_and_validation_data_are_given_with_the_metric(tmp_path: Path) -> None:
    for name in ("m.onnx", "c.npz", "v.npz"):
        (tmp_path / name).write_bytes(name.encode())
    data = "    calibration: {uri: c.npz, samples: 7}\n    validation: {uri: v.npz, metric: Top5}\n"
    text = "  model:\n    source: {onnxUri: m.onnx}\n" + data
    found = arguments(text, tmp_path)
    given = ["--calibration", str(tmp_path / "c.npz"), "--samples", "7"]
    assert found[-8:] == [*given, "--validation", str(tmp_path / "v.npz"), "--metric", "Top5"]
    before = source_key(model(text), found)
    (tmp_path / "v.npz").write_bytes(b"others")
    assert source_key(model(text), found) != before
    own = text.replace("metric: Top5", "metric: Function, function: 'own.rating:share'")
    assert arguments(own, tmp_path)[-2:] == ["--metric", "own.rating:share"]
    with pytest.raises(ManifestError) as caught:
        arguments(text.replace("v.npz", "absent.npz"), tmp_path)
    assert caught.value.path == "spec.model.validation.uri"


@pytest.mark.parametrize("uri", ["absent.onnx", "https://example/m.onnx", "s3://b/m.onnx"])
def test_a_source_that_cannot_be_read_here_is_refused_with_its_field(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        arguments(f"  model: {{source: {{onnxUri: '{uri}'}}}}\n", tmp_path)
    assert caught.value.path == "spec.model.source.onnxUri"
    with pytest.raises(ManifestError):
        local_file(uri, tmp_path / "split.yaml", "f")


def test_an_import_depends_on_bytes_and_on_the_user_s_module_but_not_on_where_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "net.py").write_text("1")
    (tmp_path / "w.safetensors").write_bytes(b"w")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    text = TORCH % (", weights: Uri, weightsUri: w.safetensors", "")

    def key() -> list[str]:
        return source_key(model(text), arguments(text, tmp_path))

    first = key()
    elsewhere = import_arguments(model(text), "m", tmp_path / "other", tmp_path / "split.yaml")
    assert source_key(model(text), elsewhere) == first
    (tmp_path / "own" / "net.py").write_text("2")
    second = key()
    assert second != first
    (tmp_path / "w.safetensors").write_bytes(b"v")
    assert key() != second


def test_a_step_that_refuses_its_input_says_so_as_a_manifest_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"tiersplit import failed: (?s:.*)module_that_is_not_there"):
        run_command(["import", "module_that_is_not_there:f", "--bundle", str(tmp_path / "b")], tmp_path / "log")
    assert not (tmp_path / "b").exists()


STUCK = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, file=sys.stderr, flush=True)
child.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_step_and_what_it_started(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "tied", lambda _: [sys.executable, "-c", STUCK])
    log = tmp_path / "log"
    started: list[psutil.Process] = []

    def interrupt() -> None:
        pid = wait_for(
            lambda: log.exists() and log.read_text().endswith("\n") and log.read_text(), PATIENCE_S, "a child"
        )
        started.append(psutil.Process(int(pid)))
        os.kill(os.getpid(), number)

    # As under a shell that lets commands in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    other = threading.Thread(target=interrupt)
    try:
        with pytest.raises(SystemExit) as left, ends_by_signals():
            other.start()
            run_command(["import"], log)
    finally:
        signal.signal(signal.SIGINT, before)
        other.join(PATIENCE_S)
    assert left.value.code == 128 + number
    wait_for(lambda: not started[0].is_running() or started[0].status() == psutil.STATUS_ZOMBIE, PATIENCE_S, "its end")


def test_a_step_s_result_is_what_it_printed(tmp_path: Path) -> None:
    assert "latency" in run_command(["solvers", "-o", "json"], tmp_path / "log")

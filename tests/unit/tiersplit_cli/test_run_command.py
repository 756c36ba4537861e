"""`tiersplit run`, `status`, `link` and `pin` as commands: what they refuse, and what they print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import START_S

MANIFEST = """
apiVersion: tiersplit.dev/v1alpha1
kind: SplitDeployment
metadata: {name: small}
spec:
  model: {source: {onnxUri: absent.onnx}}
  tiers: [{name: edge}, {name: cloud}]
"""


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tiersplit_cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=START_S, check=False)


@pytest.mark.parametrize(
    ("before", "after", "hint"),
    [
        ("", "", "spec.model.source.onnxUri: 'absent.onnx' does not exist"),
        ("tiers:", "teirs:", "write 'tiers'"),
        ("[{name: edge}, {name: cloud}]", "[{name: edge}]", "spec.tiers: a split needs at least two tiers"),
        ("kind: SplitDeployment", "kind: [", "no usable YAML"),
        ("absent.onnx}}", "absent.onnx}}\n  objective: {minimize: EdgeMemory}", "spec.objective"),
        ("absent.onnx}}", "absent.onnx}, validation: {uri: v.npz}}\n  earlyExit: {mode: Auto}", "adds no exits"),
    ],
)
def test_a_manifest_that_cannot_run_is_refused_with_code_2_and_nothing_is_printed(
    tmp_path: Path, before: str, after: str, hint: str
) -> None:
    (tmp_path / "split.yaml").write_text(MANIFEST.replace(before, after) if before else MANIFEST)
    done = run(tmp_path, "run", "-f", "split.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "run", "-f", "nowhere.yaml")
    assert done.returncode == 2
    assert "nowhere.yaml" in done.stderr


def test_without_a_running_deployment_status_asks_for_a_name(tmp_path: Path) -> None:
    done = run(tmp_path, "status", "-o", "json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "running are none" in done.stderr


@pytest.mark.parametrize("command", [("link", "set", "a:b", "--bandwidth", "1M"), ("pin", "--clear"), ("status",)])
def test_a_deployment_that_left_its_file_behind_is_reported_with_code_1(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    folder = tmp_path / ".tiersplit" / "gone"
    folder.mkdir(parents=True)
    (folder / "running.json").write_text(json.dumps({"pid": 1, "control": str(folder / "control.sock")}))
    done = run(tmp_path, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "gone does not answer" in done.stderr

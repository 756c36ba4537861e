"""Each package loads only what its room may know; seen from a fresh interpreter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import START_S
from tests.support.problem_documents import TWO_LAYERS

HEAVY = ["torch", "torchvision", "sklearn", "matplotlib", "tritonclient"]

# package -> what none of its modules may load, however deep
FORBIDDEN = {
    "tiersplit_core": [*HEAVY, "onnx", "onnxruntime", "grpc", "google.protobuf", "pydantic", "yaml", "typer", "rich"],
    "tiersplit_api": [*HEAVY, "onnx", "onnxruntime", "grpc", "typer", "rich", "scipy"],
    "tiersplit_wire": [*HEAVY, "onnx", "onnxruntime", "pydantic", "typer", "rich", "yaml"],
    # httpx loads rich for its own command where it is installed.
    "tiersplit_bundle": [*HEAVY, "onnx", "onnxruntime", "grpc", "pydantic", "typer", "yaml"],
    "tiersplit_stage": [*HEAVY, "onnx", "pydantic", "typer", "yaml"],
    "tiersplit_control": [*HEAVY, "onnx", "onnxruntime", "typer", "kubernetes", "kopf"],
    "tiersplit_local": [*HEAVY, "onnx", "onnxruntime", "typer"],
}
# one module -> what it alone may not load: commands start fast because of these
LIGHT = {
    "tiersplit_cli.main": [*HEAVY, "onnx", "onnxruntime", "grpc", "pydantic", "scipy", "numpy", "rich", "yaml"],
    "tiersplit_core.planning.problem": ["scipy"],
    "tiersplit_import.pipeline": [*HEAVY, "onnxscript"],
    "tiersplit_import.job": [*HEAVY, "onnxscript", "grpc", "typer"],
    "tiersplit_stage.main": [*HEAVY, "onnx", "scipy", "cryptography", "httpx"],
    "tiersplit_wire.v1.activation_pb2": ["scipy", "onnxruntime"],
}

WALK = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(getattr(package, "__path__", []), package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""
ONE = """
import importlib, json, sys
module = importlib.import_module(sys.argv[1])
if hasattr(module, "build_app"):
    module.build_app()
print(json.dumps(sorted(sys.modules)))
"""
COMMAND = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
from tiersplit_cli.main import main
main()
"""


def loaded_by(script: str, *arguments: str) -> set[str]:
    found = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=START_S)
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_module_of_a_package_loads_what_its_room_may_not_know(package: str) -> None:
    assert loaded_by(WALK, package).isdisjoint(FORBIDDEN[package])


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_stays_light(module: str) -> None:
    assert loaded_by(ONE, module).isdisjoint(LIGHT[module])


def test_a_plan_of_a_problem_takes_no_more_than_numbers_need(tmp_path: Path) -> None:
    (tmp_path / "problem.json").write_text(json.dumps(TWO_LAYERS))
    loaded = loaded_by(COMMAND, "plan", "--problem", str(tmp_path / "problem.json"), "-o", "json")
    assert loaded.isdisjoint([*HEAVY, "onnx", "onnxruntime", "grpc", "google.protobuf", "pydantic", "yaml", "rich"])
    assert {name for name in loaded if name.startswith("tiersplit_cli.commands.")} == {"tiersplit_cli.commands.plan"}

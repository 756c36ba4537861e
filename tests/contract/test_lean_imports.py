"""Each package loads only what its room may know; seen from a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = ["torch", "torchvision", "sklearn", "matplotlib", "tritonclient"]

# package -> what none of its modules may load, however deep
FORBIDDEN = {
    "tiersplit_core": [*HEAVY, "onnx", "onnxruntime", "grpc", "google.protobuf", "pydantic", "yaml", "typer", "rich"],
    "tiersplit_api": [*HEAVY, "onnx", "onnxruntime", "grpc", "typer", "rich", "scipy"],
    "tiersplit_wire": [*HEAVY, "onnx", "onnxruntime", "pydantic", "typer", "rich", "yaml"],
    "tiersplit_bundle": [*HEAVY, "onnx", "onnxruntime", "grpc", "pydantic", "typer", "rich", "yaml"],
    "tiersplit_stage": [*HEAVY, "onnx", "pydantic", "typer", "yaml"],
    "tiersplit_control": [*HEAVY, "onnx", "onnxruntime", "typer", "kubernetes", "kopf"],
    "tiersplit_local": [*HEAVY, "onnx", "onnxruntime", "typer"],
}
# one module -> what it alone may not load: commands start fast because of these
LIGHT = {
    "tiersplit_cli.main": [*HEAVY, "onnx", "onnxruntime", "grpc", "pydantic", "scipy"],
    "tiersplit_core.planning.problem": ["scipy"],
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


def loaded_by(script: str, name: str) -> set[str]:
    found = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_module_of_a_package_loads_what_its_room_may_not_know(package: str) -> None:
    assert loaded_by(WALK, package).isdisjoint(FORBIDDEN[package])


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_stays_light(module: str) -> None:
    assert loaded_by(ONE, module).isdisjoint(LIGHT[module])

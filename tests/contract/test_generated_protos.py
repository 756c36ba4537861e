"""The committed wire code is what the protos say."""

import subprocess
import sys
from pathlib import Path

from tests.support.patience import START_S

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "services" / "tiersplit_wire" / "v1"


def test_the_generated_code_equals_a_regeneration(tmp_path: Path) -> None:
    protos = sorted((ROOT / "protos" / "tiersplit_wire" / "v1").glob("*.proto"))
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(ROOT / "protos"), *outputs, *map(str, protos)]
    subprocess.run(command, check=True, timeout=START_S)
    fresh = {path.name: path.read_text() for path in (tmp_path / "tiersplit_wire" / "v1").iterdir()}
    committed = {path.name: path.read_text() for path in COMMITTED.glob("*_pb2*") if path.suffix in {".py", ".pyi"}}
    assert sorted(committed) == sorted(fresh), "run: make protos"
    different = [name for name in fresh if committed[name] != fresh[name]]
    assert not different, f"{different} differ from their protos; run: make protos"

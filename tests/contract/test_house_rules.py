"""Rules of the house that no tool checks for us."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_MODULE_LINES, MAX_FUNCTION_LINES = 400, 50
# Put together here so that this file does not contain what it forbids.
PACKAGE_HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("download", "pytorch", "org"))
]
MACHINE_PATHS = ["/" + "/".join(parts) + "/" for parts in (("work", "main"), ("work", "shared"), ("home", "user"))]
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "Not" + "ImplementedError"]) + r")\b")


def tracked(*suffixes: str) -> Iterator[Path]:
    """Files of the repository that exist and that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    for name in listed:
        path = ROOT / name
        if name and path.is_file() and (not suffixes or path.suffix in suffixes):
            yield path


def written_by_us() -> list[Path]:
    return [path for path in tracked(".py") if "_pb2" not in path.name]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_is_longer_than_400_lines() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in written_by_us()}
    assert not {name: count for name, count in lines.items() if count > MAX_MODULE_LINES}


def test_no_function_is_longer_than_50_lines() -> None:
    long = []
    for path in written_by_us():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                body = node.end_lineno - node.lineno + 1
                long += [f"{name_of(path)}:{node.lineno} {node.name} ({body})"] if body > MAX_FUNCTION_LINES else []
    assert not long


def test_the_operator_folder_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists(), "it would shadow the standard library's `operator`"


def test_the_test_folders_are_no_packages_and_shadow_no_module() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))
    assert not (ROOT / "tests" / "unit" / "operator").exists()


@pytest.mark.parametrize("forbidden", PACKAGE_HOSTS + MACHINE_PATHS)
def test_no_file_names_a_package_host_or_a_machine_path(forbidden: str) -> None:
    found = [name_of(path) for path in tracked() if forbidden.encode() in path.read_bytes()]
    assert not found


def test_nothing_is_left_unfinished() -> None:
    marked = [path for path in written_by_us() if UNFINISHED.search(path.read_text())]
    assert not [name_of(path) for path in marked]


def test_no_test_is_skipped_but_for_the_lack_of_a_cluster() -> None:
    marks = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    may = {Path(__file__), ROOT / "tests/support/cluster_gate.py"}
    tests = [path for path in written_by_us() if path.is_relative_to(ROOT / "tests") and path not in may]
    assert not [name_of(path) for path in tests if marks.search(path.read_text())]


def test_every_locked_version_is_exact_and_has_hashes() -> None:
    for block in (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines():
        if block and not block.startswith("#"):
            assert re.match(r"^[A-Za-z0-9_.\[\]-]+==\S+", block), block[:80]
            assert "--hash=sha256:" in block, block[:80]

"""The collector of benchmark results."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tiersplit_cli.main import main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks_run", ROOT / "benchmarks" / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def script(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    document = json.dumps({"name": name, "rows": rows})
    (folder / f"{name}.py").write_text(f"print('warming up')\nprint({document!r})\n")


def test_rows_become_a_page_with_verdicts_and_the_machine(tmp_path: Path, run: ModuleType) -> None:
    good = {"what": "look-up", "target": "≤ 20 µs", "measured": 2.0, "unit": "µs", "p50": 2.0, "passed": True}
    bad = {"what": "split", "target": "≤ 1.1×", "measured": 1.3, "ci95": [1.2, 1.4], "passed": False, "reason": "a|b"}
    script(tmp_path, "surface", [good])
    script(tmp_path, "serving", [bad])
    assert run.main([], tmp_path) == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "1 of 2 targets" in page
    assert "missed: a\\|b" in page
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in page
    assert "1.2 – 1.4" in page
    assert "load average" in page


def test_running_one_keeps_the_rows_of_the_others(tmp_path: Path, run: ModuleType) -> None:
    for name in ("surface", "serving"):
        script(tmp_path, name, [{"what": f"{name} row", "measured": 1.0}])
    run.main([], tmp_path)
    script(tmp_path, "serving", [{"what": "new row", "measured": 1.0}])
    assert run.main(["--only", "serving"], tmp_path) == 0
    page = (tmp_path / "RESULTS.md").read_text()
    assert "surface row" in page
    assert "new row" in page
    assert "serving row" not in page


def test_a_crash_is_a_failure_and_keeps_the_earlier_rows(tmp_path: Path, run: ModuleType) -> None:
    script(tmp_path, "serving", [{"what": "a row", "measured": 1.0}])
    run.main([], tmp_path)
    (tmp_path / "serving.py").write_text("raise SystemExit(3)")
    assert run.main([], tmp_path) == 1
    assert json.loads((tmp_path / "results.json").read_text())["serving"]["rows"][0]["what"] == "a row"


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "import time; time.sleep(600)"])
def test_what_a_script_found_before_it_broke_off_is_kept_and_marked_where_nothing_is_known(
    tmp_path: Path, run: ModuleType, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(run, "TIMEOUT_S", 5)
    script(tmp_path, "serving", [{"what": "a row", "measured": 1.0}])
    path = tmp_path / "serving.py"
    path.write_text(f"{path.read_text()}\nimport sys; sys.stdout.flush()\n{end}\n")
    assert run.main([], tmp_path) == 1
    assert json.loads((tmp_path / "results.json").read_text())["serving"]["broken_off"] is True
    page = (tmp_path / "RESULTS.md").read_text()
    assert "a row" in page
    assert "broke off" in page
    script(tmp_path, "serving", [{"what": "another row", "measured": 1.0}])
    assert run.main([], tmp_path) == 0
    assert "broke off" not in (tmp_path / "RESULTS.md").read_text()


def test_a_script_that_prints_no_document_is_a_failure(tmp_path: Path, run: ModuleType) -> None:
    (tmp_path / "moves.py").write_text("print('nothing')")
    assert run.main([], tmp_path) == 1
    assert not (tmp_path / "RESULTS.md").exists()


def test_the_command_runs_the_checkout_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "run.py", tmp_path / "benchmarks")
    script(tmp_path / "benchmarks", "moves", [{"what": "a row", "measured": 1.0}])
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "bench", "--only", "moves", "-o", "json") == 0
    assert json.loads(capsys.readouterr().out)["moves"]["rows"][0]["what"] == "a row"
    assert command(monkeypatch, "bench", "--only", "joy") == 2
    assert "--only" in capsys.readouterr().err


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["tiersplit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)

"""The command line that other tools call: its commands, options, exit codes and where things are printed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from tests.support.patience import START_S
from tests.support.problem_documents import TWO_LAYERS as CHAIN
from tiersplit_cli.main import build_app

COMMANDS = {
    *("import", "profile", "plan", "surface", "explain", "run", "infer"),
    *("link", "status", "bench", "reproduce", "solvers"),
}


def tiersplit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tiersplit_cli", *arguments], capture_output=True, text=True, timeout=START_S
    )


def leaves(command: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every command that is no group, with its full name."""
    if not hasattr(command, "commands"):
        return [(name, command)]
    found = [leaves(child, f"{name} {label}".strip()) for label, child in command.commands.items()]
    return [leaf for group in found for leaf in group]


LEAVES = leaves(typer.main.get_command(build_app()))


def test_every_command_of_the_design_exists() -> None:
    assert {name.split()[0] for name, _ in LEAVES} >= COMMANDS


@pytest.mark.parametrize("name", [name for name, _ in LEAVES])
def test_every_command_takes_an_output_format_and_has_a_help_text(name: str) -> None:
    command = dict(LEAVES)[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"-o", "--output"} <= options
    assert command.help


def write(path: Path, value: object) -> str:
    path.write_text(json.dumps(value))
    return str(path)


def test_plan_prints_the_answer_of_the_design_on_stdout_and_nothing_else(tmp_path: Path) -> None:
    done = tiersplit("plan", "--problem", write(tmp_path / "problem.json", CHAIN), "-o", "json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "optimal"
    assert answer["placement"] == {"a": "e", "b": "c"}
    assert answer["objective_s"] == pytest.approx(0.1 + 0.01 + 10 * 8 / 8000 + 0.01, rel=1e-12)
    assert {"status", "objective_s", "solver", "placement", "stages", "transmissions"} <= set(answer)
    assert {"tier", "layers", "compute_s", "memory_bytes"} <= set(answer["stages"][0])
    assert {"from", "to", "tensors", "bytes", "seconds"} <= set(answer["transmissions"][0])


def test_an_infeasible_problem_exits_3_and_names_the_constraint(tmp_path: Path) -> None:
    tight = {**CHAIN, "tiers": [{"name": "e", "memory_bytes": 1}, {"name": "c", "memory_bytes": 1}]}
    done = tiersplit("plan", "--problem", write(tmp_path / "problem.json", tight), "-o", "json")
    assert done.returncode == 3
    assert "memory" in done.stdout + done.stderr


def test_a_bad_problem_exits_2_and_names_the_place(tmp_path: Path) -> None:
    bad = json.loads(json.dumps(CHAIN))
    bad["graph"]["layers"][1]["inputs"] = ["nowhere"]
    done = tiersplit("plan", "--problem", write(tmp_path / "problem.json", bad), "-o", "json")
    assert done.returncode == 2
    assert "graph.layers[1].inputs[0]" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("plan", "--nonsense"), ("plan", "--problem", "does-not-exist.json")]
)
def test_a_wrong_call_exits_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    done = tiersplit(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_solvers_lists_names_with_their_papers() -> None:
    done = tiersplit("solvers", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert "mincut" in done.stdout or "min-cut" in done.stdout

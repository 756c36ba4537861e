"""`plan`, `surface` and `solvers` as whole commands."""

import json
import subprocess
import sys

import pytest

from tests.support.problem_documents import document, spoiled


def run(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "tiersplit_cli", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=120,
        check=False,
    )


@pytest.fixture
def write(tmp_path):
    def written(value):
        path = tmp_path / "problem.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return written


def test_a_plan_is_answered_in_the_form_of_the_contract(write):
    done = run("plan", "--problem", write(document(result_tier="edge")), "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["status"] == "optimal"
    assert answer["placement"].keys() == {"a", "b", "c"}
    assert answer["objective_s"] == pytest.approx(0.012)
    assert answer["stages"] == [
        {"tier": "edge", "layers": ["a", "b", "c"], "compute_s": pytest.approx(0.012), "memory_bytes": 111 + 1550}
    ]
    assert answer["transmissions"] == []


def test_a_problem_may_come_from_stdin():
    done = run("plan", "--problem", "-", "-o", "yaml", stdin=json.dumps(document()))
    assert done.returncode == 0
    assert "status: optimal" in done.stdout


def test_a_bad_problem_ends_with_2_and_the_path_and_nothing_on_stdout(write):
    done = run("plan", "--problem", write(spoiled(("links", 0, "bandwidth_bps"), -5)), "-o", "json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "links[0].bandwidth_bps" in done.stderr


def test_an_infeasible_problem_ends_with_3_and_names_the_constraint(write):
    given = document(raw_input_tier="edge")
    given["tiers"][0]["memory_bytes"] = 50
    done = run("plan", "--problem", write(given), "-o", "json")
    assert done.returncode == 3
    answer = json.loads(done.stdout)
    assert answer["status"] == "infeasible"
    assert "tiers[0].memory_bytes" in answer["constraint"]
    assert "raw_input_tier" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan",),
        ("plan", "--problem", "absent.json"),
        ("plan", "--problem", "{file}", "--solver", "magic"),
        ("plan", "--problem", "{file}", "--bundle", "b"),
        ("surface", "--problem", "{file}", "--bandwidth", "fast"),
        ("surface", "--problem", "{file}", "--bandwidth", "1M:2M", "--bandwidth", "1M", "--bandwidth", "1M"),
        ("surface", "--problem", "{file}", "--load", "x"),
        ("surface", "--problem", "{file}", "--batches", "1,2"),
        ("surface", "--problem", "{file}", "--epsilon", "lots"),
    ],
)
def test_a_mistake_on_the_command_line_ends_with_2(write, arguments):
    path = write(document())
    done = run(*(argument.format(file=path) for argument in arguments))
    assert (done.returncode, done.stdout) == (2, "")
    assert "error" in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_the_surface_is_printed_and_saved(write, tmp_path):
    saved = tmp_path / "surface.json"
    options = ("--bandwidth", "0.1M:100M", "--load", "1:3", "--save", str(saved), "-o", "json")
    done = run("surface", "--problem", write(document()), *options)
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads(saved.read_text())
    assert json.loads(done.stdout)["format"] == "tiersplit.surface.v1"


def test_all_solvers_are_listed_with_paper_and_guarantee():
    rows = json.loads(run("solvers", "-o", "json").stdout)
    names = {row["name"] for row in rows}
    assert names >= {"auto", "min-cut", "dp", "milp", "exhaustive"}
    assert names >= {"edge-only", "cloud-only", "neurosurgeon", "dads", "qdmp", "random-split"}
    assert all(row["paper"] and row["guarantee"] for row in rows)


@pytest.mark.parametrize("command", [("plan",), ("surface",)])
def test_tables_for_people_say_what_was_chosen(write, command):
    done = run(*command, "--problem", write(document()))
    assert done.returncode == 0
    assert "edge" in done.stdout

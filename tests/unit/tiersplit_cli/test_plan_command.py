"""`plan`, `surface` and `solvers` as whole commands."""

import json
import subprocess
import sys

import pytest

from tests.support.patience import START_S
from tests.support.problem_documents import document, spoiled
from tests.support.quantised_problems import chain_of_four
from tiersplit_core.planning.problem_json import problem_to_json


def run(*arguments, stdin=None):
    return subprocess.run(
        [sys.executable, "-m", "tiersplit_cli", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=START_S,
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


def quantised_document(**changes):
    """A chain with bit widths as parsed JSON."""
    return json.loads(json.dumps(problem_to_json(chain_of_four(**changes))))


@pytest.mark.parametrize("solver", ["autosplit", "autosplit-exact"])
def test_a_plan_with_bit_widths_says_them_their_distortion_and_what_travels_in_how_many_bits(write, solver):
    path = write(quantised_document(memory=150_000, max_distortion=0.5))
    done = run("plan", "--problem", path, "--solver", solver, "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    on_edge = [name for name, tier in answer["placement"].items() if tier == "t0"]
    assert on_edge
    assert set(answer["widths"]) <= set(on_edge)
    assert all(len(pair) == 2 and set(pair) <= {2, 4, 6, 8} for pair in answer["widths"].values())
    assert 0 < answer["distortion"] <= 0.5
    (sent,) = answer["transmissions"]
    assert sent["bits"] == {on_edge[-1]: answer["widths"][on_edge[-1]][1]}
    assert answer["stages"][0]["memory_bytes"] <= 150_000


def test_transmission_bits_of_their_own_are_what_travels(write):
    given = quantised_document(memory=90_000, raw_input_tier="t0") | {"transmission_bits": 1}
    answer = json.loads(run("plan", "--problem", write(given), "--solver", "autosplit", "-o", "json").stdout)
    (sent,) = answer["transmissions"]
    assert set(sent["bits"].values()) == {1}


def test_memory_that_no_bit_width_fits_ends_with_3_and_the_missing_bytes(write):
    given = quantised_document(memory=1_000, raw_input_tier="t0")
    done = run("plan", "--problem", write(given), "--solver", "autosplit", "-o", "json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "infeasible"
    assert "79250 bytes" in done.stderr.replace("\n", " ")
    assert "missing" in done.stderr


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
    assert names >= {"autosplit", "autosplit-exact", "qdmp-e", "qdmp-e-u4", "qdmp-mixed", "cloud16", "tq8"}
    assert names >= {"u2", "u4", "u6", "u8"}
    assert all(row["paper"] and row["guarantee"] for row in rows)


@pytest.mark.parametrize("command", [("plan",), ("surface",)])
def test_tables_for_people_say_what_was_chosen(write, command):
    done = run(*command, "--problem", write(document()))
    assert done.returncode == 0
    assert "edge" in done.stdout


def test_the_table_names_the_bit_widths(write):
    done = run("plan", "--problem", write(quantised_document(raw_input_tier="t0")), "--solver", "autosplit")
    assert "weights in 2 bits" in " ".join(done.stdout.split())
    assert "distortion" in done.stdout

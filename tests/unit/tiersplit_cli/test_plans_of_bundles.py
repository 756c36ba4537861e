"""`plan`, `surface` and `explain` of a bundle and the profiles of its tiers."""

import json

import pytest
from typer.testing import CliRunner

from tests.support.small_cnn import small_cnn
from tiersplit_bundle.bundle import Bundle
from tiersplit_cli.main import build_app, exit_code
from tiersplit_core.errors import InputError

SPEEDS = {"edge": "1M", "mdc": "10M", "cloud": "1G"}


def run(command, *arguments):
    """Stdout of a command; its errors are raised as they are."""
    result = CliRunner().invoke(build_app(), [command, *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a bundle and a simulated profile for each tier."""
    home = tmp_path_factory.mktemp("planned")
    small_cnn(home / "small.bundle")
    for tier, macs in SPEEDS.items():
        (home / f"{tier}.yaml").write_text(f"name: {tier}\npeakMacsPerSecond: {macs}\nmemoryBytesPerSecond: 1G\n")
        simulated = ("--simulate", home / f"{tier}.yaml", "--batches", "1,8", "--save", home / f"{tier}.json")
        run("profile", "-b", home / "small.bundle", *simulated, "-o", "json")
    return home


def given(home, *tiers):
    return ("--bundle", home / "small.bundle", *(x for tier in tiers for x in ("--profile", home / f"{tier}.json")))


def test_the_first_profile_is_the_first_tier_and_bandwidth_decides(home):
    layers = set(Bundle.open(home / "small.bundle").graph.index)
    fast, slow = (
        json.loads(run("plan", *given(home, *SPEEDS), "--bandwidth", bandwidth, "-o", "json"))
        for bandwidth in ("100G", "1")
    )
    assert fast["placement"] == dict.fromkeys(layers, "cloud")
    assert slow["placement"] == dict.fromkeys(layers, "edge")
    assert fast["status"] == slow["status"] == "optimal"


def test_every_option_of_the_problem_is_heard(home):
    tiers = given(home, "edge", "cloud")
    options = ("--bandwidth", "100G", "--latency", "2ms", "--keep-input", "--result-back", "--batch", "8")
    answer = json.loads(run("plan", *tiers, *options, "-o", "json"))
    first = next(iter(Bundle.open(home / "small.bundle").graph.index))
    assert answer["placement"][first] == "edge"
    assert [(sent["from"], sent["to"]) for sent in answer["transmissions"]] == [("edge", "cloud"), ("cloud", "edge")]
    assert all(sent["seconds"] >= 0.002 for sent in answer["transmissions"])
    most = json.loads(run("plan", *tiers, "--bandwidth", "1M", "--objective", "throughput", "-o", "json"))
    assert most["objective_s"] == max(part for part in parts(most))
    small = run("plan", *tiers, "--bandwidth", "1", "--memory", "edge=1Ki", "-o", "json")
    assert "edge" not in json.loads(small)["placement"].values()


def parts(answer):
    return [stage["compute_s"] for stage in answer["stages"]] + [sent["seconds"] for sent in answer["transmissions"]]


def test_the_surface_of_a_bundle_covers_each_batch_size(home):
    options = ("--bandwidth", "1k:1G", "--batches", "1,8", "--load", "1:2", "-o", "json")
    answer = json.loads(run("surface", *given(home, *SPEEDS), *options))
    assert answer["format"] == "tiersplit.surface.v1"
    plan = run("surface", *given(home, *SPEEDS), "--bandwidth", "1k:1G", "--batches", "1,8")
    assert "plans" in plan


def test_a_bundle_s_plan_is_explained_in_whole_lines(home, tmp_path):
    pictures = ("--png", tmp_path / "why.png", "--html", tmp_path / "why.html")
    text = run("explain", *given(home, *SPEEDS), "--bandwidth", "1M", *pictures)
    assert text.startswith("• ")
    assert all(line.startswith("• ") for line in text.strip().splitlines())
    assert (tmp_path / "why.png").stat().st_size > 1000
    assert "<html" in (tmp_path / "why.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--bandwidth", "0"), "--bandwidth"),
        ((), "--bandwidth"),
        (("--bandwidth", "1M", "--bandwidth", "1M"), "--bandwidth"),
        (("--bandwidth", "1M", "--latency", "3"), "--latency"),
        (("--bandwidth", "1M", "--memory", "moon=3Mi"), "--memory"),
        (("--bandwidth", "1M", "--objective", "joy"), "--objective"),
        (("--bandwidth", "1M", "--profile", "{home}/edge.json"), "edge.json"),
        (("--bandwidth", "1M", "--profile", "{home}/edge.yaml"), "edge.yaml: no JSON"),
        (("--bandwidth", "1M", "--profile", "{home}/foreign.json"), "foreign.json: $.graph"),
        (("--bandwidth", "1M", "--problem", "{home}/edge.json"), "--problem"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "explain"])
def test_mistakes_are_named_by_their_option_or_file(home, command, arguments, named):
    foreign = json.loads((home / "mdc.json").read_text()) | {"graph": "sha256:" + "0" * 64}
    (home / "foreign.json").write_text(json.dumps(foreign))
    with pytest.raises(InputError) as caught:
        run(command, *given(home, "edge", "cloud"), *(text.format(home=home) for text in arguments))
    assert named in str(caught.value)
    assert exit_code(caught.value) == 2


@pytest.mark.parametrize("range_", ["0:1G", "2M:1M", "fast"])
def test_a_range_of_bandwidths_lies_above_zero(home, range_):
    with pytest.raises(InputError, match="--bandwidth"):
        run("surface", *given(home, "edge", "cloud"), "--bandwidth", range_)


@pytest.mark.parametrize("command", ["plan", "surface", "explain"])
def test_an_option_of_bundles_is_refused_beside_a_problem(command, tmp_path):
    for option in (("--latency", "3ms"), ("--keep-input",), ("--objective", "latency"), ("--profile", "edge.json")):
        with pytest.raises(InputError, match=f"^{option[0]}: it is for --bundle"):
            run(command, "--problem", tmp_path / "problem.json", *option)


def test_a_problem_that_is_no_json_is_named_with_line_and_column(tmp_path):
    (tmp_path / "problem.json").write_text('{"graph": 1,\n "tiers" }')
    with pytest.raises(InputError, match=r"problem.json: no JSON: .* at line 2 column 10$"):
        run("plan", "--problem", tmp_path / "problem.json")

import json
import re

import pytest
from typer.testing import CliRunner

from tests.support.quantised_cnn import quantised_cnn
from tests.support.small_cnn import small_cnn
from tiersplit_bundle.bundle import Bundle
from tiersplit_cli.main import build_app, exit_code
from tiersplit_core.errors import InputError, OperationError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.segments import segments_of
from tiersplit_core.profile.json import profile_from_json
from tiersplit_import.segments import materialise

TIER = "name: mcu\npeakMacsPerSecond: 1G\nmemoryBytesPerSecond: 100M\n"
QUICK = ("--batches", "1", "--budget-s", "0.02")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return small_cnn(tmp_path_factory.mktemp("profiled") / "small.bundle")


def run(*arguments):
    """Stdout of `tiersplit profile …`; its errors are raised as they are."""
    result = CliRunner().invoke(build_app(), ["profile", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_a_measured_profile_is_printed_and_saved_alike(path, tmp_path):
    save = tmp_path / "new" / "edge.json"
    printed = json.loads(run("-b", path, "--tier", "edge", *QUICK, "--slowdown", "2", "--save", save, "-o", "json"))
    assert json.loads(save.read_text()) == printed
    bundle = Bundle.open(path)
    profile = profile_from_json(printed, bundle.graph, bundle.graph_digest)
    assert (profile.tier, profile.kind.value, profile.slowdown) == ("edge", "measured", 2.0)
    assert [entry.name for entry in save.parent.iterdir()] == ["edge.json"]


def test_a_simulated_profile_has_the_same_form_and_says_so(path, tmp_path):
    (tmp_path / "tier.yaml").write_text(TIER)
    printed = json.loads(run("-b", path, "--simulate", tmp_path / "tier.yaml", "--batches", "1,4", "-o", "json"))
    profile = profile_from_json(printed, Bundle.open(path).graph)
    assert (profile.tier, profile.kind.value, list(profile.batches)) == ("mcu", "simulated", [1, 4])
    named = json.loads(run("-b", path, "--simulate", tmp_path / "tier.yaml", "--tier", "edge", "-o", "json"))
    assert named["tier"] == "edge"


def test_the_table_names_the_machine_the_memory_and_the_layers(path, tmp_path):
    (tmp_path / "tier.yaml").write_text(TIER)
    printed = run("-b", path, "--simulate", tmp_path / "tier.yaml", "--batches", "1")
    for word in ("mcu", "simulated", "whole model", "memory", "conv1", "fc"):
        assert word in printed


def test_segments_are_added_to_a_profile_of_the_same_kind(tmp_path):
    path = small_cnn(tmp_path / "small.bundle")
    bundle = Bundle.open(path)
    tiers = dict(zip(bundle.graph.index, "aabbb", strict=True))
    materialise(path, segments_of(bundle.graph, [Plan(tiers)]))
    first = tmp_path / "p.json"
    run("-b", path, *QUICK, "--save", first)
    again = ("-b", path, *QUICK, "--segments", "--profile", first, "-o", "json")
    added = json.loads(run(*again))
    assert len(added["batches"][0]["segments"]) == 2
    assert added["batches"][0]["layers"] == json.loads(first.read_text())["batches"][0]["layers"]
    with pytest.raises(InputError, match="profile again"):
        run(*again, "--threads", "2")


def test_quantised_forms_are_measured_unless_they_are_not_wanted_and_added_where_they_are_named(tmp_path):
    path, first = quantised_cnn(tmp_path / "b").root, tmp_path / "p.json"
    (plain,) = json.loads(run("-b", path, *QUICK, "--forms", "none", "--save", first, "-o", "json"))["batches"]
    assert "forms" not in plain
    again = ("-b", path, *QUICK, "--profile", first, "-o", "json")
    assert json.loads(run(*again))["batches"] == [plain]
    (added,) = json.loads(run(*again, "--forms", "packed"))["batches"]
    assert {**added, "forms": None} == {**plain, "forms": None}
    assert added["forms"].keys() == {"packed"}
    assert added["forms"]["packed"].keys() == plain["layers"].keys()
    printed = run("-b", path, *QUICK)
    assert "whole model, int8" in printed
    assert "whole model, packed" in printed


def test_a_model_larger_than_the_tier_is_measured_in_chunks_and_the_bundle_stays_as_it_is(path):
    before = sorted(entry.name for entry in path.rglob("*"))
    printed = json.loads(run("-b", path, *QUICK, "--memory", "26k", "-o", "json"))
    seen = profile_from_json(printed, Bundle.open(path).graph).batches[1]
    assert (seen.chunks, seen.unheld) == (2, {})
    assert sorted(entry.name for entry in path.rglob("*")) == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_layers_that_the_tier_cannot_hold_are_left_out_by_name_in_each_form(tmp_path):
    path = quantised_cnn(tmp_path / "b").root
    result = CliRunner().invoke(build_app(), ["profile", "-b", str(path), *QUICK, "--memory", "20k", "-o", "json"])
    assert result.exception is None
    (seen,) = json.loads(result.stdout)["batches"]
    assert seen["unheld"] == {"add": 3 * 4 * 8 * 16 * 16}
    said = " ".join(result.stderr.split())
    for form in ("float", "int8", "packed"):
        assert re.search(rf"cannot hold add \(24[.\d]* KiB\) as {form}", said)
    for timings in seen["forms"].values():
        assert timings.keys() == {"conv1", "conv2", "pool", "fc"}


@pytest.mark.parametrize("batches", ["", "0", "1,,2", "a", "1.5", "-1", "99999999999", "1025", "²"])
def test_wrong_batch_sizes_are_refused_by_the_option(path, batches):
    with pytest.raises(InputError) as caught:
        run("-b", path, f"--batches={batches}")
    assert (caught.value.path, exit_code(caught.value)) == ("--batches", 2)


@pytest.mark.parametrize(
    ("content", "where"),
    [("name: [", "tier.yaml"), ("- 1", "$"), ("name: x", "$.peakMacsPerSecond"), (None, "tier.yaml")],
)
def test_a_wrong_tier_file_is_refused_with_file_or_field(path, tmp_path, content, where):
    if content is not None:
        (tmp_path / "tier.yaml").write_text(content)
    with pytest.raises(InputError) as caught:
        run("-b", path, "--simulate", tmp_path / "tier.yaml")
    assert caught.value.path.endswith(where)


def test_a_bundle_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="nothing-here"):
        run("-b", tmp_path / "nothing-here")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "tiersplit.profile.v1"}'])
def test_a_wrong_base_profile_is_refused(path, tmp_path, content):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError):
        run("-b", path, "--profile", tmp_path / "p.json", "--segments")


@pytest.mark.parametrize("option", [("--segments",), ("--forms", "int8")])
def test_a_simulated_tier_takes_nothing_to_measure(path, tmp_path, option):
    (tmp_path / "tier.yaml").write_text(TIER)
    with pytest.raises(InputError, match=option[0]):
        run("-b", path, "--simulate", tmp_path / "tier.yaml", *option)


def test_a_form_that_the_bundle_does_not_have_is_refused(path):
    with pytest.raises(InputError, match="--calibration") as caught:
        run("-b", path, *QUICK, "--forms", "int8")
    assert exit_code(caught.value) == 2


def test_nothing_is_half_written_where_the_target_cannot_be_written(path, tmp_path):
    (tmp_path / "tier.yaml").write_text(TIER)
    (tmp_path / "file").write_text("here")
    with pytest.raises(OperationError, match="cannot be written"):
        run("-b", path, "--simulate", tmp_path / "tier.yaml", "--save", tmp_path / "file" / "p.json")
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.parametrize(("name", "tier"), [("eyeriss", "edge"), ("tpu", "cloud")])
def test_the_papers_accelerators_are_simulated_by_their_names(path, name, tier):
    printed = json.loads(run("-b", path, "--simulate", name, "--batches", "1", "-o", "json"))
    profile = profile_from_json(printed, Bundle.open(path).graph)
    assert (profile.tier, profile.kind.value, profile.machine["model"]) == (tier, "simulated", "systolic array")
    named = json.loads(run("-b", path, "--simulate", name, "--tier", "mdc", "--batches", "1", "-o", "json"))
    assert (named["tier"], named["batches"]) == ("mdc", printed["batches"])

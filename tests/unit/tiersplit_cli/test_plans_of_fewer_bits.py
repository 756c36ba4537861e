"""`plan` and `explain` of a calibrated bundle: bit widths, what they save, and what is known of accuracy."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.small_cnn import graph, small_cnn
from tests.unit.tiersplit_cli.test_explain import fetched
from tiersplit_bundle import Blob, Bundle, extend, media
from tiersplit_bundle.accuracies import Accuracies, accuracies_to_json
from tiersplit_bundle.layout import canonical_json
from tiersplit_cli.main import build_app
from tiersplit_core.errors import InputError
from tiersplit_core.planning.plan import Plan
from tiersplit_core.profile.json import profile_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.json import statistics_to_json
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics

SECONDS = {"conv1": 0.02, "conv2": 0.5, "add": 0.001, "pool": 0.001, "fc": 0.001}
"""On the edge; the cloud takes a thousandth of it, integer kernels on the edge a third, packed weights twice."""
ERRORS = {bits: 4.0**-bits for bits in BIT_WIDTHS}
CLOUD = ("conv2", "add", "pool", "fc")
WHOLE = 0.98


def run(command, *arguments):
    """Stdout and stderr of a command; its errors are raised as they are."""
    result = CliRunner().invoke(build_app(), [command, *map(str, arguments)])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def statistics(weight_elements=1000):
    layers = (
        LayerStatistics(layer.name, weight_elements, layer.output_bytes // 4, ERRORS, ERRORS)
        if layer.weight_bytes
        else LayerStatistics(layer.name, 0, layer.output_bytes // 4, {}, ERRORS)
        for layer in graph().layers
    )
    return Statistics(Metric.MSE, Clip.MSE, 8, tuple(layers), ERRORS)


def timings(factor):
    return {name: Timing(factor * seconds) for name, seconds in SECONDS.items()}


def write_profile(path, bundle, tier, factor, forms):
    measured = BatchProfile(timings(factor), Timing(factor), forms=forms)
    profile = TierProfile(tier, ProfileKind.MEASURED, bundle.graph_digest, 1, {}, {1: measured})
    path.write_text(json.dumps(profile_to_json(profile)))


def make_home(home, weight_elements=1000):
    """A calibrated bundle and a profile of each tier; the edge was measured in both forms."""
    bundle = Bundle.open(small_cnn(home / "b"))
    extend(bundle, [Blob(media.QUANTIZATION, canonical_json(statistics_to_json(statistics(weight_elements))))])
    forms = {RunForm.INT8: timings(1 / 3), RunForm.PACKED: timings(2.0)}
    write_profile(home / "edge.json", bundle, "edge", 1.0, forms)
    write_profile(home / "bare.json", bundle, "edge", 1.0, {})
    write_profile(home / "cloud.json", bundle, "cloud", 1e-3, {})
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("calibrated"))


def head(widths, form=RunForm.INT8):
    """The first layer on the edge at these bits, all others in the cloud."""
    return Plan({"conv1": "edge", **dict.fromkeys(CLOUD, "cloud")}, {"conv1": widths}, form)


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """The same with accuracies: 8 bits cost half a percent, 4 bits of activations eight."""
    home = make_home(tmp_path_factory.mktemp("rated"))
    known = {head((8, 8)).digest: 0.975, head((8, 4)).digest: 0.9}
    found = Accuracies("Top1", WHOLE, known)
    extend(Bundle.open(home / "b"), [Blob(media.ACCURACIES, canonical_json(accuracies_to_json(found)))])
    return home


def given(home, edge="edge", bandwidth="500k"):
    profiles = ("--profile", home / f"{edge}.json", "--profile", home / "cloud.json")
    return ("--bundle", home / "b", *profiles, "--bandwidth", bandwidth)


def planned(home, *options, **changes):
    return json.loads(run("plan", *given(home, **changes), *options, "-o", "json")[0])


def test_a_calibrated_bundle_is_planned_with_bytes_and_says_how_they_run(home):
    answer = planned(home)
    assert (answer["widths"], answer["form"]) == ({"conv1": [8, 8]}, "int8")
    assert answer["distortion"] == pytest.approx(2 * ERRORS[8])
    assert answer["transmissions"][0]["bits"] == {"conv1": 8}
    assert answer["plan"] == head((8, 8)).digest
    assert answer["status"] == "optimal"
    assert "accuracy" not in answer, "nothing was rated"


def test_more_error_buys_fewer_bits_and_none_buys_layers_as_they_are(home):
    assert planned(home, "--max-distortion", "0.01")["widths"] == {"conv1": [8, 4]}
    assert planned(home, "--max-distortion", "0")["placement"] == dict.fromkeys(SECONDS, "cloud")


def test_the_first_tier_has_no_other_bits_than_it_may_have(home):
    answer = planned(home, "--max-distortion", "9", "--weight-bits", "4", "--activation-bits", "6,8")
    assert answer["widths"] == {"conv1": [4, 6]}
    wide = planned(home, "--weight-bits", "16,32")
    assert "widths" not in wide
    assert wide["status"] == "optimal"


def test_other_solvers_and_baselines_know_the_widths_too(home):
    assert planned(home, "--solver", "u4")["widths"] == {name: [4, 4] for name in SECONDS}
    assert planned(home, "--solver", "autosplit")["widths"]["conv1"][1] == 2, "any error is allowed"
    assert planned(home, "--solver", "min-cut")["placement"] == dict.fromkeys(SECONDS, "cloud")


def test_packed_weights_are_taken_where_bytes_do_not_fit(tmp_path):
    home = make_home(tmp_path, weight_elements=1_000_000)
    options = ("--keep-input", "--max-distortion", "1")
    assert planned(home, *options, "--memory", "edge=1100k")["form"] == "int8"
    small = planned(home, *options, "--memory", "edge=600k")
    assert (small["form"], small["widths"]["conv1"][0]) == ("packed", 4)
    assert small["stages"][0]["memory_bytes"] <= 600_000
    assert small["plan"] == head(tuple(small["widths"]["conv1"]), RunForm.PACKED).digest


def test_of_a_rated_bundle_the_fastest_plan_that_is_known_to_be_accurate_is_taken(rated):
    answer = planned(rated)
    assert answer["plan"] == head((8, 8)).digest
    said = {"metric": "Top1", "plan": 0.975, "model": WHOLE, "max_drop": 0.01}
    assert answer["accuracy"] == {**said, "unrated": answer["accuracy"]["unrated"]}
    assert answer["accuracy"]["unrated"] >= 1, "6 bits were not rated, and may do"
    assert planned(rated, "--max-drop", "10%")["plan"] == head((8, 4)).digest


def test_where_no_fewer_bits_are_accurate_layers_run_as_they_are(rated):
    answer = planned(rated, "--max-drop", "0.1%")
    assert answer["placement"] == dict.fromkeys(SECONDS, "cloud")
    assert answer["accuracy"]["plan"] == WHOLE


def test_people_see_bits_form_and_accuracy(rated):
    printed, _ = run("plan", *given(rated))
    words = " ".join(printed.replace("│", " ").split())
    for said in ("as int8", "conv1 in 8 bits", "97.50%", "98.00%", "were not rated"):
        assert said in words


def test_a_profile_without_forms_is_planned_as_it_is_and_says_why(home):
    printed, told = run("plan", *given(home, edge="bare"), "-o", "json")
    assert "widths" not in json.loads(printed)
    assert "no seconds of quantised layers" in told


WRONG = [
    ("edge", ("--max-drop", "1%"), "--max-drop: nothing of the bundle was rated"),
    ("edge", ("--max-drop", "1%", "--max-distortion", "1"), "--max-drop: write --max-drop or --max-distortion"),
    ("edge", ("--weight-bits", "3"), "--weight-bits: '3' is no list of bit widths"),
    ("bare", ("--activation-bits", "8"), "--activation-bits: the profile of edge has no seconds"),
]


@pytest.mark.parametrize(("edge", "options", "reason"), WRONG, ids=[reason for *_, reason in WRONG])
@pytest.mark.parametrize("command", ["plan", "explain"])
def test_mistakes_are_named_by_their_option(command, edge, options, reason, home):
    with pytest.raises(InputError, match=f"^{reason}"):
        run(command, *given(home, edge=edge), *options)


def test_bit_widths_need_calibration_and_a_bundle(home, tmp_path):
    small_cnn(tmp_path / "b")
    for name in ("edge", "cloud"):
        (tmp_path / f"{name}.json").write_text((home / f"{name}.json").read_text())
    with pytest.raises(InputError, match=r"^--weight-bits: the bundle was not calibrated"):
        run("plan", *given(tmp_path), "--weight-bits", "8")
    with pytest.raises(InputError, match=r"^--max-distortion: it is for --bundle"):
        run("explain", "--problem", tmp_path / "problem.json", "--max-distortion", "0")


def explained(home, tmp_path, *options, **changes):
    files = ("--png", tmp_path / "why.png", "--html", tmp_path / "why.html")
    return run("explain", *given(home, **changes), *files, *options)[0]


def test_an_explanation_shows_bits_forms_errors_links_memory_and_accuracy(rated, tmp_path):
    words = explained(rated, tmp_path)
    for said in (
        "On edge 1 of 1 layers run as int8, with weights in 8 bits and activations in 8 bits",
        "distortion is 3.05e-05",
        "conv1 crosses edge → cloud in 8 bits: 2.0",
        "instead of 8 KiB",
        "the same layers as they are would need",
        "Top1 of the plan is 97.50%, the model 98.00%",
        "conv1  W8 A8   int8    distortion 3.05e-05",
        "AUTO-SPLIT's guideline",
    ):
        assert said in words, said
    page = (tmp_path / "why.html").read_text()
    assert not fetched(page)
    assert page.count("<svg") == 3
    for said in ("Bit widths", "conv1", "int8", "97.50%", "edge 1 W8A8 | cloud 4"):
        assert said in page, said
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


def test_an_explanation_s_numbers_are_those_of_the_plan_s_widths(home, tmp_path):
    answer = json.loads(explained(home, tmp_path, "--no-pictures", "-o", "json"))
    assert answer["plan"] == planned(home)
    bits = answer["bits"]
    assert [(layer["name"], layer["widths"]) for layer in bits["layers"]] == [("conv1", [8, 8])]
    assert (bits["form"], bits["memory_bytes"] < bits["wide_memory_bytes"]) == ("int8", True)
    assert [(value["name"], value["bits"], value["wide_bytes"]) for value in bits["values"]] == [("conv1", 8, 8192)]
    objective = answer["plan"]["objective_s"]
    assert min(split["objective_s"] for split in answer["split_points"]) == pytest.approx(objective)
    assert answer["split_points"][1]["objective_s"] == pytest.approx(objective)
    assert all(other["extra_s"] >= -1e-9 for other in answer["neighbours"])


@pytest.mark.parametrize("bandwidth", ["20k", "100k", "500k", "2M"])
def test_the_envelope_holds_at_the_present_bandwidth_what_is_planned_there(home, tmp_path, bandwidth):
    answer = json.loads(explained(home, tmp_path, "--no-pictures", "-o", "json"))
    (sweep,) = answer["bandwidth"]
    there = planned(home, bandwidth=bandwidth)
    now = float(bandwidth.replace("k", "e3").replace("M", "e6"))
    interval = next(entry for entry in sweep["intervals"] if now <= entry["high_bps"])
    assert interval["placement"] == there["placement"]
    assert ("W8A8" in interval["label"]) == bool(there["widths"])


def test_other_plans_have_the_widths_that_suit_them_best(home, tmp_path):
    answer = json.loads(explained(home, tmp_path, "--no-pictures", "-o", "json"))
    alone = next(other for other in answer["neighbours"] if other["change"] == "everything on edge")
    assert alone["objective_s"] == pytest.approx(sum(SECONDS.values()) / 3)
    assert np.isfinite(alone["objective_s"])

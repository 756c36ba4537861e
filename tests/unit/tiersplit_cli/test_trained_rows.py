"""AUTO-SPLIT's experiments on networks that somebody trained: rows by measured accuracy."""

import pytest

from tiersplit_cli.papers.autosplit import table_3, trained
from tiersplit_cli.papers.autosplit.trained import DROPS, NETWORKS, experiment
from tiersplit_cli.papers.measured import COMMAND, Measured, key_of, measured_from_json, measured_to_json
from tiersplit_cli.papers.stored import stored_accuracies, trained_models
from tiersplit_core.errors import InputError
from tiersplit_core.planning.guidelines import Outcome, outcome_of

_ROUNDING = 1e-9


def test_all_trained_networks_have_rows() -> None:
    assert set(trained_models()) == set(NETWORKS)


@pytest.mark.parametrize("model", NETWORKS)
def test_answers_keep_their_thresholds_and_are_no_slower_with_looser_ones(model: str) -> None:
    found = experiment(model)
    answers = [found.fastest(drop) for drop in DROPS]
    assert all(found.whole - answer.accuracy <= drop + _ROUNDING for drop, answer in zip(DROPS, answers, strict=True))
    seconds = [answer.seconds for answer in answers]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[0] <= found.on.cloud_only_s


@pytest.mark.parametrize("model", NETWORKS)
def test_floats_on_the_edge_keep_the_thresholds_too(model: str) -> None:
    found = experiment(model)
    for drop in DROPS:
        assert found.whole - found.with_floats(drop).accuracy <= drop + _ROUNDING


def test_at_no_error_a_trained_network_answers_as_it_is_from_the_cloud() -> None:
    last = experiment("digits").answers[-1]
    assert (last.error, last.accuracy) == (0.0, experiment("digits").whole)
    assert outcome_of(last.tiers.tolist()) is Outcome.CLOUD_ONLY


def test_two_bits_everywhere_cost_the_digits_visibly_more_than_eight() -> None:
    found = experiment("digits")
    lost = {name: found.whole - found.of_method(name).accuracy for name in ("u2", "u8")}
    assert lost["u8"] <= 0.005
    assert lost["u2"] > 0.05


def test_rows_say_where_what_at_which_bits_and_how_accurately() -> None:
    rows = {row.id: row for row in trained.rows()}
    row = rows["autosplit/section-5.2-trained/digits/1%"]
    assert (row.paper, row.comparable) == ("57% (ResNet-50)", False)
    assert "split behind" in row.ours
    assert "link" in row.ours
    assert f"of {100 * stored_accuracies('digits').whole:.1f}%" in row.ours
    assert COMMAND in row.note


def test_table_3_has_the_plates_beside_every_line_of_the_paper() -> None:
    rows = {row.id: row.ours for row in table_3.rows()}
    assert list(rows) == [
        f"autosplit/3/{key}" for key in ("float-edge", "float-cloud", "tq8", "autosplit", "autosplit-large")
    ]
    assert rows["autosplit/3/float-cloud"].endswith(", 0 MiB")


def test_bit_widths_that_were_not_measured_are_refused_with_the_command_that_measures_them() -> None:
    known = Measured("digits", "Top1", 10, 0.9, {key_of({"a": (4, 4)}): 0.8})
    assert known.of({"a": (4, 4)}) == 0.8
    assert known.of({}) == 0.9
    with pytest.raises(InputError, match=f"{COMMAND} digits"):
        known.of({"a": (4, 8)})


def test_the_order_of_layers_does_not_matter_and_what_is_stored_comes_back() -> None:
    assert key_of({"a": (4, 4), "b": (8, 8)}) == key_of({"b": (8, 8), "a": (4, 4)})
    known = Measured("digits", "Top1", 10, 0.9, {key_of({"a": (4, 4)}): 0.8})
    assert measured_from_json("digits", measured_to_json(known)) == known

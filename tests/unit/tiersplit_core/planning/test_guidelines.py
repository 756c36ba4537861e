"""AUTO-SPLIT's guidelines (appendix A), each by itself."""

import pytest

from tests.support.profiles import chain
from tests.support.quantised_problems import chain_of_four
from tiersplit_core.planning.guidelines import (
    ModelFacts,
    Outcome,
    advice,
    advice_sentence,
    deep_and_thin,
    facts_of_graph,
    facts_of_problem,
    high_resolution,
    outcome_of,
    small_model,
    wide_beginning,
)


def facts(weight_bytes=200_000_000, input_volume=1_000, volumes=(500,) * 10, input_side=None):
    """A model to which no guideline applies, unless it is changed."""
    return ModelFacts(weight_bytes, input_volume, volumes, input_side)


def test_a_model_to_which_no_guideline_applies_is_given_no_advice():
    assert advice(facts()) == ()


@pytest.mark.parametrize(("weight_bytes", "applies"), [(49_999_999, True), (50_000_000, False)])
def test_a_model_of_less_than_50_megabytes_is_likely_best_on_the_edge(weight_bytes, applies):
    given = small_model(facts(weight_bytes=weight_bytes))
    assert (given is not None) == applies
    assert given is None or given.outcome is Outcome.EDGE_ONLY


@pytest.mark.parametrize(("wide", "applies"), [(5, True), (4, False), (10, True)])
def test_many_initial_layers_above_the_input_make_the_cloud_likely_best(wide, applies):
    given = wide_beginning(facts(volumes=(1_001,) * wide + (1_000,) * (10 - wide)))
    assert (given is not None) == applies
    assert given is None or (given.outcome is Outcome.CLOUD_ONLY and f"first {wide} of 10" in given.sentence)


def test_wide_layers_behind_a_narrow_one_are_not_initial():
    assert wide_beginning(facts(volumes=(10,) + (5_000,) * 9)) is None


@pytest.mark.parametrize(
    ("layers", "weight_bytes", "applies"),
    [(50, 49_000_000, True), (49, 40_000_000, False), (50, 50_000_000, False)],
)
def test_a_deep_but_thin_network_is_likely_best_divided(layers, weight_bytes, applies):
    given = deep_and_thin(facts(weight_bytes=weight_bytes, volumes=(1,) * layers))
    assert (given is not None) == applies
    assert given is None or given.outcome is Outcome.SPLIT


@pytest.mark.parametrize(("side", "applies"), [(416, True), (415, False), (None, False)])
def test_a_large_input_picture_makes_a_division_likely_best(side, applies):
    given = high_resolution(facts(input_side=side))
    assert (given is not None) == applies
    assert given is None or (given.outcome is Outcome.SPLIT and "416" in given.sentence)


def test_the_facts_of_a_problem_and_of_a_graph_are_its_sizes():
    assert facts_of_problem(chain_of_four()).volumes == (320_000, 80_000, 16_000, 40)
    found = facts_of_graph(chain(("a", 1, 50, 10), ("b", 1, 60, 20)))
    assert (found.weight_bytes, found.input_volume, found.volumes) == (110, 100, (10, 20))


@pytest.mark.parametrize(
    ("tiers", "outcome"),
    [((0, 0), Outcome.EDGE_ONLY), ((1, 2), Outcome.CLOUD_ONLY), ((0, 2), Outcome.SPLIT)],
)
def test_a_plan_is_named_by_what_the_first_tier_runs(tiers, outcome):
    assert outcome_of(tiers) is outcome


def test_a_sentence_says_whether_the_plan_agrees():
    given = small_model(facts(weight_bytes=10))
    assert "so is the plan" in advice_sentence(given, Outcome.EDGE_ONLY)
    assert "the plan is split" in advice_sentence(given, Outcome.SPLIT)

"""Variants from calibration statistics and simulated seconds."""

import pytest

from tests.support.profiles import chain
from tiersplit_core.errors import StatisticsError
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.planner import solve
from tiersplit_core.planning.problem import Link, Tier
from tiersplit_core.planning.variants import systolic_seconds, with_variants
from tiersplit_core.profile.systolic import ARRAYS, simulate_array
from tiersplit_core.quantization.statistics import Clip, LayerStatistics, Metric, Statistics

GRAPH = chain(("a", 100, 400, 50), ("b", 100, 0, 60), ("c", 100, 40, 5))
ERRORS = {2: 1.0, 4: 0.1, 6: 0.01, 8: 0.001}
STATISTICS = Statistics(
    Metric.MSE,
    Clip.MIN_MAX,
    16,
    (
        LayerStatistics("a", 90, 50, ERRORS, ERRORS, kept_bytes=40),
        LayerStatistics("b", 0, 60, {}, ERRORS),
        LayerStatistics("c", 10, 5, ERRORS, {}),
    ),
)


def problem(batch=1):
    profiles = {
        name: simulate_array(GRAPH, array, [1, 4], "g", name)
        for name, array in (("e", ARRAYS["eyeriss"]), ("c", ARRAYS["tpu"]))
    }
    tiers, links = (Tier("e"), Tier("c")), (Link("e", "c", 3e6, 0.0),)
    return problem_from_profiles(GRAPH, profiles, tiers, links, batch=batch)


def quantised(batch=1, **changes):
    return with_variants(
        problem(batch), STATISTICS, {"e": systolic_seconds(GRAPH, ARRAYS["eyeriss"], batch)}, **changes
    )


def test_a_layer_with_weights_has_every_pair_of_widths_and_its_sizes():
    layer = quantised().layers[0]
    assert len(layer.variants) == 16
    eight_four = next(v for v in layer.variants if (v.weight_bits, v.activation_bits) == (8, 4))
    assert eight_four.weight_bytes == 90 + 40
    assert eight_four.distortion == pytest.approx(0.001 + 0.1)
    assert layer.elements == 50


def test_a_layer_without_weights_has_one_variant_per_width_and_one_without_floats_none():
    _, pool, labels = quantised().layers
    assert [v.activation_bits for v in pool.variants] == [2, 4, 6, 8]
    assert labels.variants == ()


def test_elements_and_seconds_grow_with_the_batch():
    one, four = quantised().layers[0], quantised(batch=4).layers[0]
    assert four.elements == 4 * one.elements
    assert four.variants[0].seconds["e"] > one.variants[0].seconds["e"]


def test_sixteen_bits_have_no_distortion():
    layer = quantised(widths=(8, 16)).layers[0]
    assert [v.distortion for v in layer.variants if v.weight_bits == v.activation_bits == 16] == [0.0]


def test_what_was_made_is_planned_with():
    assert solve(quantised(), "autosplit-exact").plan is not None


def test_a_layer_that_was_not_calibrated_is_named():
    few = Statistics(Metric.MSE, Clip.MIN_MAX, 16, STATISTICS.layers[:2])
    with pytest.raises(StatisticsError, match="'c' was not calibrated"):
        with_variants(problem(), few, {})

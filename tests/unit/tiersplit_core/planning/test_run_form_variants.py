"""Variants of a problem's layers from what was measured in a run form."""

from tests.support.control_catalogue import graph, profiles
from tiersplit_core.planning.build import problem_from_profiles
from tiersplit_core.planning.problem import Link, Tier
from tiersplit_core.planning.variants import with_form
from tiersplit_core.quantization.forms import RunForm
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics

ERRORS = {bits: 4.0**-bits for bits in BIT_WIDTHS}
SECONDS = {f"l{i}": 0.001 * (i + 1) for i in range(3)}


def statistics():
    """Calibrated layers of 1,000 weights; the second one has none."""
    return Statistics(
        Metric.MSE,
        Clip.MSE,
        4,
        tuple(
            LayerStatistics(f"l{i}", 0 if i == 1 else 1000, 100, {} if i == 1 else ERRORS, ERRORS, kept_bytes=7)
            for i in range(4)
        ),
    )


def layers_of(form, weight_bits, activation_bits):
    tiers, links = (Tier("edge"), Tier("cloud")), (Link("edge", "cloud", 1e6, 0.0),)
    problem = problem_from_profiles(graph(), profiles(), tiers, links)
    found = with_form(problem, statistics(), form, SECONDS, weight_bits, activation_bits)
    return {layer.name: layer.variants for layer in found.layers}


def test_integer_kernels_hold_bytes_whatever_the_widths_and_send_the_bits_of_activations():
    found = layers_of(RunForm.INT8, (2, 8, 32), (4, 8, 32))["l0"]
    assert [(v.weight_bits, v.activation_bits) for v in found] == [(2, 4), (2, 8), (8, 4), (8, 8)]
    assert {v.weight_bytes for v in found} == {1007}
    assert {v.held_bits for v in found} == {8}
    assert all(v.seconds == {"edge": 0.001} for v in found)
    assert found[0].distortion == ERRORS[2] + ERRORS[4]


def test_packed_weights_are_small_next_to_activations_as_they_are():
    found = layers_of(RunForm.PACKED, (2, 4, 6), (8,))["l0"]
    assert {v.weight_bits: v.weight_bytes for v in found} == {2: 257, 4: 507, 6: 1007}
    assert {v.held_bits for v in found} == {32}
    assert {v.activation_bits for v in found} == {8, 32}


def test_layers_without_weights_have_a_variant_per_width_of_activations():
    assert [(v.weight_bits, v.activation_bits) for v in layers_of(RunForm.INT8, (2, 8), (4, 8))["l1"]] == [
        (4, 4),
        (8, 8),
    ]


def test_layers_that_were_not_measured_in_the_form_run_as_they_are():
    assert layers_of(RunForm.INT8, (8,), (8,))["l3"] == ()


def test_without_narrow_widths_nothing_changes():
    assert not any(layers_of(RunForm.INT8, (16, 32), (8,)).values())
    assert not any(layers_of(RunForm.INT8, (8,), (32,)).values())

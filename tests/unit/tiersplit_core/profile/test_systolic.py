"""Systolic arrays: cycles as SCALE-Sim counts them, and what must hold whatever the layer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs
from tiersplit_core.errors import ProfileError
from tiersplit_core.graph.ir import INPUT, Geometry, Layer, TensorSpec
from tiersplit_core.profile.layers import ProfileKind
from tiersplit_core.profile.systolic import (
    ARRAYS,
    Dataflow,
    Folds,
    Product,
    elements_read,
    folds_of,
    layer_seconds,
    moved_bytes,
    multiplier_passes,
    product_of,
    simulate_array,
)

EYERISS, TPU = ARRAYS["eyeriss"], ARRAYS["tpu"]
BITS = st.sampled_from([2, 4, 6, 8, 16, 32])
HARDWARE = st.builds(
    replace,
    st.just(EYERISS),
    rows=st.integers(1, 64),
    columns=st.integers(1, 64),
    clock_hz=st.floats(1e6, 1e9),
    dataflow=st.sampled_from(Dataflow),
    on_chip_bytes=st.integers(1, 10**7),
    bandwidth=st.floats(1e6, 1e11),
)


def convolution(channels, size, filters, kernel, groups=1):
    geometry = Geometry((kernel, kernel), (1, 1), groups, (channels, size, size), (filters, size, size))
    tensor = TensorSpec("y", "float32", (1, filters, size, size))
    weights = 4 * geometry.weight_elements
    return Layer("conv", "Conv", (INPUT,), (tensor,), macs=geometry.macs, weight_bytes=weights, geometry=geometry)


@st.composite
def convolutions(draw):
    groups = draw(st.sampled_from([1, 1, 2, 8]))
    channels, filters = (groups * draw(st.integers(1, 40)) for _ in range(2))
    return convolution(channels, draw(st.integers(1, 40)), filters, draw(st.sampled_from([1, 3, 7])), groups)


def reads(layer, name="before"):
    channels, height, width = layer.geometry.input_shape
    return {name: channels * height * width}


def test_a_convolution_is_a_product_of_pixels_filters_and_windows():
    assert product_of(convolution(64, 56, 128, 3), batch=2) == Product(2 * 56 * 56, 128, 9 * 64)


def test_a_depthwise_convolution_is_laid_out_as_in_the_published_topologies():
    # "Conv2, 112, 112, 3, 3, 32, 1, 1" of SCALE-Sim's mobilenet.csv: 32 channels and one filter.
    assert product_of(convolution(32, 112, 32, 3, groups=32), batch=1) == Product(112 * 112, 1, 9 * 32)


def test_a_layer_without_geometry_has_its_products_spread_over_its_last_axis():
    tensor = TensorSpec("y", "float32", (1, 197, 768))
    layer = Layer("attention", "MatMul", (INPUT,), (tensor,), macs=197 * 768 * 500)
    assert product_of(layer, batch=3) == Product(3 * 197, 768, 500)


@pytest.mark.parametrize(
    ("dataflow", "folds"),
    [
        # windows 576 down 12 rows, 128 filters across 14 columns, 3136 pixels streamed
        (Dataflow.WEIGHT_STATIONARY, Folds(48 * 10, 2 * 12 + 14 + 3136 - 2)),
        (Dataflow.OUTPUT_STATIONARY, Folds(262 * 10, 2 * 12 + 14 + 576 - 2)),
    ],
)
def test_folds_and_cycles_are_those_of_the_analytic_model(dataflow, folds):
    assert folds_of(Product(3136, 128, 576), replace(EYERISS, dataflow=dataflow)) == folds


def test_multipliers_take_eight_bits():
    assert [multiplier_passes(bits, bits) for bits in (2, 4, 6, 8, 16, 32)] == [1, 1, 1, 1, 4, 16]
    assert multiplier_passes(8, 16) == multiplier_passes(16, 8) == 2


@pytest.mark.parametrize(
    ("weights", "read", "moved"),
    [
        (500, 5000, 5500),  # the weights stay
        (5000, 500, 5500),  # the inputs stay
        (1500, 4000, 1500 + 2 * 4000),  # two portions of weights beat four of inputs
        (4000, 1500, 1500 + 2 * 4000),  # two portions of inputs beat four of weights
    ],
)
def test_what_does_not_fit_half_of_the_chip_moves_once_per_portion(weights, read, moved):
    assert moved_bytes(weights, read, 77, on_chip_bytes=2000) == moved + 77


def test_only_the_first_fold_waits_for_its_data():
    layer = convolution(12, 10, 14, 1)
    seconds = layer_seconds(layer, reads(layer), EYERISS, 8, 8)
    compute, move = (2 * 12 + 14 + 100 - 2) / EYERISS.clock_hz, (12 * 14 + 1200 + 1400) / 1e9
    assert seconds == pytest.approx(compute + move)
    four = convolution(48, 10, 14, 1)
    folded = 4 * (2 * 12 + 14 + 100 - 2) / EYERISS.clock_hz, (48 * 14 + 4800 + 1400) / 1e9
    assert layer_seconds(four, reads(four), EYERISS, 8, 8) == pytest.approx(max(folded) + min(folded) / 4)


def test_the_models_input_moves_as_bytes_whatever_the_bits_of_activations():
    layer = convolution(64, 8, 1, 1)
    assert layer_seconds(layer, reads(layer, INPUT), EYERISS, 8, 8) == layer_seconds(layer, reads(layer), EYERISS, 8, 8)
    assert layer_seconds(layer, reads(layer, INPUT), EYERISS, 8, 2) > layer_seconds(layer, reads(layer), EYERISS, 8, 2)


def test_the_arrays_have_the_performance_of_table_1():
    assert EYERISS.rows * EYERISS.columns * EYERISS.clock_hz == pytest.approx(34e9)
    assert 2 * TPU.rows * TPU.columns * TPU.clock_hz == pytest.approx(96e12)
    assert EYERISS.clock_hz == pytest.approx(200e6, rel=0.02)
    assert TPU.clock_hz == pytest.approx(700e6, rel=0.05)


@given(convolutions(), HARDWARE, BITS, BITS, BITS, st.integers(1, 8))
def test_fewer_bits_are_never_slower_and_below_eight_bits_move_faster_only(layer, hardware, some, other, fixed, batch):
    few, many = sorted((some, other))
    for narrow, wide in (((few, fixed), (many, fixed)), ((fixed, few), (fixed, many))):
        low = layer_seconds(layer, reads(layer), hardware, *narrow, batch)
        assert low <= layer_seconds(layer, reads(layer), hardware, *wide, batch) * (1 + 1e-12)
    if many <= 8:
        unbound = replace(hardware, bandwidth=1e30)
        computed = [layer_seconds(layer, reads(layer), unbound, bits, bits, batch) for bits in (few, many)]
        assert computed[0] == pytest.approx(computed[1], rel=1e-9)


@given(convolutions(), HARDWARE, BITS, BITS, st.integers(1, 8), st.floats(1.0, 100.0))
def test_better_hardware_is_never_slower_and_more_samples_never_faster(layer, hardware, w, a, batch, factor):
    base = layer_seconds(layer, reads(layer), hardware, w, a, batch)
    better = [
        replace(hardware, bandwidth=hardware.bandwidth * factor),
        replace(hardware, clock_hz=hardware.clock_hz * factor),
        replace(hardware, on_chip_bytes=int(hardware.on_chip_bytes * factor)),
    ]
    for other in better:
        assert layer_seconds(layer, reads(layer), other, w, a, batch) <= base * (1 + 1e-12)
    assert layer_seconds(layer, reads(layer), hardware, w, a, batch + 1) >= base


@given(convolutions(), HARDWARE, BITS, BITS, st.integers(1, 8))
def test_the_roofline_is_a_lower_bound(layer, hardware, weight_bits, activation_bits, batch):
    """No layer beats all multipliers at work all the time, nor the transfer of everything once."""
    peak = hardware.rows * hardware.columns * hardware.clock_hz / multiplier_passes(weight_bits, activation_bits)
    activations = batch * (sum(reads(layer).values()) + layer.elements) * activation_bits / 8
    moved = layer.weight_bytes / 32 * weight_bits + activations
    bound = max(batch * layer.macs / peak, moved / hardware.bandwidth)
    assert layer_seconds(layer, reads(layer), hardware, weight_bits, activation_bits, batch) >= bound * (1 - 1e-12)


@given(graphs(), HARDWARE, st.integers(1, 8))
def test_a_simulated_profile_sums_its_layers_and_says_what_was_simulated(graph, hardware, batch):
    found = simulate_array(graph, hardware, [batch, batch], "sha256:d", "near")
    assert (found.kind, found.tier, found.graph, list(found.batches)) == (
        ProfileKind.SIMULATED,
        "near",
        "sha256:d",
        [batch],
    )
    seen = found.batches[batch]
    assert seen.whole.median_s == pytest.approx(sum(timing.median_s for timing in seen.layers.values()))
    for layer in graph.layers:
        expected = layer_seconds(layer, elements_read(graph, layer), hardware, 16, 16, batch)
        assert seen.layers[layer.name].median_s == expected


def test_memory_of_a_profile_is_the_weights_and_the_largest_activations_at_their_bits():
    graph = chain(("a", 0, 4000, 50), ("b", 0, 800, 10))
    assert simulate_array(graph, TPU, [2], "d", bits=(8, 4)).batches[2].memory_bytes == 1200 + 2 * 150 // 2


@pytest.mark.parametrize(
    ("arguments", "path"), [((0, 8), "weight_bits"), ((8, -1), "activation_bits"), ((8, 8, 0), "batch")]
)
def test_widths_and_batch_sizes_below_one_are_refused_by_name(arguments, path):
    with pytest.raises(ProfileError) as caught:
        layer_seconds(convolution(1, 1, 1, 1), {}, EYERISS, *arguments)
    assert caught.value.path == path

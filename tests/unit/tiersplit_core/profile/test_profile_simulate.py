from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs
from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.layers import ProfileKind
from tiersplit_core.profile.simulate import SimulatedTier, simulate, tier_from_mapping

TIER = SimulatedTier("edge", peak_macs=1e6, memory_bytes_per_s=1e3)
SIZES = st.integers(0, 10**7)
TIERS = st.builds(SimulatedTier, st.just("t"), st.floats(1e3, 1e12), st.floats(1e3, 1e12), SIZES, st.floats(0, 1e-3))


def seconds(graph, tier, batch):
    return {name: timing.median_s for name, timing in simulate(graph, tier, [batch], "d").batches[batch].layers.items()}


def test_a_layer_with_much_arithmetic_takes_its_macs_over_the_peak():
    assert seconds(chain(("a", 3_000_000, 0, 1)), TIER, 2) == {"a": pytest.approx(6.0)}


def test_a_layer_with_much_traffic_takes_inputs_outputs_and_weights_over_the_bandwidth():
    # 100 floats in, 50 out: 600 bytes per sample, and 4000 bytes of weights once per batch.
    assert seconds(chain(("a", 10, 4000, 50)), TIER, 3) == {"a": pytest.approx((3 * 600 + 4000) / 1e3)}


def test_activations_that_fit_on_the_chip_are_not_charged_and_the_rest_is():
    graph = chain(("a", 0, 4000, 50))
    assert seconds(graph, replace(TIER, on_chip_bytes=600), 1) == {"a": pytest.approx(4.0)}
    assert seconds(graph, replace(TIER, on_chip_bytes=500), 1) == {"a": pytest.approx(4.1)}


def test_weights_stay_on_the_chip_only_where_all_of_them_and_the_activations_fit():
    graph = chain(("a", 0, 4000, 50), ("b", 0, 1000, 50))
    assert seconds(graph, replace(TIER, on_chip_bytes=5599), 1) == {"a": pytest.approx(4.0), "b": pytest.approx(1.0)}
    assert seconds(graph, replace(TIER, on_chip_bytes=5600), 1) == {"a": 0.0, "b": 0.0}


def test_starting_a_layer_costs_its_overhead():
    assert seconds(chain(("a", 1_000_000, 0, 1)), replace(TIER, layer_overhead_s=0.5), 1) == {"a": pytest.approx(1.5)}


def test_a_simulated_profile_says_so():
    found = simulate(chain(("a", 1, 1, 1)), TIER, [2, 1, 2], "sha256:d")
    assert (found.kind, found.graph, list(found.batches)) == (ProfileKind.SIMULATED, "sha256:d", [1, 2])


@given(graphs(), TIERS, st.integers(1, 64), st.floats(1.0, 100.0))
def test_better_hardware_is_never_slower_and_more_samples_never_faster(graph, tier, batch, factor):
    base = seconds(graph, tier, batch)
    better = [
        replace(tier, peak_macs=tier.peak_macs * factor),
        replace(tier, memory_bytes_per_s=tier.memory_bytes_per_s * factor),
        replace(tier, on_chip_bytes=int(tier.on_chip_bytes * factor)),
    ]
    for other in better:
        assert all(value <= base[name] * (1 + 1e-12) for name, value in seconds(graph, other, batch).items())
    assert all(value >= base[name] for name, value in seconds(graph, tier, batch + 1).items())


@given(graphs(), TIERS, st.integers(1, 64))
def test_no_layer_beats_the_peak(graph, tier, batch):
    for name, value in seconds(graph, tier, batch).items():
        assert value >= batch * graph[name].macs / tier.peak_macs


def test_the_example_tiers_are_read():
    files = sorted((Path(__file__).parents[4] / "examples" / "tiers").glob("*.yaml"))
    assert len(files) >= 2
    for file in files:
        assert tier_from_mapping(yaml.safe_load(file.read_text())).name


GOOD = {"name": "edge", "peakMacsPerSecond": "34G", "memoryBytesPerSecond": "1G", "onChipBytes": "192Ki"}


def test_quantities_are_read_with_their_scales():
    assert tier_from_mapping({**GOOD, "layerOverheadNanoseconds": 5000}) == SimulatedTier(
        "edge", 34e9, 1e9, 196608, 5e-6
    )


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "$"),
        (None, "$"),
        ({**GOOD, "name": ""}, "$.name"),
        ({**GOOD, "peakMacsPerSecond": 0}, "$.peakMacsPerSecond"),
        ({**GOOD, "peakMacsPerSecond": "fast"}, "$.peakMacsPerSecond"),
        ({**GOOD, "peakMacsPerSecond": True}, "$.peakMacsPerSecond"),
        ({**GOOD, "memoryBytesPerSecond": -1}, "$.memoryBytesPerSecond"),
        ({**GOOD, "onChipBytes": 1.5}, "$.onChipBytes"),
        ({**GOOD, "speed": 1}, "$.speed"),
        ({"name": "edge"}, "$.peakMacsPerSecond"),
    ],
)
def test_a_wrong_tier_file_is_refused_by_its_field(value, path):
    with pytest.raises(ProfileError) as caught:
        tier_from_mapping(value)
    assert caught.value.path == path

"""Statistics survive JSON, and a mistake in them is named by its place."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import StatisticsError
from tiersplit_core.quantization.json import statistics_from_json, statistics_to_json
from tiersplit_core.quantization.statistics import BIT_WIDTHS, Clip, LayerStatistics, Metric, Statistics

_AMOUNTS = st.floats(0, 1e9)
_DISTORTIONS = st.one_of(st.just({}), st.fixed_dictionaries(dict.fromkeys(BIT_WIDTHS, _AMOUNTS)))
_WIDTH_RANGES = st.fixed_dictionaries(dict.fromkeys(BIT_WIDTHS, st.tuples(st.floats(-1e9, 0), st.floats(0, 1e9))))
_RANGES = st.dictionaries(st.text(min_size=1, max_size=5), _WIDTH_RANGES, max_size=2)
_COUNTS = st.integers(0, 1 << 40)


def _layers(names: list[str]) -> st.SearchStrategy[tuple[LayerStatistics, ...]]:
    one = [
        st.builds(LayerStatistics, st.just(name), _COUNTS, _COUNTS, _DISTORTIONS, _DISTORTIONS, _RANGES, _COUNTS)
        for name in names
    ]
    return st.tuples(*one)


_STATISTICS = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True).flatmap(
    lambda names: st.builds(
        Statistics,
        metric=st.sampled_from(Metric),
        clip=st.sampled_from(Clip),
        samples=st.integers(1, 4096),
        layers=_layers(names),
        input_distortion=_DISTORTIONS,
        input_ranges=_RANGES,
        means=st.dictionaries(st.text(min_size=1, max_size=5), st.lists(_AMOUNTS, max_size=3).map(tuple), max_size=2),
    )
)


@given(_STATISTICS)
def test_what_is_written_is_read_back(statistics: Statistics) -> None:
    text = json.dumps(statistics_to_json(statistics))
    assert statistics_from_json(json.loads(text), [layer.name for layer in statistics.layers]) == statistics


def _document() -> dict[str, Any]:
    zero = dict.fromkeys(BIT_WIDTHS, 0.0)
    layer = LayerStatistics("conv", 9, 4, zero, zero, {"y": {8: (-1.0, 2.0)}})
    return statistics_to_json(Statistics(Metric.MSE, Clip.MIN_MAX, 1, (layer,)))


def _with(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(_document())
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ([], "$"),
        (_with(lambda top: top.update(format="other")), "$.format"),
        (_with(lambda top: top.update(metric="taste")), "$.metric"),
        (_with(lambda top: top.update(clip=3)), "$.clip"),
        (_with(lambda top: top.update(samples=True)), "$.samples"),
        (_with(lambda top: top.update(means={"x": ["0"]})), "$.means.x[0]"),
        (_with(lambda top: top.pop("layers")), "$.layers"),
        (_with(lambda top: top.update(layers=[])), "$.layers"),
        (_with(lambda top: top["layers"].append(top["layers"][0])), "$.layers"),
        (_with(lambda top: top["layers"][0].update(name="")), "$.layers[0].name"),
        (_with(lambda top: top["layers"][0].update(colour=1)), "$.layers[0]"),
        (_with(lambda top: top["layers"][0].update(weight_elements=-1)), "$.layers[0].weight_elements"),
        (_with(lambda top: top["layers"][0]["weight_distortion"].update({"3": 0.1})), "$.layers[0].weight_distortion"),
        (_with(lambda top: top["layers"][0]["weight_distortion"].pop("2")), "$.layers[0].weight_distortion"),
        (
            _with(lambda top: top["layers"][0]["activation_distortion"].update({"2": -1})),
            "$.layers[0].activation_distortion.2",
        ),
        (
            _with(lambda top: top["layers"][0]["activation_distortion"].update({"2": float("nan")})),
            "$.layers[0].activation_distortion.2",
        ),
        (_with(lambda top: top["layers"][0]["ranges"]["y"].update({"8": [1, 2]})), "$.layers[0].ranges.y.8"),
        (_with(lambda top: top["layers"][0]["ranges"]["y"].update({"8": [1]})), "$.layers[0].ranges.y.8"),
    ],
)
def test_a_mistake_is_refused_with_its_path(document: object, path: str) -> None:
    with pytest.raises(StatisticsError) as caught:
        statistics_from_json(document)
    assert caught.value.path == path


def test_statistics_of_another_graph_are_refused() -> None:
    with pytest.raises(StatisticsError, match="another graph"):
        statistics_from_json(_document(), ["other"])


def test_sixteen_bits_have_no_distortion_and_an_unmeasured_width_is_refused() -> None:
    layer = LayerStatistics("conv", 10, 4, {2: 0.5, 4: 0.25, 6: 0.1, 8: 0.0}, {2: 2.0, 4: 1.0, 6: 0.5, 8: 0.25})
    assert layer.distortion(16, 32) == 0
    assert layer.distortion(2, 8) == 0.75
    with pytest.raises(StatisticsError, match="3 bits"):
        layer.distortion(3, 8)


def test_weights_are_counted_in_whole_bytes_beside_what_is_kept() -> None:
    assert LayerStatistics("conv", 5, 4, {}, {}, kept_bytes=16).weight_bytes(6) == 16 + 4

"""Variants, transmission bits, memory models and the error tolerance as JSON."""

import json

import pytest
from hypothesis import given, settings

from tests.support.problem_documents import document
from tests.support.quantised_problems import quantised
from tiersplit_core.cost.payload import sent_payload_bytes
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.json_fields import parse_json
from tiersplit_core.planning.problem import MemoryModel
from tiersplit_core.planning.problem_json import problem_from_json, problem_to_json

VARIANT = {"weight_bits": 4, "activation_bits": 2, "weight_bytes": 13, "seconds": {"edge": 0.002}, "distortion": 0.5}
AT = "graph.layers[1].variants[0]"


def with_variant(**changes):
    """The document whose second layer has one variant, with some of its fields changed; `...` leaves one out."""
    made = document()
    variant = {key: value for key, value in (VARIANT | changes).items() if value is not ...}
    made["graph"]["layers"][1] |= {"elements": 12, "variants": [variant]}
    return made


@settings(max_examples=50, deadline=None)
@given(quantised(max_layers=4, tiers=3))
def test_a_problem_with_bit_widths_survives_the_way_through_json(problem):
    assert problem_from_json(parse_json(json.dumps(problem_to_json(problem)))) == problem


def test_a_variant_is_what_its_document_says():
    layer = problem_from_json(with_variant()).layers[1]
    assert layer.elements == 12
    (variant,) = layer.variants
    assert (variant.weight_bits, variant.activation_bits, variant.weight_bytes) == (4, 2, 13)
    assert (variant.seconds, variant.distortion) == ({"edge": 0.002}, 0.5)


def test_a_plain_number_of_seconds_is_the_first_tiers():
    variant = problem_from_json(with_variant(seconds=0.25)).layers[1].variants[0]
    assert variant.seconds == {"edge": 0.25}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"weight_bits": 3}, f"{AT}.weight_bits"),
        ({"weight_bits": True}, f"{AT}.weight_bits"),
        ({"activation_bits": ...}, f"{AT}.activation_bits"),
        ({"weight_bytes": -1}, f"{AT}.weight_bytes"),
        ({"seconds": {}}, f"{AT}.seconds"),
        ({"seconds": {"moon": 1.0}}, f"{AT}.seconds.moon"),
        ({"seconds": {"edge": -1.0}}, f"{AT}.seconds.edge"),
        ({"seconds": {"edge": {"1": 1.0}}}, f"{AT}.seconds.edge"),
        ({"distortion": "low"}, f"{AT}.distortion"),
        ({"distortion": -0.1}, f"{AT}.distortion"),
        ({"bits": 4}, f"{AT}.bits"),
    ],
)
def test_every_mistake_in_a_variant_is_refused_with_its_path(changes, named):
    with pytest.raises(ProblemError) as caught:
        problem_from_json(with_variant(**changes))
    assert caught.value.path == named


def test_variants_need_elements():
    given = with_variant()
    del given["graph"]["layers"][1]["elements"]
    with pytest.raises(ProblemError) as caught:
        problem_from_json(given)
    assert caught.value.path == "graph.layers[1].elements"


def test_the_same_bit_widths_twice_are_refused():
    given = with_variant()
    given["graph"]["layers"][1]["variants"] *= 2
    with pytest.raises(ProblemError) as caught:
        problem_from_json(given)
    assert caught.value.path == "graph.layers[1].variants"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (3, "transmission_bits"),
        ({"b": 5}, "transmission_bits.b"),
        ({"z": 8}, "transmission_bits.z"),
        ({"input": 8}, "transmission_bits.input"),
        ({"a": 8}, "graph.layers[0].elements"),
        (8, "graph.layers[0].elements"),
        ("8", "transmission_bits"),
    ],
)
def test_every_mistake_in_transmission_bits_is_refused_with_its_path(value, named):
    given = with_variant() | {"transmission_bits": value}
    if not isinstance(value, dict) and value != 8:
        for layer in given["graph"]["layers"]:
            layer["elements"] = 12
    with pytest.raises(ProblemError) as caught:
        problem_from_json(given)
    assert caught.value.path == named


def test_one_number_of_transmission_bits_is_for_all_layers():
    given = with_variant() | {"transmission_bits": 1}
    for layer in given["graph"]["layers"]:
        layer["elements"] = 12
    assert problem_from_json(given).transmission_bits == {"a": 1, "b": 1, "c": 1}


@pytest.mark.parametrize(("key", "value"), [("memory_model", "paper"), ("memory_model", 1), ("max_distortion", -1)])
def test_an_unknown_memory_model_and_a_negative_tolerance_are_refused(key, value):
    with pytest.raises(ProblemError) as caught:
        problem_from_json(document(**{key: value}))
    assert caught.value.path == key


def test_the_memory_model_of_the_paper_is_read():
    assert problem_from_json(document(memory_model="autosplit")).memory_model is MemoryModel.AUTOSPLIT


def test_elements_are_per_sample_where_seconds_are_per_batch_size():
    given = with_variant(seconds={"edge": {"1": 0.002, "2": 0.003}}) | {"batch": 2}
    for layer in given["graph"]["layers"]:
        layer["seconds"] = {tier: {"1": s, "2": 2 * s} for tier, s in layer["seconds"].items()}
    layer = problem_from_json(given).layers[1]
    assert (layer.elements, layer.variants[0].seconds) == (24, {"edge": 0.003})


@pytest.mark.parametrize(("elements", "bits"), [(100_352, 4), (7, 1), (1_000, 32), (0, 8)])
def test_what_travels_is_the_packed_elements_and_a_header(elements, bits):
    sent = sent_payload_bytes("layer4.0.conv3", elements, bits)
    assert 20 < sent - -(-elements * bits // 8) < 80

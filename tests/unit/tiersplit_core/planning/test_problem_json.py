import json

import pytest
from hypothesis import given, settings

from tests.support.problem_documents import document, spoiled
from tests.support.problems import problems
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.json_fields import parse_json
from tiersplit_core.planning.problem import Objective, Serving
from tiersplit_core.planning.problem_json import problem_from_json, problem_from_text, problem_to_json

LAYER = ("graph", "layers", 1)
BAD = [
    (("graph",), ..., "graph"),
    (("graph",), [], "graph"),
    (("graph", "input_bytes"), ..., "graph.input_bytes"),
    (("graph", "input_bytes"), -1, "graph.input_bytes"),
    (("graph", "input_bytes"), 1.5, "graph.input_bytes"),
    (("graph", "input_bytes"), 2**60, "graph.input_bytes"),
    (("graph", "input_bytes"), True, "graph.input_bytes"),
    (("graph", "input_bytes"), "12", "graph.input_bytes"),
    (("graph", "layers"), [], "graph.layers"),
    (("graph", "outputs"), [], "graph.outputs"),
    (("graph", "outputs"), ["input"], "graph.outputs[0]"),
    (("graph", "outputs"), ["c", "c"], "graph.outputs[1]"),
    (("graph", "nodes"), [], "graph.nodes"),
    ((*LAYER, "name"), "a", "graph.layers[1].name"),
    ((*LAYER, "name"), "input", "graph.layers[1].name"),
    ((*LAYER, "name"), "", "graph.layers[1].name"),
    ((*LAYER, "name"), 7, "graph.layers[1].name"),
    ((*LAYER, "inputs"), [], "graph.layers[1].inputs"),
    ((*LAYER, "inputs"), ["c"], "graph.layers[1].inputs[0]"),
    ((*LAYER, "inputs"), ["a", "b"], "graph.layers[1].inputs[1]"),
    ((*LAYER, "inputs"), ["a", "a"], "graph.layers[1].inputs[1]"),
    ((*LAYER, "inputs"), "a", "graph.layers[1].inputs"),
    ((*LAYER, "output_bytes"), -5, "graph.layers[1].output_bytes"),
    ((*LAYER, "weight_bytes"), ..., "graph.layers[1].weight_bytes"),
    ((*LAYER, "weight_bytes"), None, "graph.layers[1].weight_bytes"),
    ((*LAYER, "seconds", "mdc"), ..., "graph.layers[1].seconds.mdc"),
    ((*LAYER, "seconds", "mdc"), -0.1, "graph.layers[1].seconds.mdc"),
    ((*LAYER, "seconds", "mdc"), float("nan"), "graph.layers[1].seconds.mdc"),
    ((*LAYER, "seconds", "mdc"), float("inf"), "graph.layers[1].seconds.mdc"),
    ((*LAYER, "seconds", "mdc"), 1e12, "graph.layers[1].seconds.mdc"),
    ((*LAYER, "seconds", "moon"), 1.0, "graph.layers[1].seconds.moon"),
    ((*LAYER, "seconds"), {"edge": {"1": 1.0}, "mdc": 1.0, "cloud": 1.0}, "graph.layers[1].seconds"),
    ((*LAYER, "seconds"), {t: {"1": 1.0} for t in ("edge", "mdc", "cloud")}, "graph.layers[1].seconds"),
    ((*LAYER, "variants"), [], "graph.layers[1].variants"),
    ((*LAYER, "colour"), "red", "graph.layers[1].colour"),
    (("tiers",), [{"name": "edge"}], "tiers"),
    (("tiers",), [{"name": f"t{i}"} for i in range(7)], "tiers"),
    (("tiers", 1, "name"), "edge", "tiers[1].name"),
    (("tiers", 0, "memory_bytes"), -1, "tiers[0].memory_bytes"),
    (("tiers", 0, "memory"), 5, "tiers[0].memory"),
    (("tiers", 0, "serving"), 5, "tiers[0].serving"),
    (("tiers", 0, "serving"), {"send_s": -1}, "tiers[0].serving.send_s"),
    (("tiers", 0, "serving"), {"send": 1}, "tiers[0].serving.send"),
    (("links",), [], "links"),
    (("links", 0, "to"), "cloud", "links[0]"),
    (("links", 1, "from"), "edge", "links[1]"),
    (("links", 0, "bandwidth_bps"), 0, "links[0].bandwidth_bps"),
    (("links", 0, "bandwidth_bps"), -1e6, "links[0].bandwidth_bps"),
    (("links", 0, "bandwidth_bps"), 10**400, "links[0].bandwidth_bps"),
    (("links", 0, "latency_s"), -1, "links[0].latency_s"),
    (("links", 0, "latency_s"), ..., "links[0].latency_s"),
    (("objective",), "speed", "objective"),
    (("objective",), ["latency"], "objective"),
    (("raw_input_tier",), "mdc", "raw_input_tier"),
    (("result_tier",), "cloud", "result_tier"),
    (("batch",), 0, "batch"),
    (("batch",), 2.5, "batch"),
    (("transmission_bits",), [8], "transmission_bits"),
    (("stage_seconds",), [], "stage_seconds"),
    (("exits",), [], "exits"),
    (("memory_model",), "lmos", "memory_model"),
    (("resident",), "surface", "resident"),
    (("placement_order",), "any", "placement_order"),
    (("goal",), "latency", "goal"),
]


@pytest.mark.parametrize(("path", "value", "named"), BAD, ids=[f"{i}-{case[2]}" for i, case in enumerate(BAD)])
def test_every_mistake_is_refused_with_its_path(path, value, named):
    with pytest.raises(ProblemError) as caught:
        problem_from_json(spoiled(path, value))
    assert caught.value.path == named
    assert caught.value.reason


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1,", "nul", '{"graph": NaN}', '{"a": Infinity}', "[" * 100_000, '{"graph": 1, "graph": 2}', "1" * 5000],
    ids=range(9),
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ProblemError):
        problem_from_text(text)


@pytest.mark.parametrize("value", [None, 3, "problem", []])
def test_what_is_no_object_is_refused(value):
    with pytest.raises(ProblemError) as caught:
        problem_from_json(value)
    assert caught.value.path == "$"


def test_a_document_becomes_the_problem_that_it_says():
    problem = problem_from_json(document(objective="throughput", result_tier="edge", raw_input_tier="edge"))
    assert [layer.name for layer in problem.layers] == ["a", "b", "c"]
    assert problem.layers[1].inputs == ("a", "input")
    assert problem.tiers[0].memory_bytes == 10_000
    assert problem.tiers[1].memory_bytes is None
    assert problem.objective is Objective.THROUGHPUT
    assert (problem.raw_input_tier, problem.result_tier, problem.batch) == ("edge", "edge", 1)


def test_what_serving_costs_is_nothing_where_it_is_not_given_and_is_written_as_it_is_read():
    given = document()
    given["tiers"][1]["serving"] = {"send_s": 0.003, "receive_s_per_byte": 2e-9}
    problem = problem_from_json(given)
    assert problem.tiers[0].serving == Serving()
    assert problem.tiers[1].serving == Serving(send_s=0.003, receive_s_per_byte=2e-9)
    assert problem_from_json(problem_to_json(problem)) == problem


def test_links_may_stand_in_any_order():
    given = document()
    given["links"].reverse()
    assert problem_from_json(given) == problem_from_json(document())


def test_contract_fields_with_the_only_supported_value_are_accepted():
    given = document(memory_model="working_set", resident="plan", placement_order="forward", transmission_bits=None)
    assert problem_from_json(given) == problem_from_json(document())


def per_batch():
    given = document(batch=3)
    for layer in given["graph"]["layers"]:
        layer["seconds"] = {tier: {"1": s, "2": 3 * s, "4": 5 * s} for tier, s in layer["seconds"].items()}
    return given


def test_seconds_per_batch_size_are_interpolated_and_bytes_scaled():
    problem = problem_from_json(per_batch())
    assert problem.layers[0].seconds["edge"] == pytest.approx(4 * 0.004)
    assert (problem.input_bytes, problem.layers[0].output_bytes, problem.layers[0].weight_bytes) == (3000, 1500, 100)


def test_plain_seconds_and_bytes_hold_at_the_batch_as_given():
    problem = problem_from_json(document(batch=8))
    assert (problem.batch, problem.input_bytes) == (8, 1000)


def test_another_batch_needs_seconds_per_batch():
    assert problem_from_json(per_batch(), 4).input_bytes == 4000
    with pytest.raises(ProblemError) as caught:
        problem_from_json(document(), 4)
    assert caught.value.path == "batch"


@pytest.mark.parametrize("sizes", [{}, {"0": 1.0}, {"x": 1.0}, {"1": -1.0}, {"1": 1.0, "01": 2.0}])
def test_bad_batch_sizes_are_refused(sizes):
    given = per_batch()
    given["graph"]["layers"][0]["seconds"]["edge"] = sizes
    with pytest.raises(ProblemError) as caught:
        problem_from_json(given)
    assert caught.value.path.startswith("graph.layers[0].seconds.edge")


@settings(max_examples=50, deadline=None)
@given(problems())
def test_a_problem_survives_the_way_through_json(problem):
    assert problem_from_json(parse_json(json.dumps(problem_to_json(problem)))) == problem

import copy
import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs, profiles
from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.json import profile_from_json, profile_to_json
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.serving import AtHand, Overhead, ServingProfile
from tiersplit_core.quantization.forms import RunForm

GRAPH = chain(("a", 10, 10, 10), ("b", 10, 10, 10))
PROFILE = TierProfile(
    tier="edge",
    kind=ProfileKind.MEASURED,
    graph="sha256:abc",
    threads=2,
    machine={"cpu": "some"},
    batches={
        1: BatchProfile({"a": Timing(0.1, 0.01, 5), "b": Timing(0.2)}, Timing(0.3), {"s": Timing(0.31)}, 4096),
        8: BatchProfile(
            {"a": Timing(0.8), "b": Timing(1.6)},
            Timing(2.4),
            forms={RunForm.INT8: {"a": Timing(0.3, 0.02, 4), "b": Timing(0.7)}},
        ),
    },
    slowdown=4.0,
    base_bytes=70_000_000,
    serving=ServingProfile(
        Overhead(0.002, 1e-9), Overhead(0.001), Overhead(0.0015), Overhead(0.0008), AtHand(0.5, 0.001, 0.002)
    ),
)


@given(st.data())
def test_a_profile_is_read_back_as_it_was_written(data):
    graph = data.draw(graphs())
    profile = data.draw(profiles(graph))
    again = json.loads(json.dumps(profile_to_json(profile)))
    assert profile_from_json(again, graph, profile.graph) == profile


def test_what_serving_costs_is_read_back_and_may_be_missing():
    value = profile_to_json(PROFILE)
    assert profile_from_json(json.loads(json.dumps(value)), GRAPH) == PROFILE
    del value["serving"]["at_hand"]
    assert profile_from_json(value, GRAPH).serving == replace(PROFILE.serving, at_hand=None)
    assert profile_to_json(profile_from_json(value, GRAPH)) == value
    del value["serving"]
    assert profile_from_json(value, GRAPH).serving is None


def test_seconds_in_quantised_forms_are_written_only_where_there_are_any():
    first, second = profile_to_json(PROFILE)["batches"]
    assert "forms" not in first
    assert second["forms"]["int8"]["a"] == {"median_s": 0.3, "spread_s": 0.02, "runs": 4}


def test_how_a_model_was_measured_that_did_not_fit_is_read_back_and_written_only_then():
    first = replace(PROFILE.batches[1], chunks=3, unheld={"b": 5000})
    value = json.loads(json.dumps(profile_to_json(replace(PROFILE, batches={**PROFILE.batches, 1: first}))))
    assert profile_from_json(value, GRAPH).batches == {**PROFILE.batches, 1: first}
    assert "chunks" not in value["batches"][1]
    assert "unheld" not in value["batches"][1]


def test_a_form_may_lack_layers_that_the_tier_cannot_hold_in_it():
    value = changed("batches", 1, "forms", "int8", "a", to=KeyError)
    assert profile_from_json(value, GRAPH).batches[8].forms[RunForm.INT8].keys() == {"b"}


def changed(*path, to):
    value = copy.deepcopy(profile_to_json(PROFILE))
    at = value
    for key in path[:-1]:
        at = at[key]
    if to is KeyError:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return value


MISTAKES = [
    (("format",), "tiersplit.profile.v2", "$.format"),
    (("format",), KeyError, "$.format"),
    (("kind",), "guessed", "$.kind"),
    (("kind",), ["measured"], "$.kind"),
    (("tier",), "", "$.tier"),
    (("tier",), KeyError, "$.tier"),
    (("graph",), 7, "$.graph"),
    (("threads",), 0, "$.threads"),
    (("threads",), True, "$.threads"),
    (("threads",), 1.5, "$.threads"),
    (("slowdown",), 0, "$.slowdown"),
    (("slowdown",), -1.0, "$.slowdown"),
    (("slowdown",), math.inf, "$.slowdown"),
    (("machine",), [], "$.machine"),
    (("machine", "cpu"), 3, "$.machine.cpu"),
    (("base_bytes",), -1, "$.base_bytes"),
    (("batches",), [], "$.batches"),
    (("batches",), {}, "$.batches"),
    (("batches", 0), 3, "$.batches[0]"),
    (("batches", 0, "batch"), 0, "$.batches[0].batch"),
    (("batches", 0, "batch"), 2**30, "$.batches[0].batch"),
    (("batches", 1, "batch"), 1, "$.batches[1].batch"),
    (("batches", 1, "layers", "a", "median_s"), math.nan, "$.batches[1].layers.a.median_s"),
    (("batches", 1, "layers", "a", "median_s"), -0.1, "$.batches[1].layers.a.median_s"),
    (("batches", 1, "layers", "a", "median_s"), "0.1", "$.batches[1].layers.a.median_s"),
    (("batches", 1, "layers", "a", "median_s"), KeyError, "$.batches[1].layers.a.median_s"),
    (("batches", 1, "layers", "a", "spread_s"), -1, "$.batches[1].layers.a.spread_s"),
    (("batches", 1, "layers", "a", "runs"), 0, "$.batches[1].layers.a.runs"),
    (("batches", 1, "layers", "a", "mean_s"), 1, "$.batches[1].layers.a.mean_s"),
    (("batches", 1, "layers", "a"), KeyError, "$.batches[1].layers"),
    (("batches", 1, "layers", "c"), {"median_s": 1}, "$.batches[1].layers.c"),
    (("batches", 0, "segments", "s"), 1, "$.batches[0].segments.s"),
    (("batches", 0, "whole"), KeyError, "$.batches[0].whole"),
    (("batches", 0, "memory_bytes"), 1.5, "$.batches[0].memory_bytes"),
    (("batches", 0, "forms"), [], "$.batches[0].forms"),
    (("batches", 1, "forms", "float"), {}, "$.batches[1].forms.float"),
    (("batches", 1, "forms", "int8"), 3, "$.batches[1].forms.int8"),
    (("batches", 1, "forms", "int8", "c"), {"median_s": 1}, "$.batches[1].forms.int8.c"),
    (("batches", 1, "forms", "int8", "b", "median_s"), -1, "$.batches[1].forms.int8.b.median_s"),
    (("batches", 0, "chunks"), 0, "$.batches[0].chunks"),
    (("batches", 0, "unheld"), [], "$.batches[0].unheld"),
    (("batches", 0, "unheld"), {"c": 3}, "$.batches[0].unheld.c"),
    (("batches", 0, "unheld"), {"a": -1}, "$.batches[0].unheld.a"),
    (("serving",), 3, "$.serving"),
    (("serving", "send"), KeyError, "$.serving.send"),
    (("serving", "queue"), {}, "$.serving.queue"),
    (("serving", "send", "fixed_s"), -0.1, "$.serving.send.fixed_s"),
    (("serving", "send", "s_per_byte"), KeyError, "$.serving.send.s_per_byte"),
    (("serving", "send", "seconds"), 1, "$.serving.send.seconds"),
    (("serving", "at_hand", "processors"), 1, "$.serving.at_hand.processors"),
    (("serving", "at_hand", "request_s"), -1, "$.serving.at_hand.request_s"),
    (("serving", "at_hand", "send_s"), 1, "$.serving.at_hand.send_s"),
    (("serving", "at_hand"), None, "$.serving.at_hand"),
    (("colour",), "red", "$.colour"),
]


@pytest.mark.parametrize(("path", "to", "where"), MISTAKES)
def test_a_mistake_is_named_by_its_json_path(path, to, where):
    with pytest.raises(ProfileError) as caught:
        profile_from_json(changed(*path, to=to), GRAPH)
    assert caught.value.path == where


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_what_is_no_profile_is_refused(value):
    with pytest.raises(ProfileError):
        profile_from_json(value)


def test_a_profile_of_another_graph_is_refused_by_both_names():
    with pytest.raises(ProfileError, match=r"sha256:abc.*sha256:other"):
        profile_from_json(profile_to_json(PROFILE), GRAPH, "sha256:other")

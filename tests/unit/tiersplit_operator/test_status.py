"""The status: valid, small, and written only when there is something to say."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from tests.support.operator_facts import NOW, PLAN, artifact, final, given, serving, settled
from tiersplit_api.v1alpha1.status import Status
from tiersplit_operator.facts import AdaptationView, LinkSeen, Move, StageSeen
from tiersplit_operator.status import MAX_BYTES, MOVES_S, QUIET_S, has_drifted, is_news, next_status, pause_s

OTHER = "sha256:" + "b" * 64


def view(**fields):
    known = {
        "bundle": "sha256:" + "c" * 64,
        "selected": PLAN,
        "split": "edge:2,cloud:3",
        "stages": (StageSeen("edge", 2, 98_304), StageSeen("cloud", 3)),
        "plans": 3,
        "gap": 0.0123,
        "selectable": frozenset({PLAN}),
        "expected_s": 0.0421,
        "observed_s": 0.05,
        "links": (LinkSeen("edge", "mdc", 9.6e6, 0.04), LinkSeen("mdc", "cloud", 0.0, 0.05)),
        "loads": {"edge": 1.0, "mdc": 1.2, "cloud": 2.0},
        "nodes": {PLAN: 2},
        "moves": (Move(NOW, PLAN, "the link is slower"),),
    }
    return AdaptationView(**{**known, **fields})


def status(seen=None, before=None):
    body = given()
    if before is not None:
        body["status"] = before
    known = replace(serving(body=body), adaptation=seen or view())
    return next_status(settled(known, artifact("plan", outcome=final())))


def test_it_is_what_the_definition_allows_and_says_what_people_ask():
    found = status()
    Status.model_validate(found)
    assert found["plan"]["split"] == "edge:2,cloud:3"
    assert found["plan"]["latency"] == "42.1 ms"
    assert found["surface"] == {
        "plans": 3,
        "selectable": 1,
        "bundle": artifact("plan").reference,
        "gap": "1.23%",
    }
    assert [link["bandwidth"] for link in found["links"]] == ["9600000", "0"]
    assert found["nodes"] == [{"plan": PLAN, "nodes": 2}]
    assert found["observedGeneration"] == 1


def test_the_plans_accuracy_bits_and_form_are_told_where_they_are_known():
    plan = status(view(accuracy=0.978, bits="W8A8", form="int8"))["plan"]
    assert (plan["accuracy"], plan["bits"], plan["form"]) == ("97.80%", "W8A8", "int8")
    Status.model_validate(status(view(accuracy=1.0)))
    assert not {"accuracy", "bits", "form"} & status()["plan"].keys()
    own = status(view(accuracy=-1e300))
    Status.model_validate(own)
    assert own["plan"]["accuracy"] == "-1e+302%", "a user's own function may return anything"


def test_the_same_facts_give_the_same_status_and_nothing_is_written():
    found = status()
    again = status(before=found)
    assert again == found
    assert not is_news(found, again)
    assert not has_drifted(found, again)


NEWS = {
    "another plan": {"selected": OTHER},
    "observations fail": {"fallback": "Prometheus does not answer"},
}


@pytest.mark.parametrize("case", NEWS)
def test_people_need_not_wait_for_news(case):
    found = status()
    assert is_news(found, status(view(**NEWS[case]), found))


def test_a_heads_own_move_is_written_soon_but_is_no_news():
    found = status()
    moved = view(moves=(Move(NOW + timedelta(seconds=9), OTHER, "its link is faster", node="edge-7"),))
    after = status(moved, found)
    assert not is_news(found, after)
    assert (pause_s(found, after), pause_s(found, found)) == (MOVES_S, None)
    assert pause_s(found, status(view(observed_s=0.2), found)) == QUIET_S
    assert pause_s(found, status(view(selected=OTHER), found)) == 0.0


DRIFTS = {
    "a link by 5%": (
        {"links": (LinkSeen("edge", "mdc", 9.6e6 * 1.05, 0.04), LinkSeen("mdc", "cloud", 0.0, 0.05))},
        False,
    ),
    "a link by 20%": (
        {"links": (LinkSeen("edge", "mdc", 9.6e6 * 1.2, 0.04), LinkSeen("mdc", "cloud", 0.0, 0.05))},
        True,
    ),
    "latency by 4 ms": ({"observed_s": 0.054}, False),
    "latency twofold": ({"observed_s": 0.1}, True),
    "a load by 5 points": ({"loads": {"edge": 1.05, "mdc": 1.2, "cloud": 2.0}}, False),
    "a load threefold": ({"loads": {"edge": 3.0, "mdc": 1.2, "cloud": 2.0}}, True),
    "another head": ({"nodes": {PLAN: 3}}, True),
}


@pytest.mark.parametrize("case", DRIFTS)
def test_a_drift_of_more_than_a_tenth_is_worth_a_write_but_no_news(case):
    change, worth = DRIFTS[case]
    found = status()
    after = status(view(**change), found)
    assert has_drifted(found, after) is worth
    assert not is_news(found, after)


def test_the_last_20_moves_are_kept_over_operators():
    old = [Move(NOW - timedelta(minutes=i), PLAN, f"old {i}") for i in range(1, 30)]
    before = status(view(moves=tuple(old)))
    assert len(before["history"]) == 20
    after = status(view(moves=(Move(NOW, OTHER, "new", node="edge-1"),)), before)
    assert len(after["history"]) == 20
    assert after["history"][0]["reason"] == "edge-1: new"
    assert after["history"][1]["reason"] == "old 1"


@drawn(st.integers(0, 40), st.integers(0, 3000), st.floats(0, 1e15), st.floats(0, 1e6))
def test_it_is_never_larger_than_16_kib(moves, length, bandwidth, seconds):
    seen = view(
        moves=tuple(Move(NOW - timedelta(seconds=i), PLAN, "x" * length) for i in range(moves)),
        fallback="y" * length,
        split="z" * min(length, 253),
        links=tuple(LinkSeen("a" * 16, "b" * 16, bandwidth, seconds) for _ in range(5)),
    )
    found = status(seen)
    assert len(json.dumps(found)) <= MAX_BYTES
    Status.model_validate(found)


def test_what_nothing_is_known_about_stays_as_it_stood():
    found = status()
    body = given()
    body["status"] = found
    silent = replace(serving(body=body), adaptation=None)
    after = next_status(settled(silent, artifact("plan", outcome=final())))
    assert after["plan"] == found["plan"]
    assert after["history"] == found["history"]

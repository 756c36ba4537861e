"""What planning came to survives its annotation, and an annotation that is none says which field is wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.errors import BundleError
from tiersplit_operator.plan_outcome import ANNOTATION, PlanOutcome

counts = st.integers(0, 10**9)
names = st.text(max_size=8)
measures = st.none() | st.floats(allow_nan=False, allow_infinity=False)
outcomes = st.builds(
    PlanOutcome,
    settled=st.booleans(),
    plans=counts,
    round=counts,
    off=st.floats(0, 1e6),
    uncut=counts,
    unmeasured=st.dictionaries(names, st.lists(names, max_size=3).map(tuple), max_size=3),
    base_bytes=st.dictionaries(names, counts, max_size=3),
    unrated=counts,
    quantised=counts,
    accuracy=measures,
    whole=measures,
)
GOOD = json.loads(PlanOutcome(True, 3, 2, 0.04, unmeasured={"edge": ("s1",)}, base_bytes={"edge": 2**26}).to_text())


@given(outcomes)
def test_what_is_written_is_read_again(outcome):
    assert PlanOutcome.read(outcome.to_text()) == outcome


def test_what_a_later_version_says_besides_is_left():
    assert PlanOutcome.read(json.dumps(GOOD | {"colour": "red"})) == PlanOutcome.read(json.dumps(GOOD))


def test_what_may_be_left_out_has_a_default():
    assert PlanOutcome.read('{"settled": false, "plans": 1, "round": 1}') == PlanOutcome(False, 1, 1)


WRONG = {
    "no number of plans": ({"plans": None}, "plans"),
    "a fraction of a plan": ({"plans": 1.5}, "plans"),
    "a truth as a number": ({"round": True}, "round"),
    "a number as a truth": ({"settled": 1}, "settled"),
    "fewer than none": ({"uncut": -1}, "uncut"),
    "a distance that is no number": ({"off": float("nan")}, "off"),
    "an endless accuracy": ({"whole": float("inf")}, "whole"),
    "an accuracy in words": ({"accuracy": "97%"}, "accuracy"),
    "a distance in words": ({"off": "4%"}, "off"),
    "one segment in place of a list": ({"unmeasured": {"edge": "s1"}}, "unmeasured.edge"),
    "a segment that is a number": ({"unmeasured": {"edge": [1]}}, "unmeasured.edge"),
    "no tiers": ({"unmeasured": ["s1"]}, "unmeasured"),
    "a size in words": ({"base_bytes": {"edge": "64Mi"}}, "base_bytes.edge"),
    "no object of sizes": ({"base_bytes": 3}, "base_bytes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_field_that_is_wrong_is_named(case):
    change, field = WRONG[case]
    with pytest.raises(BundleError, match="plan-") as raised:
        PlanOutcome.read(json.dumps(GOOD | change))
    assert raised.value.path == f"{ANNOTATION}.{field}"


@pytest.mark.parametrize("text", ["", "settled", "[]", "3", "null", "[" * 5000])
def test_what_is_no_outcome_at_all_is_an_error_of_the_annotation(text):
    with pytest.raises(BundleError) as raised:
        PlanOutcome.read(text)
    assert raised.value.path == ANNOTATION

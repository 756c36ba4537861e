"""Whether a live object still is what was applied."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator_context import context
from tiersplit_operator.comparison import APPLIED, contains, stamped
from tiersplit_operator.resources.services import front_service
from tiersplit_operator.resources.workloads import workload

CASES = {
    "more fields": ({"a": 1, "b": 2}, {"a": 1}, True),
    "another value": ({"a": 2}, {"a": 1}, False),
    "a field that is gone": ({}, {"a": 1}, False),
    "a quantity written otherwise": ({"cpu": "1"}, {"cpu": "1000m"}, True),
    "another quantity": ({"cpu": "2"}, {"cpu": "1000m"}, False),
    "an empty value left out": ({}, {"a": ""}, True),
    "false left out": ({}, {"a": False}, True),
    "true left out": ({}, {"a": True}, False),
    "another's container": ({"c": [{"name": "x"}, {"name": "mine", "i": 1}]}, {"c": [{"name": "mine", "i": 1}]}, True),
    "mine is gone": ({"c": [{"name": "x"}]}, {"c": [{"name": "mine"}]}, False),
    "an argument more": ({"args": ["a", "b"]}, {"args": ["a"]}, False),
    "arguments in another order": ({"args": ["b", "a"]}, {"args": ["a", "b"]}, False),
    "a list where none was": ({"args": None}, {"args": ["a"]}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_contains(case):
    live, wanted, expected = CASES[case]
    assert contains(live, wanted) is expected


def test_a_field_that_is_no_longer_wanted_is_seen_by_the_stamp():
    service = front_service(context())
    less = copy.deepcopy(service)
    del less["spec"]["ports"][0]["appProtocol"]
    assert contains(service, less)
    assert not contains(stamped(service), stamped(less))


def test_the_stamp_depends_on_the_object_alone():
    service = front_service(context())
    assert stamped(service) == stamped(copy.deepcopy(service))
    assert APPLIED not in service["metadata"].get("annotations", {})


TREES = st.recursive(
    st.one_of(st.integers(), st.text(max_size=5), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=12,
)


@given(TREES)
def test_everything_contains_itself(tree):
    assert contains(tree, tree)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_workload_contains_itself_with_the_api_servers_defaults(position):
    made = context()
    wanted = stamped(workload(made, made.resource.spec.tiers[position], 2**27))
    live = copy.deepcopy(wanted)
    live["spec"]["progressDeadlineSeconds"] = 600
    live["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    live["spec"]["template"]["spec"]["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    assert contains(live, wanted)
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    assert not contains(live, wanted)

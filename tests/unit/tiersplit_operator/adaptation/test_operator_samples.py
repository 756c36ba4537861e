"""From Prometheus' answers to what is believed of each resource."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adaptation import KEY, PLACES
from tiersplit_operator.adaptation.queries import AGE, KIND_LABEL, VALUE, Metric, default_query
from tiersplit_operator.adaptation.samples import MAX_AGE_S, Sample, by_resource, joined, of_resource
from tiersplit_operator.facts import Key

LINK = PLACES[0]


def pair(value, age_s=1.0, *, namespace="shop", name="net", metric=Metric.BANDWIDTH, place=LINK):
    """Both elements of a default query's answer about one place."""
    named = {"tier": place[0]} if metric is Metric.LOAD else {"source": place[0], "target": place[1]}
    labels = {"namespace": namespace, "splitdeployment": name, **named}
    return [Sample(labels | {KIND_LABEL: VALUE}, value), Sample(labels | {KIND_LABEL: AGE}, age_s)]


def test_each_resource_gets_its_own_numbers_out_of_one_answer():
    found = by_resource(Metric.BANDWIDTH, [*pair(1e6), *pair(2e6, name="other"), *pair(3e6, namespace="far")])
    values = {key: seen.values[Metric.BANDWIDTH, LINK] for key, seen in found.items()}
    assert values == {KEY: 1e6, Key("shop", "other"): 2e6, Key("far", "net"): 3e6}
    assert all(seen.doubts == () for seen in found.values())


@pytest.mark.parametrize(
    ("metric", "value", "age_s", "words"),
    [
        (Metric.BANDWIDTH, math.nan, 1.0, "nan, which cannot be"),
        (Metric.BANDWIDTH, math.inf, 1.0, "inf, which cannot be"),
        (Metric.BANDWIDTH, -1.0, 1.0, "-1, which cannot be"),
        (Metric.BANDWIDTH, 1e300, 1.0, "1e+300, which cannot be"),
        (Metric.LATENCY, -0.001, 1.0, "which cannot be"),
        (Metric.LATENCY, 1e6, 1.0, "which cannot be"),
        (Metric.LOAD, 0.0, 1.0, "which cannot be"),
        (Metric.BANDWIDTH, 1e6, MAX_AGE_S + 1, "31 s old"),
        (Metric.BANDWIDTH, 1e6, math.inf, "has no age"),
        (Metric.BANDWIDTH, 1e6, math.nan, "has no age"),
    ],
)
def test_what_cannot_be_or_is_old_is_left_out_and_said(metric, value, age_s, words):
    place = ("edge",) if metric is Metric.LOAD else LINK
    seen = by_resource(metric, pair(value, age_s, metric=metric, place=place))[KEY]
    assert seen.values == {}
    assert len(seen.doubts) == 1
    assert words in seen.doubts[0]


def test_a_value_without_its_age_is_not_believed():
    seen = by_resource(Metric.BANDWIDTH, pair(1e6)[:1])[KEY]
    assert seen.values == {}
    assert "no age" in seen.doubts[0]


@pytest.mark.parametrize("missing", ["namespace", "splitdeployment", "source", "target", KIND_LABEL])
def test_samples_that_lack_a_label_are_about_nobody(missing):
    samples = [
        Sample({key: value for key, value in sample.labels.items() if key != missing}, sample.value)
        for sample in pair(1e6)
    ]
    assert by_resource(Metric.BANDWIDTH, samples) == {}


def test_a_query_may_not_speak_for_others():
    foreign = [Sample({"namespace": "far", "source": "edge", "target": "mdc"}, 5.0)]
    seen = of_resource(Metric.BANDWIDTH, KEY, foreign)
    assert seen.values == {}
    assert "about other resources" in seen.doubts[0]


def test_a_query_of_its_own_needs_no_resource_labels_but_those_of_the_place():
    seen = of_resource(Metric.BANDWIDTH, KEY, [Sample({"source": "edge", "target": "mdc"}, 5e6)])
    assert seen.values == {(Metric.BANDWIDTH, LINK): 5e6}
    assert "labels tier" in of_resource(Metric.LOAD, KEY, [Sample({}, 1.0)]).doubts[0]


def test_joining_keeps_every_number_and_every_doubt():
    good = by_resource(Metric.BANDWIDTH, pair(1e6))[KEY]
    bad = by_resource(Metric.LOAD, pair(math.nan, metric=Metric.LOAD, place=("edge",)))[KEY]
    both = joined([good, bad])
    assert both.values == good.values
    assert both.doubts == bad.doubts


@given(
    st.lists(
        st.builds(
            Sample,
            st.dictionaries(
                st.sampled_from(["namespace", "splitdeployment", "source", "target", "tier", KIND_LABEL]),
                st.sampled_from(["", "a", VALUE, AGE]),
            ),
            st.floats(),
        )
    ),
    st.sampled_from(Metric),
)
def test_no_answer_whatever_breaks_it_or_yields_a_number_that_cannot_be(samples, metric):
    for seen in (*by_resource(metric, samples).values(), of_resource(metric, Key("a", "a"), samples)):
        assert all(math.isfinite(value) and value >= 0 for value in seen.values.values())


@pytest.mark.parametrize("metric", Metric)
def test_the_default_query_asks_for_all_resources_and_for_ages(metric):
    query = default_query(metric)
    assert "namespace, splitdeployment" in query
    assert "timestamp(" in query

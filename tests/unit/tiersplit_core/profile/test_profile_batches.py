from dataclasses import replace
from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import graphs, profiles
from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.batches import at_batch, form_seconds, interpolate, layer_seconds
from tiersplit_core.quantization.forms import RunForm

POINTS = st.dictionaries(st.integers(1, 128), st.floats(0, 100), min_size=1, max_size=7)


@given(POINTS, st.integers(1, 300))
def test_between_measured_sizes_it_is_numpys_polyline(points, batch):
    sizes = sorted(points)
    found = interpolate(points, batch)
    if sizes[0] <= batch <= sizes[-1]:
        assert isclose(found, np.interp(batch, sizes, [points[size] for size in sizes]), rel_tol=1e-9, abs_tol=1e-12)
    assert found >= 0


@given(POINTS)
def test_measured_sizes_are_answered_as_measured(points):
    assert {size: interpolate(points, size) for size in points} == points


@given(st.floats(1e-6, 10), st.floats(0, 10), st.sets(st.integers(1, 64), min_size=2), st.integers(1, 512))
def test_a_straight_line_goes_on_above_what_was_measured(slope, start, sizes, batch):
    line = {size: start + slope * size for size in sizes}
    if batch >= min(sizes):
        assert isclose(interpolate(line, batch), start + slope * batch, rel_tol=1e-6)


def test_below_the_smallest_size_and_with_a_single_one_seconds_are_proportional():
    assert interpolate({8: 4.0}, 2) == 1.0
    assert interpolate({8: 4.0}, 16) == 8.0
    assert interpolate({8: 4.0, 16: 5.0}, 4) == 2.0


@pytest.mark.parametrize(("points", "batch"), [({}, 1), ({1: 1.0}, 0), ({1: 1.0}, -3)])
def test_nothing_measured_or_no_batch_is_refused(points, batch):
    with pytest.raises(ProfileError):
        interpolate(points, batch)


@given(st.data())
def test_a_profile_between_two_batches_has_every_layer_between_them(data):
    graph = data.draw(graphs())
    profile = data.draw(profiles(graph, sizes=(2, 6)))
    low, middle, high = (layer_seconds(profile, batch) for batch in (2, 3, 6))
    assert middle.keys() == graph.index.keys()
    for name, value in middle.items():
        assert isclose(value, 0.75 * low[name] + 0.25 * high[name], rel_tol=1e-9, abs_tol=1e-15)
    assert at_batch(profile, 3).memory_bytes == 3000


@given(st.data())
def test_seconds_in_a_quantised_form_are_interpolated_like_the_others(data):
    graph = data.draw(graphs())
    profile = data.draw(profiles(graph, sizes=(2, 6), forms={RunForm.INT8}))
    low, middle, high = (form_seconds(profile, RunForm.INT8, batch) for batch in (2, 3, 6))
    assert middle.keys() == graph.index.keys()
    for name, value in middle.items():
        assert isclose(value, 0.75 * low[name] + 0.25 * high[name], rel_tol=1e-9, abs_tol=1e-15)


@given(st.data(), st.integers(1, 9))
def test_a_form_that_was_not_measured_has_no_seconds_and_the_float_one_has_those_of_layers(data, batch):
    profile = data.draw(profiles(data.draw(graphs()), forms={RunForm.INT8}))
    assert form_seconds(profile, RunForm.PACKED, batch) == {}
    assert form_seconds(profile, RunForm.FLOAT, batch) == layer_seconds(profile, batch)


@given(st.data())
def test_where_a_form_did_not_fit_a_batch_size_it_has_no_seconds_there(data):
    profile = data.draw(profiles(data.draw(graphs()), forms={RunForm.INT8}))
    batches = {**profile.batches, 4: replace(profile.batches[4], forms={})}
    assert form_seconds(replace(profile, batches=batches), RunForm.INT8, 4) == {}

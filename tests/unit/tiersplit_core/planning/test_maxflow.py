"""Minimum cuts with capacities that span many magnitudes, against the enumeration of all cuts."""

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiersplit_core.planning.maxflow import MAX_ROUNDS, SINK, SOURCE, cuts, network_of

RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CAPACITIES = st.one_of(st.just(0.0), st.floats(-12, 6).map(lambda exponent: 10.0**exponent))


@st.composite
def arcs(draw):
    """Arcs among up to seven nodes with their capacities; infinite ones leave neither the source nor enter the sink."""
    nodes = draw(st.integers(3, 7))
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)).filter(lambda pair: pair[0] != pair[1])
    made = [
        (tail, head, draw(CAPACITIES if SOURCE in (tail, head) or SINK in (tail, head) else UNBOUNDED))
        for tail, head in draw(st.lists(ends, min_size=1, max_size=14))
    ]
    return nodes, made


UNBOUNDED = st.one_of(CAPACITIES, st.just(np.inf))


def least_cut(nodes, made):
    """The least capacity over all sets of nodes on the sink's side."""
    sides = ((False, True, *rest) for rest in product([False, True], repeat=nodes - 2))
    return min(sum(capacity for tail, head, capacity in made if not side[tail] and side[head]) for side in sides)


def all_cuts(nodes, made, upper):
    tails, heads = (np.array([arc[i] for arc in made], dtype=np.int64) for i in (0, 1))
    return list(cuts(network_of(nodes, tails, heads), np.array([arc[2] for arc in made]), upper))


@RELAXED
@given(arcs(), st.floats(1, 100))
def test_the_last_round_proves_the_least_cut_whatever_magnitudes_capacities_span(network, factor):
    nodes, made = network
    least = least_cut(nodes, made)
    found = all_cuts(nodes, made, max(least * factor, 1e-12))
    assert 1 <= len(found) <= MAX_ROUNDS
    assert min(cut.value for cut in found) == pytest.approx(least, rel=1e-12, abs=1e-24)
    assert max(cut.lower for cut in found) == pytest.approx(least, rel=1e-12, abs=1e-24)


@RELAXED
@given(arcs(), st.floats(1, 100))
def test_every_round_bounds_the_least_cut_from_both_sides(network, factor):
    nodes, made = network
    least = least_cut(nodes, made)
    for cut in all_cuts(nodes, made, max(least * factor, 1e-12)):
        capacity = sum(c for tail, head, c in made if not cut.sink_side[tail] and cut.sink_side[head])
        assert not cut.sink_side[SOURCE]
        assert cut.sink_side[SINK]
        assert cut.value == pytest.approx(capacity, rel=1e-12)
        assert cut.lower <= least * (1 + 1e-12) + 1e-24
        assert cut.value >= least * (1 - 1e-12) - 1e-24


def test_flows_that_fill_the_integers_through_many_arcs_do_not_overflow():
    inner = range(2, 52)
    made = [(SOURCE, node, 1.0) for node in inner] + [(node, SINK, np.inf if node % 2 else 1.0) for node in inner]
    found = all_cuts(52, made, 50.0)
    assert found[-1].value == pytest.approx(50.0, rel=1e-12)
    assert found[-1].lower == pytest.approx(50.0, rel=1e-12)

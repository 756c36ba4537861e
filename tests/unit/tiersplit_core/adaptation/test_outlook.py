"""What plans take now, from their terms alone, against the surface that the terms are from."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.adaptation.outlook import Outlook
from tiersplit_core.planning.look_up import PlanTerms, Surface, SurfaceEntry
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.problem import Link, Objective
from tiersplit_core.planning.surface import Conditions, SurfaceBox

SECONDS = st.one_of(st.just(0.0), st.floats(1e-5, 5.0))
RATES = st.floats(1e3, 1e10)


@st.composite
def terms(draw, tiers, trips):
    sizes = tuple(draw(st.integers(0, 10**8)) if count else 0 for count in trips)
    return PlanTerms(tuple(draw(SECONDS) for _ in range(tiers)), sizes, trips)


@st.composite
def entries(draw, tiers, batches, place):
    trips = tuple(draw(st.integers(0, 2)) for _ in range(tiers - 1))
    fitting = draw(st.sets(st.sampled_from(batches), min_size=1))
    known = {batch: draw(terms(tiers, trips)) for batch in sorted(fitting)}
    return SurfaceEntry(Plan({f"layer{place}": "t0"}), known)


@st.composite
def surfaces(draw):
    tiers = draw(st.integers(1, 4))
    batches = tuple(sorted(draw(st.sets(st.integers(1, 64), min_size=1, max_size=4))))
    found = [draw(entries(tiers, batches, place)) for place in range(draw(st.integers(1, 4)))]
    # Some plan fits at every batch size, as in every surface.
    found.append(SurfaceEntry(Plan({"whole": "t0"}), {b: draw(terms(tiers, (0,) * (tiers - 1))) for b in batches}))
    names = tuple(f"t{i}" for i in range(tiers))
    links = tuple(Link(a, b, 1e6, 0.01) for a, b in pairwise(names))
    box = SurfaceBox(((1e3, 1e10),) * len(links))
    return Surface(draw(st.sampled_from(Objective)), names, links, batches, box, tuple(found), 0.0, "")


@st.composite
def conditions(draw, surface):
    count = len(surface.links)
    rates = tuple(draw(st.one_of(st.just(0.0), RATES)) for _ in range(count))
    loads = tuple(draw(st.floats(0.1, 20.0)) for _ in surface.tiers)
    latency = tuple(draw(SECONDS) for _ in range(count))
    return Conditions(rates, loads, draw(st.integers(1, 128)), latency)


@given(st.data())
def test_an_outlook_says_what_its_surface_says(data):
    surface = data.draw(surfaces())
    at = data.draw(conditions(surface))
    outlook = Outlook({entry.plan.digest: entry.terms for entry in surface.entries}, surface.objective)
    links = [
        LinkEstimate(rate or 1e6, latency, down=not rate)
        for rate, latency in zip(at.bandwidth_bps, at.latency_s or (), strict=True)
    ]
    costs = outlook.costs_s(links, at.load, at.batch)
    assert set(costs) == {entry.plan.digest for entry in surface.entries}
    for digest, cost in costs.items():
        assert cost == pytest.approx(surface.objective_s(digest, at), rel=1e-12)


def test_a_plan_without_terms_costs_more_than_any_other():
    outlook = Outlook({"told": {1: PlanTerms((0.1, 0.2), (1000,), (1,))}, "untold": {}})
    costs = outlook.costs_s([LinkEstimate(8e4, 0.05)], [1.0, 2.0], 1)
    assert costs["untold"] == math.inf
    assert costs["told"] == pytest.approx(0.1 + 2 * 0.2 + 0.1 + 0.05)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan])
def test_a_link_without_a_bandwidth_carries_nothing(rate):
    outlook = Outlook(
        {"far": {1: PlanTerms((0.1, 0.2), (1000,), (1,))}, "near": {1: PlanTerms((1.0, 0.0), (0,), (0,))}}
    )
    costs = outlook.costs_s([LinkEstimate(rate, 0.05)], [1.0, 1.0], 1)
    assert costs == {"far": math.inf, "near": 1.0}

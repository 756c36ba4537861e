"""The fastest accurate plans under several conditions, from accuracies that are measured elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.support.quantised_problems import chain_of_four, like_resnet50, quantised
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.errors import ProblemError
from tiersplit_core.planning.autosplit.accurate import accurate_plans, decided
from tiersplit_core.planning.autosplit.joint import joint_search, solve_accurately
from tiersplit_core.planning.autosplit.ladder import MOST_AT_ONCE, ladder_of
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.plan import Plan
from tiersplit_core.planning.quantised_terms import quantised_terms, runs_on_first_tier
from tiersplit_core.quantization.forms import RunForm

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
OPTIONS = SolverOptions()
MOST_ROUNDS = 40
SPEEDS = (0.1, 0.32, 1.0, 3.2, 10.0)
"""A deployment looks for plans at so many times the bandwidth that it declares."""


def accuracy_of(problem, plan):
    """An accuracy that falls with the distortion of the plan's widths."""
    layers = {layer.name: layer for layer in problem.layers}
    variants = {
        name: {(v.weight_bits, v.activation_bits): v.distortion for v in layer.variants}
        for name, layer in layers.items()
    }
    return 1.0 - sum(variants[name][pair] for name, pair in plan.widths.items())


def at_speeds(problem):
    link = problem.links[0]
    return [replace(problem, links=(replace(link, bandwidth_bps=link.bandwidth_bps * f),)) for f in SPEEDS]


def rated(problems, least):
    """What is found once every plan that is asked for was rated, and how accurate those are."""
    accuracies = {}
    for _ in range(MOST_ROUNDS):
        found = accurate_plans(problems, RunForm.INT8, accuracies, least, OPTIONS)
        if not found.unrated:
            return found.chosen, accuracies
        assert not accuracies.keys() & {plan.digest for plan in found.unrated}, "each plan is rated once"
        accuracies |= {plan.digest: accuracy_of(problems[0], plan) for plan in found.unrated}
    raise AssertionError("rating comes to no end")


@RELAXED
@given(problem=quantised(max_layers=3), least=st.floats(0.0, 1.0))
def test_in_rounds_the_same_is_found_as_at_once(problem, least):
    problem = replace(problem, max_distortion=None)
    chosen, _ = rated([problem], least)
    at_once = solve_accurately(arrays_of(problem), OPTIONS, lambda plan: accuracy_of(problem, plan), least)
    expected = at_once.plan if at_once.plan is not None and at_once.plan.widths else None
    assert [plan.widths for plan in chosen] == ([] if expected is None else [expected.widths])


@RELAXED
@given(problem=quantised(max_layers=3))
def test_what_a_plan_with_widths_costs_is_what_the_search_said(problem):
    problem = replace(problem, max_distortion=None)
    found = solve_accurately(arrays_of(problem), OPTIONS, lambda plan: 1.0, 0.0)
    assume(found.plan is not None)
    terms = quantised_terms(problem, found.plan)
    assert terms is not None, "it fits the memory"
    link_s = sum(
        trips * link.latency_s + 8 * size / link.bandwidth_bps
        for trips, size, link in zip(terms.link_trips, terms.link_bytes, problem.links, strict=True)
    )
    assert sum(terms.compute_s) + link_s == pytest.approx(found.objective_s)


def test_one_plan_may_be_the_best_at_several_bandwidths_and_is_asked_for_once():
    problem = chain_of_four()
    slower = [replace(problem, links=(replace(problem.links[0], bandwidth_bps=1e6 * f),)) for f in (0.99, 1.0, 1.01)]
    asked = accurate_plans(slower, RunForm.INT8, {}, 0.9, OPTIONS).unrated
    assert len({plan.digest for plan in asked}) == len(asked) <= MOST_AT_ONCE
    chosen, accuracies = rated(slower, 0.9)
    assert len(chosen) == 1
    assert accuracies[chosen[0].digest] >= 0.9


@pytest.mark.parametrize("make", [chain_of_four, like_resnet50])
def test_two_rounds_are_enough_for_a_network_at_five_bandwidths(make):
    problem = make()
    ladders = [ladder_of(joint_search(arrays_of(there), OPTIONS), RunForm.INT8) for there in at_speeds(problem)]
    every = {step.plan.digest: accuracy_of(problem, step.plan) for ladder in ladders for step in ladder}
    for least in np.quantile(list(every.values()), (0.0, 0.2, 0.5, 0.9, 1.0)).tolist():
        accuracies = {}
        for _ in range(2):
            accuracies |= {plan.digest: every[plan.digest] for plan in decided(ladders, accuracies, least).unrated}
        found = decided(ladders, accuracies, least)
        assert not found.unrated
        assert all(accuracies[plan.digest] >= least - 1e-9 for plan in found.chosen)


def test_widths_that_a_layer_lacks_are_refused_and_what_does_not_fit_has_no_terms():
    problem = chain_of_four()
    edge = Plan(dict.fromkeys(("c0", "c1", "c2", "c3"), "t0"))
    assert runs_on_first_tier(problem, edge)
    with pytest.raises(ProblemError, match="'c0' cannot run at 3 and 8 bits"):
        quantised_terms(problem, replace(edge, widths={"c0": (3, 8)}))
    small = chain_of_four(memory=300_000)
    assert quantised_terms(small, edge) is None
    assert quantised_terms(chain_of_four(memory=600_000), replace(edge, widths=dict.fromkeys(edge.placement, (2, 2))))

"""The choice by measured accuracy: the fastest candidate first, few measurements, each once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.quantised_problems import chain_of_four, quantised
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.planning.autosplit.choice import Accuracies, bisected, fastest_accurate, that_matter
from tiersplit_core.planning.autosplit.joint import joint_search, solve_accurately
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.solution import Status

RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def searched(problem):
    """The candidates of a problem."""
    return joint_search(arrays_of(problem), SolverOptions()).candidates


def falling(candidate):
    """An accuracy that falls with the distortion alone."""
    return 1.0 - candidate.distortion


@pytest.mark.parametrize("choose", [fastest_accurate, bisected])
@RELAXED
@given(problem=quantised(max_layers=3), least=st.floats(0.0, 1.0))
def test_the_choice_is_the_fastest_candidate_that_is_accurate_enough(choose, problem, least):
    candidates = searched(problem)
    chosen = choose(candidates, Accuracies(falling), least)
    enough = [candidate.objective_s for candidate in candidates if falling(candidate) >= least]
    assert (chosen is None) == (not enough)
    if chosen is not None:
        assert chosen.objective_s == min(enough)
        assert falling(chosen) >= least


def test_candidates_are_measured_from_the_fastest_on_and_no_further_than_needed():
    candidates = searched(chain_of_four())
    seen = []

    def measure(candidate):
        seen.append(candidate.objective_s)
        return falling(candidate)

    chosen = fastest_accurate(candidates, Accuracies(measure), 0.9)
    assert seen == sorted(seen)
    assert seen[-1] == chosen.objective_s
    assert 1 < len(seen) < len(candidates)


def test_what_is_slower_and_errs_more_than_another_is_not_measured():
    candidates = searched(chain_of_four())
    kept = that_matter(candidates)
    accuracies = Accuracies(lambda candidate: 0.0)
    assert fastest_accurate(candidates, accuracies, 1.0) is None
    assert accuracies.measured == len(kept) < len(candidates)
    pairs = [(candidate.objective_s, -candidate.distortion) for candidate in kept]
    assert pairs == sorted(pairs)


def test_bisection_measures_few_candidates_and_returns_a_measured_one():
    candidates = searched(chain_of_four())
    accuracies = Accuracies(falling)
    chosen = bisected(candidates, accuracies, 0.9)
    assert falling(chosen) >= 0.9
    assert accuracies.measured <= len(that_matter(candidates)).bit_length()


def test_the_same_candidate_is_measured_once():
    candidates = searched(replace(chain_of_four(), raw_input_tier="t0"))
    calls = []
    accuracies = Accuracies(lambda candidate: calls.append(candidate) or 0.5)
    first = fastest_accurate(candidates, accuracies, 0.4)
    again = fastest_accurate(candidates, accuracies, 0.4)
    assert len(calls) == accuracies.measured == 1
    assert np.array_equal(first.choice, again.choice)


def test_no_candidate_is_chosen_where_none_is_accurate_enough():
    candidates = searched(chain_of_four())
    assert fastest_accurate(candidates, Accuracies(lambda candidate: 0.1), 0.2) is None


def test_a_plan_is_measured_by_its_widths_and_the_fastest_accurate_one_is_the_answer():
    problem = chain_of_four(raw_input_tier="t0")
    measured = []

    def accuracy(plan):
        measured.append(plan.digest)
        return 1.0 - 0.1 * sum(8 - w for w, _ in plan.widths.values())

    solution = solve_accurately(arrays_of(problem), SolverOptions(), accuracy, 0.8)
    assert 1.0 - 0.1 * sum(8 - w for w, _ in solution.plan.widths.values()) >= 0.8
    assert solution.plan.digest in measured
    assert len(measured) == len(set(measured)) < 10


def test_an_accuracy_that_nothing_reaches_is_infeasible_and_says_how_many_plans_were_measured():
    solution = solve_accurately(arrays_of(chain_of_four()), SolverOptions(), lambda plan: 0.5, 0.9)
    assert solution.status is Status.INFEASIBLE
    assert solution.constraint.startswith("accuracy: none of")


def test_memory_that_nothing_fits_is_named_before_anything_is_measured():
    problem = chain_of_four(memory=1_000, raw_input_tier="t0")
    solution = solve_accurately(arrays_of(problem), SolverOptions(), lambda plan: 1 / 0, 0.9)
    assert "tiers[0].memory_bytes" in solution.constraint


def test_a_measured_accuracy_takes_the_place_of_the_error_tolerance():
    free, bound = (chain_of_four(max_distortion=e) for e in (None, 0.0))
    found = [
        solve_accurately(arrays_of(problem), SolverOptions(), lambda plan: 1 - len(plan.widths) / 10, 0.7).plan
        for problem in (free, bound)
    ]
    assert found[0].widths
    assert found[0] == found[1]

"""The joint search against split-then-quantise and quantise-then-split under the same memory and error budgets."""

from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.quantised_problems import like_resnet50, quantised
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.planning.autosplit import joint
from tiersplit_core.planning.autosplit.joint import joint_search
from tiersplit_core.planning.autosplit.sequential import quantise_then_split, split_then_quantise
from tiersplit_core.planning.options import SolverOptions
from tiersplit_core.planning.problem import Objective

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("sequential", [split_then_quantise, quantise_then_split])
@RELAXED
@given(problem=quantised(max_layers=5, widths=(2, 4, 8), objectives=tuple(Objective)))
def test_the_joint_search_is_never_worse_than_one_decision_after_the_other(sequential, problem):
    arrays = arrays_of(problem)
    _, other = sequential(arrays)
    if other is None:
        return
    best = joint_search(arrays, SolverOptions()).best()
    assert best is not None
    assert best.objective_s <= other.objective_s * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("sequential", [split_then_quantise, quantise_then_split])
@RELAXED
@given(problem=quantised(max_layers=5, widths=(2, 4, 8)))
def test_the_same_holds_where_a_network_has_more_heads_than_are_looked_at(sequential, problem):
    arrays = arrays_of(problem)
    _, other = sequential(arrays)
    with mock.patch.object(joint, "all_heads", return_value=None):
        found = joint_search(arrays, SolverOptions())
    assert not found.provable
    if other is not None:
        assert found.best().objective_s <= other.objective_s * (1 + 1e-9) + 1e-12


def test_the_joint_search_is_faster_with_a_fraction_of_the_memory_on_a_network_like_resnet50():
    arrays = arrays_of(replace(like_resnet50(memory=8 * 2**20), max_distortion=0.2))
    together = joint_search(arrays, SolverOptions()).best()
    _, split_first = split_then_quantise(arrays)
    assert together.objective_s < split_first.objective_s
    assert together.memory_bytes < split_first.memory_bytes / 20

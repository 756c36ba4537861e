"""Problems (7), (8) and (9) against the enumeration of all bit widths, and the activation memory of figure 4."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quantised_problems import chain_of_four, quantised
from tiersplit_core.cost.arrays import arrays_of
from tiersplit_core.cost.widths import width_arrays
from tiersplit_core.planning.autosplit.bit_widths import activation_axis, assign, held_sum, weight_axis
from tiersplit_core.planning.autosplit.exact_widths import Minimised, exact_widths
from tiersplit_core.planning.autosplit.splits import distortions, latencies, memories, split_of
from tiersplit_core.planning.problem import INPUT, Link, MemoryModel, Problem, ProblemLayer, Tier

RELAXED = settings(max_examples=60, deadline=None)


def whole_on_first(problem):
    """The width arrays of a problem, and the split that has every layer on the first tier."""
    arrays = arrays_of(problem)
    widths = width_arrays(arrays)
    return widths, split_of(arrays, widths, np.zeros(arrays.layers, dtype=np.int64))


def every_choice(widths):
    """All combinations of variants that the first tier can run, shape (C, L)."""
    return np.array(list(product(*(np.flatnonzero(able) for able in widths.on_first))))


@RELAXED
@given(quantised(max_layers=3), st.floats(0.0, 1.2))
def test_the_exact_widths_have_the_least_distortion_of_all_that_fit(problem, share):
    widths, split = whole_on_first(problem)
    choices = every_choice(widths)
    memory = memories(widths, split, choices)
    budget = int(share * memory.max())
    fitting = distortions(widths, split, choices)[memory <= budget]
    found = exact_widths(widths, split, budget, np.inf, Minimised.DISTORTION, 10.0)
    assert found.closed
    assert (found.choice is None) == (len(fitting) == 0)
    if found.choice is not None:
        assert memories(widths, split, found.choice[None])[0] <= budget
        assert distortions(widths, split, found.choice[None])[0] == pytest.approx(fitting.min(), rel=1e-6, abs=1e-9)


@RELAXED
@given(quantised(max_layers=3), st.floats(0.0, 1.2), st.floats(0.0, 1.0))
def test_the_exact_widths_are_the_fastest_of_all_that_fit_and_err_little_enough(problem, share, error):
    widths, split = whole_on_first(problem)
    choices = every_choice(widths)
    memory, distortion = memories(widths, split, choices), distortions(widths, split, choices)
    budget, limit = int(share * memory.max()), float(error * distortion.max())
    fitting = latencies(widths, split, choices)[(memory <= budget) & (distortion <= limit)]
    found = exact_widths(widths, split, budget, limit, Minimised.LATENCY, 10.0)
    assert (found.choice is None) == (len(fitting) == 0)
    if found.choice is not None:
        assert latencies(widths, split, found.choice[None])[0] <= fitting.min() * (1 + 1e-8) + 1e-12


@RELAXED
@given(quantised(max_layers=4, chain=True, widths=(2, 4, 6, 8)), st.floats(0.0, 1.2))
def test_activation_widths_of_a_chain_as_the_paper_counts_it_are_the_best_in_any_budget(problem, share):
    axis = activation_axis(width_arrays(arrays_of(problem)))
    members = np.arange(len(problem.layers))
    budget = int(share * axis.sizes.max())
    found = assign(axis, members, members, members, np.zeros_like(members), np.array([budget]))[0]
    for layer, position in enumerate(found):
        fits = axis.sizes[layer] <= budget
        if fits.any():
            assert axis.distortion[layer, position] == axis.distortion[layer][fits].min()


@RELAXED
@given(quantised(max_layers=4, widths=(2, 4, 6, 8)), st.floats(0.0, 1.2))
def test_weights_stay_within_their_budget_and_a_larger_budget_never_errs_more(problem, share):
    axis = weight_axis(width_arrays(arrays_of(problem)))
    members, one = np.arange(len(problem.layers)), np.zeros(len(problem.layers), dtype=np.int64)
    least = int(axis.sizes.min(axis=1).sum())
    budgets = np.array([least, least + int(share * (axis.sizes.max(axis=1).sum() - least))])
    found = assign(axis, members, one, one, np.zeros(1, dtype=np.int64), budgets)
    used = axis.sizes[members, found].sum(axis=1)
    assert (used <= budgets).all()
    error = axis.distortion[members, found].sum(axis=1)
    assert error[1] <= error[0]


def test_weights_are_widened_where_a_byte_takes_most_distortion_away():
    axis = weight_axis(width_arrays(arrays_of(chain_of_four())))
    members, one = np.arange(4), np.zeros(4, dtype=np.int64)
    narrow = axis.sizes[:, 0].sum()
    budget = np.array([narrow + 500 + 5_000])
    found = assign(axis, members, one, one, np.zeros(1, dtype=np.int64), budget)[0]
    assert axis.bits[found].tolist() == [6, 4, 2, 2]


def inverted_residual():
    """Figure 4: an inverted residual layer with squeeze and excitation; layer 11 adds what layer 2 made."""
    reads = {
        "c2": INPUT,
        "p3": "c2",
        "d4": "p3",
        "g5": "d4",
        "l6": "g5",
        "l7": "l6",
        "m8": ("d4", "l7"),
        "p9": "m8",
        "a11": ("p9", "c2"),
    }
    sizes = {"c2": 100, "p3": 400, "d4": 350, "g5": 9, "l6": 5, "l7": 9, "m8": 350, "p9": 100, "a11": 100}
    layers = tuple(
        ProblemLayer(name, (read,) if isinstance(read, str) else read, sizes[name], 0, {"t0": 1.0, "t1": 1.0})
        for name, read in reads.items()
    )
    return Problem(layers, ("a11",), 10_000, (Tier("t0"), Tier("t1")), (Link("t0", "t1", 1e6, 0.0),))


@pytest.mark.parametrize(
    ("model", "expected"),
    # As the paper: while the depthwise layer runs, the outputs of layers 2 and 3 are kept. As it runs: its own, too;
    # but the first layer reads the large input.
    [(MemoryModel.AUTOSPLIT, 500), (MemoryModel.WORKING_SET, 10_000 + 100)],
)
def test_activation_memory_counts_the_skip_connection_of_figure_4(model, expected):
    widths, split = whole_on_first(replace(inverted_residual(), memory_model=model))
    assert memories(widths, split, np.zeros((1, 9), dtype=np.int64))[0] == expected


def test_the_activation_memory_of_a_chain_is_its_largest_activation():
    widths, split = whole_on_first(chain_of_four(memory_model=MemoryModel.AUTOSPLIT))
    eight = np.full((1, 4), 16)
    assert (widths.weight_bits[0, 16], widths.activation_bits[0, 16]) == (8, 8)
    assert memories(widths, split, eight)[0] == 281_000 + 80_000


def test_what_is_held_is_the_sum_over_steps():
    held = held_sum(np.array([5, 7, 11]), np.array([0, 1, 1]), np.array([1, 1, 2]), 4)
    assert held.tolist() == [5, 23, 11, 0]

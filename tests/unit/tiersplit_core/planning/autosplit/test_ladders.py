"""Rating candidates in rounds: few rounds, and the answer that rating every candidate would give."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.quantised_problems import chain_of_four
from tiersplit_core.planning.autosplit.accurate import decided
from tiersplit_core.planning.autosplit.ladder import MOST_AT_ONCE, Step, computation_of
from tiersplit_core.planning.plan import Plan

LEAST = 0.9
RELAXED = settings(max_examples=150, deadline=None)
AS_IT_IS = Step(Plan({"l": "t1", "m": "t1"}), 0.0, (frozenset(), frozenset()))


def step(number, distortion):
    """A candidate of its own computation."""
    widths = {"l": (number, 8)}
    return Step(Plan({"l": "t0", "m": "t1"}, widths), distortion, (frozenset(widths.items()), frozenset()))


def rated(ladders, accuracy_of):
    """What is chosen in the end, what was measured, and in how many rounds."""
    accuracies, rounds = {}, 0
    while unrated := decided(ladders, accuracies, LEAST).unrated:
        assert len(unrated) <= MOST_AT_ONCE
        assert not accuracies.keys() & {plan.digest for plan in unrated}, "each plan is rated once"
        accuracies |= {plan.digest: accuracy_of[plan.digest] for plan in unrated}
        rounds += 1
    return decided(ladders, accuracies, LEAST).chosen, accuracies, rounds


def exhaustively(ladders, accuracy_of):
    """The first accurate candidate of each ladder that has bit widths."""
    fastest = (
        next((s.plan for s in ladder if accuracy_of.get(s.plan.digest, 1.0) >= LEAST), None) for ladder in ladders
    )
    return {plan.digest for plan in fastest if plan is not None and plan.widths}


@st.composite
def ladders_of_one_network(draw, most=33):
    """Up to five ladders that share candidates, as the conditions of one network do; some end in layers as they are."""
    count = draw(st.integers(1, 120))
    every = [step(i, float(count - i)) for i in range(count)]
    chosen = draw(st.lists(st.sets(st.integers(0, count - 1), max_size=most), min_size=1, max_size=5))
    last = [AS_IT_IS] if draw(st.booleans()) else []
    return [(*(every[i] for i in sorted(numbers)), *last) for numbers in chosen]


def every_plan(ladders):
    return {s.plan.digest: s for ladder in ladders for s in ladder if s.plan.widths}


@RELAXED
@given(ladders=ladders_of_one_network(), enough=st.floats(0, 121))
def test_where_accuracy_falls_with_distortion_two_rounds_find_what_rating_everything_would(ladders, enough):
    accuracy_of = {digest: float(s.distortion <= enough) for digest, s in every_plan(ladders).items()}
    chosen, measured, rounds = rated(ladders, accuracy_of)
    assert {plan.digest for plan in chosen} == exhaustively(ladders, accuracy_of)
    assert rounds <= 2
    assert len(measured) <= 2 * MOST_AT_ONCE


@RELAXED
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), data=st.data())
def test_where_it_falls_along_each_ladder_alone_the_same_is_found_in_more_rounds(sizes, data):
    numbers = iter(range(sum(sizes)))
    ladders = [tuple(step(next(numbers), float(size - i)) for i in range(size)) for size in sizes]
    accuracy_of = {}
    for ladder in ladders:
        enough = data.draw(st.integers(0, len(ladder)))
        accuracy_of |= {s.plan.digest: float(s.distortion <= enough) for s in ladder}
    chosen, _, _ = rated(ladders, accuracy_of)
    assert {plan.digest for plan in chosen} == exhaustively(ladders, accuracy_of)


@RELAXED
@given(ladders=ladders_of_one_network(), data=st.data())
def test_whatever_is_measured_no_plan_below_the_threshold_is_chosen(ladders, data):
    digests = list(every_plan(ladders))
    said = data.draw(st.lists(st.sampled_from((0.85, 0.95)), min_size=len(digests), max_size=len(digests)))
    accuracy_of = dict(zip(digests, said, strict=True))
    chosen, measured, _ = rated(ladders, accuracy_of)
    assert all(measured[plan.digest] >= LEAST for plan in chosen)
    if not any(ladder[-1:] == (AS_IT_IS,) for ladder in ladders):
        has_accurate = [any(measured.get(s.plan.digest, 0.0) >= LEAST for s in ladder) for ladder in ladders]
        assert bool(chosen) == any(has_accurate)


def test_what_was_measured_elsewhere_is_not_asked_for_again_and_decides_alone():
    ladder = tuple(step(i, 10.0 - i) for i in range(10))
    accuracies = {s.plan.digest: float(s.distortion <= 4) for s in ladder[5:7]}
    found = decided([ladder], accuracies, LEAST)
    assert [plan.digest for plan in found.chosen] == [ladder[6].plan.digest]
    assert not found.unrated


def test_plans_that_compute_the_same_share_a_verdict_but_each_needs_answers_of_its_own():
    here, there = (Plan({"l": "t0", "m": tier}, {"l": (4, 8)}) for tier in ("t1", "t2"))
    same = (frozenset({("l", (4, 8))}), frozenset())
    ladders = [(Step(plan, 1.0, same),) for plan in (here, there)]
    accurate = decided(ladders, {here.digest: 0.95}, LEAST)
    assert (accurate.chosen, accurate.unrated) == ((here,), (there,))
    inaccurate = decided(ladders, {here.digest: 0.5}, LEAST)
    assert (inaccurate.chosen, inaccurate.unrated) == ((), ())
    assert decided(ladders, {}, LEAST).unrated == (here, there)


def test_a_plan_computes_something_else_where_another_value_is_narrowed_on_its_way():
    problem = chain_of_four()
    names = [layer.name for layer in problem.layers]

    def behind(layers, widths):
        placement = {name: "t0" if i < layers else "t1" for i, name in enumerate(names)}
        return computation_of(problem, Plan(placement, widths))

    narrow, wide = {"c0": (8, 4)}, {"c0": (8, 32)}
    assert behind(1, narrow) != behind(2, narrow), "the first sends 4 bits, the second keeps them"
    assert behind(1, wide) == behind(2, wide), "nothing is narrowed on a link"
    assert behind(2, narrow) == behind(3, narrow)
    assert behind(2, narrow) != behind(2, {"c0": (4, 4)})

from dataclasses import replace
from math import fsum, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.profiles import chain, graphs, profiles
from tiersplit_core.errors import ProfileError
from tiersplit_core.profile.layers import BatchProfile, ProfileKind, TierProfile, Timing
from tiersplit_core.profile.refine import Variant, disagreement, emulate, merge_forms, merge_segments, refine
from tiersplit_core.quantization.forms import RunForm

INT8, PACKED = RunForm.INT8, RunForm.PACKED


@st.composite
def measured(draw):
    """A graph, its profile with measured segments, and the segments: a division of some of the layers."""
    graph = draw(graphs())
    profile = draw(profiles(graph))
    names = [f"s{draw(st.integers(0, 2))}" for _ in graph.layers]
    segments = {key: tuple(n for n, s in zip(graph.index, names, strict=True) if s == key) for key in set(names)}
    seconds = st.floats(1e-6, 10)
    timings = {size: {key: Timing(draw(seconds), draw(seconds), 5) for key in segments} for size in (1, 4)}
    return graph, merge_segments(profile, timings), segments


@given(measured())
def test_layers_of_each_segment_sum_to_its_measured_seconds(case):
    graph, profile, segments = case
    refined = refine(graph, profile, segments)
    for size, seen in refined.batches.items():
        for key, layers in segments.items():
            target = profile.batches[size].segments[key].median_s
            assert isclose(fsum(seen.layers[name].median_s for name in layers), target, rel_tol=1e-12)
    assert disagreement(refined, segments) <= 1e-9


@given(measured())
def test_refining_keeps_the_proportions_inside_a_segment(case):
    graph, profile, segments = case
    refined = refine(graph, profile, segments)
    for layers in segments.values():
        before = [profile.batches[1].layers[name].median_s for name in layers]
        after = [refined.batches[1].layers[name].median_s for name in layers]
        for b1, a1 in zip(before, after, strict=True):
            for b2, a2 in zip(before, after, strict=True):
                if fsum(before) > 0:
                    assert isclose(b1 * a2, b2 * a1, rel_tol=1e-6, abs_tol=1e-12)


@given(measured())
def test_refining_twice_changes_nothing_more(case):
    graph, profile, segments = case
    once = refine(graph, profile, segments)
    for size, seen in refine(graph, once, segments).batches.items():
        for name, timing in seen.layers.items():
            assert isclose(timing.median_s, once.batches[size].layers[name].median_s, rel_tol=1e-9, abs_tol=1e-15)


@given(measured())
def test_layers_without_a_measured_segment_keep_their_seconds(case):
    graph, profile, segments = case
    chosen = dict(list(segments.items())[:1])
    refined = refine(graph, profile, chosen)
    for name in graph.index.keys() - {layer for layers in chosen.values() for layer in layers}:
        assert refined.batches[4].layers[name] == profile.batches[4].layers[name]


def test_disagreement_is_the_largest_relative_distance_and_forgives_what_is_tiny():
    graph = chain(("a", 1, 1, 1), ("b", 1, 1, 1))
    profile = replace(PROFILE_OF(graph, a=1.0, b=0.001))
    found = merge_segments(profile, {1: {"s": Timing(0.8), "t": Timing(0.002)}})
    assert disagreement(found, {"s": ("a",)}) == pytest.approx(0.25)
    # 1 ms against 2 ms is 50%, but 0.1% of the whole model: judged against 1% of it.
    assert disagreement(found, {"t": ("b",)}) == pytest.approx(0.001 / 0.01001)
    assert disagreement(profile, {"s": ("a",)}) == 0.0


def PROFILE_OF(graph, **seconds):  # noqa: N802
    layers = {name: Timing(value) for name, value in seconds.items()}
    batches = {1: BatchProfile(layers, Timing(sum(seconds.values())))}
    return TierProfile("edge", ProfileKind.MEASURED, "sha256:g", 1, {}, batches)


def test_a_segment_measured_at_a_new_batch_size_brings_interpolated_layers():
    graph = chain(("a", 1, 1, 1))
    found = merge_segments(PROFILE_OF(graph, a=1.0), {3: {"s": Timing(6.0)}})
    assert found.batches[3].layers["a"].median_s == 3.0
    refined = refine(graph, found, {"s": ("a",)})
    assert refined.batches[3].layers["a"].median_s == 6.0
    assert refined.batches[1].layers["a"].median_s == 2.0


def quantised(int8, segments, **seconds):
    """A profile with these seconds per layer, in INT8 those of `int8`, and what segments take."""
    timings = {INT8: {name: Timing(value) for name, value in int8.items()}}
    profile = merge_forms(PROFILE_OF(GRAPH, **seconds), {1: timings})
    return merge_segments(profile, {1: {name: Timing(value) for name, value in segments.items()}})


def int8_of(profile):
    return {name: timing.median_s for name, timing in profile.batches[1].forms[INT8].items()}


GRAPH = chain(("a", 1, 1, 1), ("b", 1, 1, 1), ("c", 1, 1, 1))
PLAIN = {"a": 4.0, "b": 2.0, "c": 1.0}
NARROW = {"a": 1.0, "b": 0.5, "c": 0.5}


def test_what_a_segment_takes_longer_than_its_layers_its_variants_are_expected_to_take_too():
    refined = refine(GRAPH, quantised(NARROW, {"s": 9.0}, **PLAIN), {"s": ("a", "b")})
    assert int8_of(refined) == pytest.approx({"a": 1.5, "b": 0.75, "c": 0.5})


def test_layers_that_a_form_lacks_because_the_tier_cannot_hold_them_are_left_alone():
    refined = refine(GRAPH, quantised({"b": 0.5}, {"s": 9.0}, **PLAIN), {"s": ("a", "b")})
    assert int8_of(refined) == pytest.approx({"b": 0.75})
    assert refined.batches[1].layers["a"].median_s == pytest.approx(6.0)


def test_a_measured_variant_decides_what_its_layers_take():
    variants = {"v": Variant(INT8, ("a", "b"))}
    profile = quantised(NARROW, {"s": 9.0, "v": 3.0}, **PLAIN)
    assert disagreement(profile, {}, variants) == pytest.approx(0.5)
    refined = refine(GRAPH, profile, {"s": ("a", "b")}, variants)
    assert int8_of(refined) == pytest.approx({"a": 2.0, "b": 1.0, "c": 0.5})
    assert refined.batches[1].layers["a"].median_s == pytest.approx(6.0)
    assert disagreement(refined, {"s": ("a", "b")}, variants) == pytest.approx(0.0)


def test_layers_that_a_variant_runs_as_they_are_keep_their_seconds():
    variants = {"v": Variant(INT8, ("a",), ("b",))}
    refined = refine(GRAPH, quantised(NARROW, {"v": 3.5}, **PLAIN), {}, variants)
    assert int8_of(refined) == pytest.approx({"a": 1.5, "b": 0.5, "c": 0.5})
    assert {name: timing.median_s for name, timing in refined.batches[1].layers.items()} == PLAIN
    assert disagreement(refined, {}, variants) == pytest.approx(0.0)


def test_a_variant_that_takes_less_than_its_plain_layers_alone_does_not_make_the_others_free():
    refined = refine(GRAPH, quantised(NARROW, {"v": 1.5}, **PLAIN), {}, {"v": Variant(INT8, ("a",), ("b",))})
    assert int8_of(refined)["a"] == pytest.approx(1.5 * (1 / 3) / 10)


def test_several_variants_of_the_same_layers_count_alike():
    variants = {
        "v": Variant(INT8, ("a",)),
        "w": Variant(INT8, ("a",)),
        "p": Variant(PACKED, ("a",)),
    }
    refined = refine(GRAPH, quantised(NARROW, {"v": 1.0, "w": 3.0, "p": 99.0}, **PLAIN), {}, variants)
    assert int8_of(refined)["a"] == pytest.approx(2.0)
    assert PACKED not in refined.batches[1].forms, "what was not measured is not made up"


def test_a_variant_with_an_unknown_layer_is_refused():
    with pytest.raises(ProfileError, match=r"^variants\[v\].*nowhere"):
        refine(GRAPH, quantised(NARROW, {}, **PLAIN), {}, {"v": Variant(INT8, ("a",), ("nowhere",))})


@given(measured(), st.data())
def test_refining_with_variants_twice_changes_nothing_more(case, data):
    graph, profile, segments = case
    forms = data.draw(st.dictionaries(st.sampled_from(sorted(segments)), st.sampled_from([INT8, PACKED])))
    variants = {f"v-{name}": Variant(form, segments[name]) for name, form in forms.items()}
    timings = {name: Timing(data.draw(st.floats(1e-6, 10))) for name in variants}
    known = merge_segments(profile, {1: timings})
    once = refine(graph, known, segments, variants)
    for size, seen in refine(graph, once, segments, variants).batches.items():
        for form, layers in seen.forms.items():
            for name, timing in layers.items():
                expected = once.batches[size].forms[form][name].median_s
                assert isclose(timing.median_s, expected, rel_tol=1e-9, abs_tol=1e-15)


@given(st.data())
def test_forms_merged_at_another_batch_size_bring_the_rest_interpolated(data):
    graph = data.draw(graphs())
    profile = data.draw(profiles(graph, forms=()))
    timings = {name: Timing(1.0) for name in graph.index}
    found = merge_forms(profile, {3: {INT8: timings}})
    assert list(found.batches) == [1, 3, 4]
    assert found.batches[3].forms == {INT8: timings}
    assert found.batches[3].layers.keys() == graph.index.keys()
    assert merge_forms(found, {3: {PACKED: timings}}).batches[3].forms == {INT8: timings, PACKED: timings}


@pytest.mark.parametrize("segments", [{"s": ("nowhere",)}, {"s": ("a",), "t": ("a",)}])
def test_foreign_and_doubly_placed_layers_are_refused(segments):
    graph = chain(("a", 1, 1, 1))
    with pytest.raises(ProfileError, match=r"^segments\["):
        refine(graph, PROFILE_OF(graph, a=1.0), segments)


@given(st.data())
def test_an_emulated_tier_is_slower_by_the_ratio_of_the_factors(data):
    profile = data.draw(profiles(data.draw(graphs())))
    slow = emulate(profile, "cloud", 6.0)
    assert (slow.tier, slow.slowdown, slow.base_bytes) == ("cloud", 6.0, profile.base_bytes)
    for size, seen in slow.batches.items():
        assert isclose(seen.whole.median_s, 3 * profile.batches[size].whole.median_s, rel_tol=1e-9)
        for name, timing in seen.layers.items():
            assert isclose(timing.median_s, 3 * profile.batches[size].layers[name].median_s, rel_tol=1e-9)
        assert seen.forms.keys() == profile.batches[size].forms.keys()
        for form, layers in seen.forms.items():
            for name, timing in layers.items():
                expected = 3 * profile.batches[size].forms[form][name].median_s
                assert isclose(timing.median_s, expected, rel_tol=1e-9)


@given(measured())
def test_an_emulated_tier_keeps_its_segments_and_a_factor_of_its_own_changes_nothing(case):
    _, profile, segments = case
    same, slow = (emulate(profile, "mdc", factor) for factor in (profile.slowdown, 4 * profile.slowdown))
    assert same == replace(profile, tier="mdc")
    for size, seen in slow.batches.items():
        for key in segments:
            expected = 4 * profile.batches[size].segments[key].median_s
            assert isclose(seen.segments[key].median_s, expected, rel_tol=1e-9)


def test_a_factor_of_zero_is_refused():
    with pytest.raises(ProfileError, match="not positive"):
        emulate(PROFILE_OF(chain(("a", 1, 1, 1)), a=1.0), "mdc", 0.0)

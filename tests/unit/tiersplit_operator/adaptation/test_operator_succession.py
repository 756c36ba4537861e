"""Routes that follow each other: what serves keeps its names and its contents until nobody needs it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adaptation import TIERS, digest, member, plans, reference, resource
from tiersplit_operator.adaptation.succession import finished, foreign_plans, own_plans, plan_digest, succeeding
from tiersplit_stage.plans import compile_plans
from tiersplit_wire.v1 import route_pb2 as pb

EDGE, *_, FAR = plans()


def route(weights="a", selected=FAR, encoding="raw"):
    made = member(resource(annotations={"tiersplit.dev/wire-encoding": encoding}), weights).route
    made.selected = selected
    return made


def contents(made, tier="edge"):
    """What each plan of a route runs, as stages compile it."""
    return {
        name: ([(s.blob, t) for s, t in zip(plan.segments, plan.tiers, strict=True)], plan.crossings)
        for name, plan in compile_plans(made, tier).items()
    }


def keys(made):
    return {name: plan.key for name, plan in compile_plans(made, "edge").items()}


def test_a_model_that_was_trained_again_comes_under_other_names_and_what_serves_keeps_its_own():
    old, new = route("a"), route("b", selected="")
    made = succeeding(new, old)
    assert keys(made)[FAR] == keys(old)[FAR]
    assert (made.selected, made.fallback) == (FAR, EDGE)
    assert foreign_plans(made) == {FAR, EDGE}
    assert set(own_plans(made)) == set(plans())
    assert not set(own_plans(made).values()) & set(plans())
    for name, own in own_plans(made).items():
        assert contents(made)[own] == contents(new)[name]


def test_kept_plans_carry_their_own_model_golden_request_and_bundle():
    old, new = route("a"), route("b")
    kept = {plan.digest: plan for plan in succeeding(new, old).plans}[FAR]
    assert (kept.model, list(kept.golden_blobs)) == (old.model, [digest("golden-a")])
    assert kept.bundle == reference("a")
    assert list(kept.costs) == list(next(plan for plan in old.plans if plan.digest == FAR).costs)


def test_a_kept_plan_with_a_golden_answer_of_its_own_keeps_that():
    old = route("a")
    quantised = next(plan for plan in old.plans if plan.digest == FAR)
    quantised.golden_blobs.append(digest("golden-of-the-plan"))
    quantised.bits = 4
    kept = {plan.digest: plan for plan in succeeding(route("b"), old).plans}[FAR]
    assert (list(kept.golden_blobs), kept.bits) == ([digest("golden-of-the-plan")], 4)
    assert kept.bundle == reference("a")


def test_whatever_plan_some_head_uses_is_kept():
    used = plans()[2]
    assert foreign_plans(succeeding(route("b"), route("a"), (), {used, "", "gone"})) == {EDGE, used, FAR}


def test_the_same_contents_keep_their_names_and_nothing_is_kept_twice():
    old, new = route("a"), route("a", selected="")
    new.bundle = reference("other surface")
    made = succeeding(new, old)
    assert foreign_plans(made) == frozenset()
    assert keys(made) == keys(old)
    assert made.selected == FAR


def test_names_stay_when_the_same_bundle_is_taken_again():
    made = succeeding(route("b", selected=""), route("a"))
    made.selected = own_plans(made)[FAR]
    over = finished(made, own_plans(made)[EDGE])
    again = succeeding(route("b", selected=""), over)
    assert keys(again) == keys(over)
    assert (again.selected, again.fallback) == (over.selected, over.fallback)


def test_taking_the_same_bundle_again_while_another_still_serves_drops_nothing():
    made = succeeding(route("b", selected=""), route("a"))
    again = succeeding(route("b", selected=""), made)
    assert keys(again) == keys(made)
    assert (again.selected, again.fallback) == (made.selected, made.fallback)


def test_a_third_bundle_replaces_the_second_that_never_served():
    made = succeeding(route("c", selected=""), succeeding(route("b", selected=""), route("a")))
    assert foreign_plans(made) == {FAR, EDGE}
    assert keys(made)[FAR] == keys(route("a"))[FAR]
    assert {plan.bundle for plan in made.plans if plan.HasField("model")} == {reference("a")}
    blobs = {segment.blob for segment in made.segments}
    assert not blobs & {segment.blob for segment in route("b").segments}


def test_other_encodings_of_the_same_plans_are_other_plans():
    made = succeeding(route("a", selected="", encoding="zstd"), route("a"))
    assert keys(made)[FAR] == keys(route("a"))[FAR]
    assert made.selected == FAR
    assert own_plans(made)[FAR] != FAR


def test_where_a_node_has_no_room_for_two_nothing_that_needs_it_is_kept():
    assert foreign_plans(succeeding(route("b"), route("a"), {"cloud"})) == {EDGE}
    gone = succeeding(route("b"), route("a"), set(TIERS))
    assert (foreign_plans(gone), gone.selected) == (frozenset(), "")
    assert gone.fallback == own_plans(gone)[EDGE]


@pytest.mark.parametrize("tiers", [("edge", "mdc"), ("edge", "cloud", "mdc")])
def test_plans_on_tiers_that_are_no_more_or_in_another_order_are_not_kept(tiers):
    old = route("a", selected="three")
    placed = [pb.PlanSegment(segment=old.segments[i].id, tier=tier) for i, tier in enumerate(TIERS)]
    old.plans.add(digest="three", segments=placed)
    new = pb.Route(deployment="net", bundle=reference("b"), tiers=[pb.TierEndpoints(tier=tier) for tier in tiers])
    made = succeeding(new, old)
    assert (foreign_plans(made), made.selected) == ({EDGE}, "")
    assert not any(plan.costs for plan in made.plans)


def test_what_is_over_leaves_with_its_segments():
    made = succeeding(route("b", selected=""), route("a"))
    made.selected = own_plans(made)[FAR]
    over = finished(made, own_plans(made)[EDGE])
    assert foreign_plans(over) == frozenset()
    assert {s.blob for s in over.segments} == {s.blob for s in route("b").segments}
    assert over.fallback == own_plans(made)[EDGE]
    needed = {item.segment for plan in over.plans for item in plan.segments}
    assert {profile.segment for profile in over.profiles} <= needed


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["raw", "zstd"]), st.integers(0, 20), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_whatever_follows_whatever_every_tier_can_compile_it_and_what_serves_goes_on_unchanged(steps):
    present = route("a")
    for weights, encoding, choice, over in steps:
        before, serving = keys(present), {present.selected, present.fallback}
        present = succeeding(route(weights, selected="", encoding=encoding), present)
        for tier in TIERS:
            compile_plans(present, tier)
        after = keys(present)
        assert {name: before[name] for name in serving} == {name: after[name] for name in serving}
        assert present.selected in after
        own = own_plans(present)
        assert set(own) == set(plans())
        assert all(plan_digest(name) == known for known, name in own.items())
        plain = route(weights, selected="", encoding=encoding)
        assert all(contents(present)[own[name]] == found for name, found in contents(plain).items())
        if over:
            present.selected = sorted(own.values())[choice % len(own)]
            present = finished(present, own[EDGE])


def test_the_digest_of_a_name_is_what_stands_before_the_bundle():
    assert (plan_digest("sha256:ab@1234"), plan_digest("sha256:ab"), plan_digest("")) == ("sha256:ab", "sha256:ab", "")


@pytest.mark.parametrize("selected", ["", "nobody knows it"])
def test_a_route_that_selects_nothing_that_is_there_leaves_the_choice_open(selected):
    assert succeeding(route("b"), route("a", selected=selected)).selected == ""

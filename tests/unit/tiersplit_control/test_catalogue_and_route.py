"""Plans as a controller needs them, and the route made of them."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from tests.support.control_catalogue import TIERS, catalogue, intent
from tiersplit_bundle import media
from tiersplit_bundle.bundle import BundleSegment
from tiersplit_control.routing import make_route
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.errors import OperationError


def test_the_fallback_is_the_plan_that_reaches_no_further_than_the_first_tier() -> None:
    found = catalogue()
    assert found.fallback is not None
    assert found.split(found.fallback) == {"edge": 4, "mdc": 0, "cloud": 0}
    assert [digest for digest, reach in found.reach.items() if reach == 0] == [found.fallback]


def test_a_plan_over_a_dead_link_costs_infinitely_much() -> None:
    found = catalogue()
    links = [LinkEstimate(1e9, 0.0, down=True), LinkEstimate(1e9, 0.0)]
    costs = found.costs(links, (1, 1, 1), 1)
    assert {digest for digest, cost in costs.items() if cost < float("inf")} == {found.fallback}


def test_unknown_segments_and_batches_have_no_profiled_seconds() -> None:
    found = catalogue()
    assert found.profiled_s("edge", "seg-unknown", 1) == 0.0
    assert found.profiled_s("moon", found.specs[0].id, 1) == 0.0
    assert found.profiled_s("edge", found.specs[0].id, 0) == 0.0


def _bundle(complete: bool = True) -> SimpleNamespace:
    found = catalogue()
    segments = tuple(
        BundleSegment(spec.id, found.blobs[spec.id], spec.layers, ("in",), ("out",), ("w",)) for spec in found.specs
    )
    golden = SimpleNamespace(media_type=media.GOLDEN, digest="sha256:golden")
    return SimpleNamespace(graph=found.graph, segments=segments if complete else segments[1:], layers=(golden,))


def test_the_route_names_model_segments_plans_and_where_each_tier_is_dialled() -> None:
    found = catalogue()
    route = make_route(intent(), _bundle(), found, {"mdc": ("127.0.0.1:1",), "cloud": ("[::1]:2", "[::1]:3")}, 64)
    assert [(tier.tier, list(tier.addresses)) for tier in route.tiers] == [
        ("edge", []),
        ("mdc", ["127.0.0.1:1"]),
        ("cloud", ["[::1]:2", "[::1]:3"]),
    ]
    assert [(i.name, i.tensor, i.datatype, list(i.shape)) for i in route.model.inputs] == [
        ("x", "x", "FP32", [-1, 65536])
    ]
    assert [(o.name, o.tensor) for o in route.model.outputs] == [("scores", "t3")]
    assert {plan.digest for plan in route.plans} == set(found.plans)
    assert [segment.id for segment in route.segments] == [spec.id for spec in found.specs]
    assert list(route.golden_blobs) == ["sha256:golden"]
    assert route.fallback == found.fallback
    for plan in route.plans:
        assert {item.tier for item in plan.segments} <= set(TIERS)


def test_compression_names_every_tensor_that_may_cross_and_narrows_none() -> None:
    plain = make_route(intent(), _bundle(), catalogue(), {}, 1)
    assert not any(plan.crossings for plan in plain.plans)
    route = make_route(intent(encoding="zstd"), _bundle(), catalogue(), {}, 1)
    for plan in route.plans:
        assert [(c.tensor, c.encoding, c.bits) for c in plan.crossings] == [("in", "zstd", 0)]


def test_a_bundle_that_lacks_a_segment_is_refused_by_name() -> None:
    with pytest.raises(OperationError, match=catalogue().specs[0].id):
        make_route(intent(), _bundle(complete=False), catalogue(), {}, 1)


def test_the_route_says_where_blobs_are_pulled_from_only_where_they_do_not_lie_beside_the_stage() -> None:
    reference = "oci://registry:5000/tiersplit/net@sha256:" + "0" * 64
    assert make_route(intent(), _bundle(), catalogue(), {}, 1, reference=reference).bundle == reference
    assert make_route(intent(), _bundle(), catalogue(), {}, 1).bundle == ""


def test_a_head_can_cost_every_plan_from_the_route_alone() -> None:
    found = catalogue()
    route = make_route(intent(), _bundle(), found, {}, 1)
    links = [LinkEstimate(link.believed_bps, 0.003) for link in intent().links]
    expected = found.costs(links, (1, 1, 1), 1)
    for plan in route.plans:
        (cost,) = plan.costs
        crossing = zip(cost.link_bytes, cost.link_trips, links, strict=True)
        sent = sum(8 * size / link.bandwidth_bps + trips * link.latency_s for size, trips, link in crossing)
        assert sum(cost.compute_s) + sent == pytest.approx(expected[plan.digest])


def test_the_route_says_what_load_is_measured_against_wherever_a_plan_places_a_segment() -> None:
    found = catalogue()
    route = make_route(intent(), _bundle(), found, {}, 1)
    placed = {(item.segment, item.tier) for plan in route.plans for item in plan.segments}
    assert {(seen.segment, seen.tier) for seen in route.profiles} == placed
    for seen in route.profiles:
        assert seen.seconds == found.profiled_s(seen.tier, seen.segment, seen.batch) > 0


def test_segments_that_were_not_measured_have_no_seconds_in_the_route() -> None:
    found = replace(catalogue(), profiles={})
    assert not make_route(intent(), _bundle(), found, {}, 1).profiles

"""Plans as a controller needs them, and the route made of them."""

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
    route = make_route(intent(), _bundle(), found, {"mdc": "127.0.0.1:1", "cloud": "127.0.0.1:2"}, 64)
    assert [(tier.tier, list(tier.addresses)) for tier in route.tiers] == [
        ("edge", []),
        ("mdc", ["127.0.0.1:1"]),
        ("cloud", ["127.0.0.1:2"]),
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

"""Plans as the controller needs them, the route made of them, and the state as people see it."""

from types import SimpleNamespace

import pytest

from tests.support.local_catalogue import TIERS, catalogue, settings
from tiersplit_bundle import media
from tiersplit_bundle.bundle import BundleSegment
from tiersplit_core.adaptation.estimator import LinkEstimate
from tiersplit_core.errors import OperationError
from tiersplit_local.routing import make_route
from tiersplit_local.status import line, link_text, split_text


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
    route = make_route(settings(), _bundle(), found, {"mdc": "127.0.0.1:1", "cloud": "127.0.0.1:2"}, 64)
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
    plain = make_route(settings(), _bundle(), catalogue(), {}, 1)
    assert not any(plan.crossings for plan in plain.plans)
    route = make_route(settings(encoding="zstd"), _bundle(), catalogue(), {}, 1)
    for plan in route.plans:
        assert [(c.tensor, c.encoding, c.bits) for c in plan.crossings] == [("in", "zstd", 0)]


def test_a_bundle_that_lacks_a_segment_is_refused_by_name() -> None:
    with pytest.raises(OperationError, match=catalogue().specs[0].id):
        make_route(settings(), _bundle(complete=False), catalogue(), {}, 1)


def _link(bandwidth_bps: float | None, down: bool = False) -> dict[str, object]:
    estimate = {"bandwidth_bps": 4.8e6, "latency_s": 0.005, "down": down}
    return {
        "from": "edge",
        "to": "mdc",
        "set": {"bandwidth_bps": bandwidth_bps, "latency_s": 0.0},
        "estimate": estimate,
    }


def test_links_read_like_sentences() -> None:
    assert link_text(_link(5e6)) == "edge:mdc 5 Mbps (estimated 4.8 Mbps + 5 ms)"
    assert link_text(_link(None)).startswith("edge:mdc unlimited")
    assert link_text(_link(0.0, down=True)) == "edge:mdc down (estimated down + 5 ms)"


def test_the_state_fits_one_line() -> None:
    plans = [{"current": True, "layers": {"edge": 3, "mdc": 0, "cloud": 9}}]
    requests = {"answered": 5, "failed": 0, "latency_s": 0.012}
    value = {"state": "Ready", "plans": plans, "requests": requests, "links": [_link(5e6)]}
    assert line(value).startswith("Ready: edge 3 | cloud 9; 5 answered, 0 failed, 12 ms each; edge:mdc 5 Mbps")
    assert split_text({"edge": 0}) == "nothing"

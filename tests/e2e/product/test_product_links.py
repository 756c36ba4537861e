"""The split follows the links: as `tiersplit plan` predicts for their bandwidth, without losing a request."""

from collections.abc import Callable
from pathlib import Path

from tests.cluster import links
from tests.support.cluster_digits import manifest, with_tier
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import FRONT_PORT, Product
from tests.support.cluster_session import (
    DECLARED_BPS,
    EDGE,
    FAST_BPS,
    MDC,
    MIDDLE_BPS,
    OTHER_EDGE,
    REFERENCE,
    SLOW_BPS,
    TIERS,
    Installation,
    forecast_of,
)

MOVES_WITHIN_S = 45.0
SHARED_OUT_BPS = (FAST_BPS, 40e6, 30e6, 20e6, 15e6, 10e6)


def test_the_links_of_the_example_ask_for_more_than_one_plan(forecast: Forecast) -> None:
    found = {forecast.at(bps, DECLARED_BPS).digest for bps in (FAST_BPS, SLOW_BPS, MIDDLE_BPS)}
    assert len(found) >= 2
    assert "" not in found


def test_the_split_moves_with_the_bandwidth_as_planned_and_no_request_is_lost(
    unshaped: Product, forecast: Forecast, load_of: Callable[..., Load]
) -> None:
    load = load_of(unshaped)
    with loaded(load):
        for bps in (FAST_BPS, SLOW_BPS, MIDDLE_BPS):
            links.set_link(EDGE, MDC, bps)
            expected = forecast.near(bps, DECLARED_BPS)
            assert forecast.at(bps, DECLARED_BPS).digest in expected
            unshaped.wait(
                lambda wanted=expected: load.recent_plan() in wanted, f"the plan for {bps:g} served", MOVES_WITHIN_S
            )
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]


def test_two_edge_nodes_with_different_links_settle_on_the_plan_that_each_link_asks_for(
    installation: Installation, load_of: Callable[..., Load], tmp_path: Path
) -> None:
    links.clear()
    fleet = Product("fleet", installation.namespace)
    everywhere = with_tier(manifest(fleet.name, REFERENCE), TIERS[0], placement="EveryNode", replicas=None)
    fleet.apply(everywhere)
    try:
        fleet.wait_for("Ready")
        forecast = forecast_of(fleet, installation, tmp_path / "fleet")
        wanted, expected = links_that_ask_for_different_plans(forecast)
        for node, bps in wanted.items():
            links.set_link(node, MDC, bps)
        addresses = {node: f"{fleet.pod(TIERS[0], node)['status']['podIP']}:{FRONT_PORT}" for node in wanted}
        loads = {node: load_of(fleet, head=address) for node, address in addresses.items()}
        with loaded(*loads.values()):
            fleet.wait(
                lambda: all(loads[node].recent_plan() in expected[node] for node in wanted),
                f"each head was on its link's plan ({expected})",
                MOVES_WITHIN_S,
            )
        assert verdict(loads.values()) | {"sent": 0} == {"sent": 0, "failed": 0, "duplicate": 0, "wrong": 0}
    finally:
        links.clear()
        fleet.delete()


def links_that_ask_for_different_plans(forecast: Forecast) -> tuple[dict[str, float], dict[str, frozenset[str]]]:
    """Bandwidths of the edges' links, one ten times slower, and the plans that each may stay with: no plan suits both.

    Where that is depends on what the tiers were measured to be.
    """
    for fast_bps in SHARED_OUT_BPS:
        wanted = {EDGE: fast_bps, OTHER_EDGE: fast_bps / 10}
        expected = {node: forecast.near(bps, DECLARED_BPS) for node, bps in wanted.items()}
        if not expected[EDGE] & expected[OTHER_EDGE]:
            return wanted, expected
    raise AssertionError("no two links, one ten times slower than the other, ask for different plans")

"""The split follows the links: as `tiersplit plan` predicts for their bandwidth, without losing a request."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import links
from tests.support.cluster_digits import manifest, with_tier
from tests.support.cluster_load import Load, loaded, verdict
from tests.support.cluster_prediction import Forecast
from tests.support.cluster_product import FRONT_PORT, READY_S, Product
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
EDGES = (EDGE, OTHER_EDGE)
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
            assert forecast.at(bps, DECLARED_BPS).digest in forecast.near(bps, DECLARED_BPS)
            unshaped.wait(
                lambda bps=bps: load.recent_plan() in forecast.near(bps, DECLARED_BPS, loads=loads_of(unshaped)),
                f"the plan for {bps:g} served",
                MOVES_WITHIN_S,
                lambda: (load.plans(), loads_of(unshaped)),
            )
    assert len({answer.plan for answer in load.answers}) > 1
    assert verdict([load]) == {"sent": load.sent, "failed": 0, "duplicate": 0, "wrong": 0}, load.failures[:3]


def test_two_edge_nodes_with_different_links_settle_on_the_plan_that_each_link_asks_for(
    installation: Installation, load_of: Callable[..., Load], tmp_path: Path
) -> None:
    links.clear()
    fleet = Product("fleet", installation.namespace)
    fleet.apply(with_tier(manifest(fleet.name, REFERENCE), TIERS[0], placement="EveryNode", replicas=None))
    try:
        fleet.wait_for("Ready")
        fleet.wait(lambda: len(fleet.ready_pods(TIERS[0])) == len(EDGES), "each edge node had a head", READY_S)
        forecast = forecast_of(fleet, installation, tmp_path / "fleet")
        heads = {node: Head(fleet, node, bps, forecast) for node, bps in links_that_ask_for_two(forecast).items()}
        for node, head in heads.items():
            links.set_link(node, MDC, head.bandwidth_bps)
        loads = {node: load_of(fleet, head=head.address) for node, head in heads.items()}
        with loaded(*loads.values()):
            fleet.wait(
                lambda: settled({heads[node]: loads[node].recent_plan() for node in EDGES}),
                "each head was on a plan of its own that its link asks for",
                MOVES_WITHIN_S,
                lambda: {node: (loads[node].plans(), heads[node].asks_for, heads[node].sees) for node in EDGES},
            )
        assert verdict(loads.values()) | {"sent": 0} == {"sent": 0, "failed": 0, "duplicate": 0, "wrong": 0}
    finally:
        links.clear()
        fleet.delete()


def loads_of(product: Product) -> tuple[float, ...]:
    """What the tiers say of themselves, as the policy sees them."""
    return tuple(product.load(tier) for tier in TIERS)


@dataclass(frozen=True)
class Head:
    """A fleet's stage on one edge node, whose link to the next tier has a bandwidth of its own."""

    fleet: Product
    node: str
    bandwidth_bps: float
    forecast: Forecast

    @property
    def address(self) -> str:
        """HOST:PORT for its own clients."""
        return f"{self.fleet.pod(TIERS[0], self.node)['status']['podIP']}:{FRONT_PORT}"

    @property
    def asks_for(self) -> frozenset[str]:
        """The plans that its link and its node's load may stay with."""
        (load,) = (float(line.split()[-1]) for line in self.sees if line.startswith("tiersplit_tier_load"))
        return self.forecast.near(self.bandwidth_bps, DECLARED_BPS, loads=(load, 1.0, 1.0))

    @property
    def sees(self) -> list[str]:
        """Its own estimates, as Prometheus reads them."""
        lines = self.fleet.metrics(TIERS[0], self.node).splitlines()
        return [line for line in lines if line.startswith(("tiersplit_link_", "tiersplit_tier_load"))]


def settled(plans: dict[Head, str]) -> bool:
    """Whether the heads serve different plans, each one that suits it."""
    return len(set(plans.values())) == len(plans) and all(plan in head.asks_for for head, plan in plans.items())


def links_that_ask_for_two(forecast: Forecast) -> dict[str, float]:
    """Bandwidths of the edges' links, one ten times slower, where no plan suits both.

    Where that is depends on what the tiers were measured to be.
    """
    for fast_bps in SHARED_OUT_BPS:
        fast, slow = (forecast.near(bps, DECLARED_BPS) for bps in (fast_bps, fast_bps / 10))
        if not fast & slow:
            return {EDGE: fast_bps, OTHER_EDGE: fast_bps / 10}
    raise AssertionError("no two links, one ten times slower than the other, ask for different plans")
